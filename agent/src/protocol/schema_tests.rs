//! docs/order.schema.json and docs/plan.schema.json are what the types say. `BURIN_WRITE_SCHEMAS=1` writes them anew.

use super::{Order, Plan};
use schemars::{JsonSchema, schema_for};
use std::path::Path;

fn compare<T: JsonSchema>(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let mut wanted = serde_json::to_string_pretty(&schema_for!(T)).unwrap();
    wanted.push('\n');
    if std::env::var_os("BURIN_WRITE_SCHEMAS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/{file} is not what the types say; BURIN_WRITE_SCHEMAS=1 writes it anew");
}

#[test]
fn the_order_schema_is_up_to_date() {
    compare::<Order>("order.schema.json");
}

#[test]
fn the_plan_schema_is_up_to_date() {
    compare::<Plan>("plan.schema.json");
}

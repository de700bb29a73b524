//! The schema in docs/ is the one that the types give. `UPDATE_SCHEMA=1 cargo test -p hwinventory --test schema` writes it.

#[test]
fn the_checked_in_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/inventory.schema.json");
    let mut generated = serde_json::to_string_pretty(&hwinventory::schema()).expect("a schema is JSON");
    generated.push('\n');
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(path, &generated).expect("docs/ is writable");
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(checked_in == generated, "docs/inventory.schema.json is out of date: run with UPDATE_SCHEMA=1");
}

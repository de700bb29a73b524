//! Every order in examples/ can be planned, and the README there lists each of them.

use super::plan;
use super::testing::machine;
use burin_protocol::order;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn every_order_in_examples_is_planned() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let inventory = machine(&json!({ "disks": [
        { "serial": "N1", "name": "nvme0n1", "class": "nvme", "size": 960_197_124_096u64 },
        { "serial": "N2", "name": "nvme1n1", "class": "nvme", "size": 960_197_124_096u64 },
        { "serial": "H1", "name": "sda", "class": "hdd", "size": 4_000_787_030_016u64, "partitions": [{
            "number": 1, "name": "sda1", "start": 1_048_576, "size": 4_000_785_000_000u64,
            "signatures": [{ "kind": "xfs", "label": "archive" }]
        }] }
    ] }));
    let by_serial = machine(&json!({ "disks": [{ "serial": "S1" }] }));
    let mut planned = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(readme.contains(&format!("]({name})")), "examples/README.md does not tell of {name}");
        let order =
            order::parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let machine = if name == "image-by-digest.json" { &by_serial } else { &inventory };
        let made = plan(machine, &order, &BTreeMap::new()).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert!(!made.steps.is_empty(), "{name}");
        planned += 1;
    }
    assert!(planned >= 5);
}

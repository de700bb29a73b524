//! The schema in docs/ is the one that the types give. `BURIN_BLESS=1 cargo test -p hwinventory schema` writes it.

#[test]
fn the_checked_in_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/inventory.schema.json");
    let generated = serde_json::to_value(schemars::schema_for!(hwinventory::Inventory)).expect("a schema is JSON");
    if ["BURIN_BLESS", "UPDATE_SCHEMA"].iter().any(|word| std::env::var_os(word).is_some()) {
        let text = serde_json::to_string_pretty(&generated).expect("a schema is JSON") + "\n";
        std::fs::write(path, text).expect("docs/ is writable");
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    // Compared as values: the order of keys depends on features that other crates of a build switch on.
    let checked_in: serde_json::Value = serde_json::from_str(&checked_in).unwrap_or_default();
    assert!(checked_in == generated, "docs/inventory.schema.json is out of date: run with BURIN_BLESS=1");
}

//! The documentation lists every compression of the table.

use burin_image::Compression;
use std::path::Path;

#[test]
fn every_compression_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let paragraph = text.split("**Image formats**").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in Compression::names() {
        assert!(paragraph.contains(name), "{name}");
    }
}

//! `burin index` makes the same bytes as casync, whatever the image's format.

use crate::support::*;
use std::fs;
use std::path::Path;
use std::process::Command;

fn index(source: &Path) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_burin")).arg("index").arg(source).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn every_form_of_an_image_has_one_index_and_it_is_casyncs() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = image(9 * MIB + 777);
    let raw = dir.path().join("image");
    fs::write(&raw, &bytes).unwrap();
    let made = index(&raw);
    let frames: Vec<u8> = bytes.chunks(3 * MIB).flat_map(|part| zstd::bulk::compress(part, 1).unwrap()).collect();
    let zst = dir.path().join("image.zst");
    fs::write(&zst, frames).unwrap();
    assert!(index(&zst) == made, "the index of a compressed image is another");
    if have("casync") {
        let (theirs, store) = (dir.path().join("theirs.caibx"), dir.path().join("store"));
        let made_by = Command::new("casync")
            .args(["make", "--digest=sha256", "--chunk-size=262144:262144:262144", "--store"])
            .args([&store, &theirs, &raw])
            .output()
            .unwrap();
        assert!(made_by.status.success(), "{made_by:?}");
        assert!(fs::read(&theirs).unwrap() == made, "casync's index is another");
    }
}

#[test]
fn a_broken_image_has_no_index() {
    let dir = tempfile::tempdir().unwrap();
    let mut packed = zstd::bulk::compress(&image(2 * MIB), 1).unwrap();
    packed.truncate(packed.len() - 9);
    let from = dir.path().join("image.zst");
    fs::write(&from, packed).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_burin")).arg("index").arg(&from).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("image.truncated"), "{output:?}");
}

//! Kept partitions: same place, same bytes, and found again after a power cut at any moment.
//!
//! Needs what the tests of power cuts need.

use super::crash::{Recording, has_image, sha256, unable};
use crate::support::orders::{IMAGE, has_tree, image, image_order, noise, tree, tree_order_on};
use crate::support::{Loop, MIB, run, serve};
use burin::apply::Applied;
use hwinventory::model::kept::KeptPartition;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The size of the disks in the tests of what is kept, and a partition near their end.
const KEEPING: u64 = 76;

/// A system with a partition number 9 that is to stay.
pub fn old_system_with_data(at: &Path) -> KeptPartition {
    let mut bytes = noise((KEEPING * MIB) as usize);
    bytes.iter_mut().for_each(|byte| *byte |= 1);
    fs::write(at, bytes).expect("writes");
    let guid = "0d6ab2a4-4d5c-4e5f-8a77-1bd4fd0a3f11";
    let script = format!(
        "label: gpt\nstart=1MiB, size=8MiB, type=U\nstart=16MiB, size=20MiB\n\
         9: start=68MiB, size=6MiB, name=\"data\", uuid={guid}, attrs=\"GUID:60\"\n"
    );
    run("sh", &["-c", &format!("printf '{script}' | sfdisk --quiet --wipe=never {}", at.display())]);
    KeptPartition {
        number: 9,
        start: 68 * MIB,
        size: 6 * MIB,
        type_guid: "0fc63daf-8483-4772-8e79-3d69d8477de4".to_owned(),
        guid: guid.to_owned(),
        name: "data".to_owned(),
        attributes: 1 << 60,
    }
}

/// As an inventory has a disk with it: by its table, or by what a half-written disk remembers.
pub fn with_kept(disk: &Value, kept: &KeptPartition) -> Value {
    let mut disk = disk.clone();
    disk["partition_table"] = json!("gpt");
    disk["partitions"] = json!([{
        "number": kept.number, "name": "x9", "start": kept.start, "size": kept.size, "kind": kept.type_guid,
        "uuid": kept.guid, "label": kept.name, "flags": kept.attributes, "signatures": []
    }]);
    disk
}

fn keeps_data(disk: &Loop, old: &[u8]) {
    let now = fs::read(&disk.node).expect("reads");
    assert!(now[68 * MIB as usize..74 * MIB as usize] == old[68 * MIB as usize..74 * MIB as usize], "same bytes");
    let table = run("sfdisk", &["--dump", disk.node()]);
    let line = table.lines().find(|line| line.contains("name=\"data\"")).expect("it is in the table");
    assert!(line.contains("start=      139264, size=       12288"), "{line}");
    assert!(
        line.to_ascii_lowercase().contains("0d6ab2a4-4d5c-4e5f-8a77-1bd4fd0a3f11") && line.contains("GUID:60"),
        "{line}"
    );
}

/// The receipt has the digest before and after, and both are of the bytes that are there.
fn tells_digests(done: &Applied, old: &[u8]) {
    let told = |step: &str| done.changes.iter().find(|change| change.step == step).expect(step).detail.clone();
    let digest = sha256(&old[68 * MIB as usize..74 * MIB as usize]);
    assert_eq!(told("keep-partitions")["sha256"], digest);
    assert_eq!((&told("verify-kept")["before"], &told("verify-kept")["sha256"]), (&json!(digest), &json!(digest)));
}

#[test]
fn an_image_beside_a_partition_that_is_kept() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), image(&Loop::new(IMAGE, 512)));
    let file = directory.path().join("disk");
    let kept = old_system_with_data(&file);
    let old = fs::read(&file).expect("reads");
    let mut value = image_order(&serve(bytes.clone()), &bytes);
    value["layouts"][0]["disks"]["system"]["keep"] = json!([{ "name": "data" }]);
    value["layouts"][0]["disks"]["system"]["add"][0]["name"] = json!("more");
    let recording = Recording::keeping(&value, &[file], Some(&kept), &|disks| {
        has_image(disks[0], 3);
        keeps_data(disks[0], &old);
    });
    tells_digests(&recording.done, &old);
    recording.judge("image, seed, grow, kept");
}

#[test]
fn a_fresh_layout_around_a_partition_that_is_kept() {
    if unable() {
        return;
    }
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), tree(100_000));
    let file = directory.path().join("disk");
    let kept = old_system_with_data(&file);
    let old = fs::read(&file).expect("reads");
    let mut value = tree_order_on(&serve(bytes.clone()), &bytes, "ext4", "16MiB");
    value["layouts"][0]["disks"]["system"]["keep"] = json!([{ "number": 9 }]);
    let recording = Recording::keeping(&value, &[file], Some(&kept), &|disks| {
        has_tree(disks[0], 100_000);
        keeps_data(disks[0], &old);
    });
    tells_digests(&recording.done, &old);
    recording.judge("fresh layout, tree, kept");
}

//! Images of filesystems, written into partitions of a fresh table.
//!
//! Needs root, loop devices, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::orders::{IMAGE, filesystem_image, image, image_spec, noise, order, serve_ranges, sound};
use crate::support::{Loop, MIB, apply, paths, planned, skipped};
use burin::protocol::Control;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::FileExt;

/// Two partitions with the same image, and one with nothing.
fn wanted(bytes: &[u8], size: &str) -> Value {
    let partition = |name: &str| json!({ "name": name, "type": "linux", "size": size, "image": "data" });
    json!({
        "version": "order/v1", "id": "partition-image",
        "images": { "data": image_spec(&serve_ranges(bytes.to_vec()), bytes) },
        "policies": { "collisions": "warn" },
        "layouts": [{ "name": "fresh", "disks": { "system": { "on_existing": "destroy", "match": {}, "partitions": [
            partition("one"), { "name": "empty", "type": "linux", "size": "4MiB" }, partition("two"),
        ] } } }]
    })
}

#[test]
fn the_image_is_in_its_partitions_and_what_is_behind_it_is_left_alone() {
    if skipped() {
        return;
    }
    let (disk, bytes) = (Loop::new(64 * MIB, 512), filesystem_image(8));
    fs::write(&disk.node, noise(64 * MIB as usize)).expect("writes");
    let order = order(&wanted(&bytes, "10MiB"));
    let plan = planned(&order, &[disk.described("S1")]);
    let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
    result.expect("applies");
    assert_eq!(done.images.len(), 2, "a receipt for each");
    let found: Vec<&Value> =
        done.changes.iter().filter(|one| one.step == "write-partition").map(|c| &c.detail).collect();
    let labels: Vec<&Value> = found.iter().map(|detail| &detail["label"]).collect();
    assert_eq!(labels, [&json!("partition-root"); 2]);
    assert!(found[0]["uuid"].is_string() && found[0]["uuid"] == found[1]["uuid"], "the image's own");
    disk.sync();
    for number in [1, 3] {
        let mut read = vec![0; bytes.len()];
        let partition = disk.partition(number);
        fs::File::open(&partition).and_then(|file| file.read_exact_at(&mut read, 0)).expect("reads");
        assert!(read == bytes, "partition {number}");
        sound(&partition);
    }
}

#[test]
fn what_is_no_filesystem_or_too_large_is_refused() {
    if skipped() {
        return;
    }
    let disk = Loop::new(64 * MIB, 512);
    let cases = [
        (image(&Loop::new(IMAGE, 512)), "30MiB", "image.whole_disk"),
        (noise(2 * MIB as usize), "10MiB", "image.no_filesystem"),
        (filesystem_image(8), "4MiB", "image.too_large"),
    ];
    for (bytes, size, code) in cases {
        let mut wanted = wanted(&bytes, size);
        wanted["layouts"][0]["disks"]["system"]["partitions"].as_array_mut().expect("a list").truncate(1);
        let order = order(&wanted);
        let plan = planned(&order, &[disk.described("S1")]);
        let (_, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
        let failure = result.expect_err(code);
        assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("write-partition", code), "{failure:?}");
    }
}

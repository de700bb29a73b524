//! An image on its way to be one system on two disks, up to mdadm: kernels that tests run on may lack md, so that a program of
//! ours is in mdadm's place and looks at what it is given. The rest is met in virtual machines.
//!
//! Needs root, loop devices, util-linux and e2fsprogs; else it says that it was skipped.

use crate::support::orders::{IMAGE, image, order};
use crate::support::{Loop, MIB, apply_on, machine, paths, serve, skipped};
use burin::protocol::Control;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

const SIZE: u64 = 96 * MIB;

/// Tells what it was asked for, whether its last two arguments begin with the same image, and how many bytes at the end of
/// each are not zero.
const MDADM: &str = r#"#!/bin/sh
exec >"$(dirname "$0")/said"
echo "asked $*"
while [ $# -gt 2 ]; do shift; done
cmp -n 20971520 "$1" "$2" && echo equal
for member in "$1" "$2"; do
    size=$(blockdev --getsize64 "$member")
    echo "member $size $(tail -c 1048576 "$member" | tr -d '\0' | wc -c)"
done
"#;

/// The root filesystem as a program's paths have it, with that mdadm.
fn with_mdadm(directory: &Path) {
    let programs = directory.join("usr/sbin");
    fs::create_dir_all(&programs).expect("directories");
    let path = programs.join("mdadm");
    fs::write(&path, MDADM).expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("may be run");
}

fn mirror(url: &str) -> Value {
    json!({
        "version": "order/v1", "id": "mirrored",
        "images": { "image": { "urls": [url] } },
        "policies": { "boot_order": "keep" },
        "layouts": [{ "name": "image", "disks": { "system": {
            "on_existing": "destroy", "count": 2, "image": "image", "mirror": true
        } } }]
    })
}

/// Full of what was there before: old superblocks may be anywhere.
fn dirty() -> Loop {
    let disk = Loop::new(SIZE, 512);
    let file = fs::OpenOptions::new().write(true).open(&disk.node).expect("opens");
    file.write_all_at(&vec![0xa5; SIZE as usize], 0).and_then(|()| file.sync_all()).expect("writes");
    disk
}

#[test]
fn both_have_the_image_and_room_behind_it_and_neither_boots_without_an_array() {
    if skipped() {
        return;
    }
    let source = Loop::new(IMAGE, 512);
    let bytes = image(&source);
    drop(source);
    let url = serve(bytes);
    let (one, other) = (dirty(), dirty());
    let root = tempfile::tempdir().expect("a directory");
    with_mdadm(root.path());
    let mut paths = paths(&one);
    paths.root = root.path().to_owned();
    let inventory = machine(&[one.described("S1"), other.described("S2")]);
    let order = order(&mirror(&url));
    let (done, result) = apply_on(&order, &inventory, &paths, &|| Control::Continue);
    let failure = result.expect_err("no array was made");
    assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("create-raid", "apply.array"), "{failure:?}");

    let said = fs::read_to_string(root.path().join("usr/sbin/said")).expect("mdadm was run");
    for word in
        ["--level=raid1", "--metadata=1.0", "--raid-devices=2", "--bitmap=internal", "--name=root", "--homehost=any"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("assume-clean") && !said.contains("data-offset"), "{said}");
    assert!(said.contains("\nequal\n"), "{said}");
    // From the first MiB to the last one, whose beginning the table has.
    let member = format!("member {} 0", SIZE - 2 * MIB);
    assert_eq!(said.lines().filter(|line| *line == member).count(), 2, "{said}");

    assert_eq!(done.images.len(), 2);
    let guids: Vec<_> = done.changes.iter().filter(|change| change.step == "set-guids").collect();
    let [guids] = guids.as_slice() else { panic!("the second alone: {:?}", done.changes) };
    assert_eq!(guids.device, other.node.display().to_string());
    let changed = guids.detail["changed"].as_array().expect("partitions");
    let guid = |when: &str| changed[0][when]["guid"].as_str().expect("a GUID").to_owned();
    assert!(changed.len() == 1 && guid("before") != guid("after"), "{guids:?}");
    for disk in [&one, &other] {
        let mut first = [0; 1024];
        fs::File::open(&disk.node).and_then(|file| file.read_exact_at(&mut first, 0)).expect("reads");
        assert!(first.starts_with(b"BURIN-UNFINISHED") && first[510..512] != [0x55, 0xaa], "it boots");
        assert!(!first[512..].starts_with(b"EFI PART"), "it has a table");
    }
}

#[test]
fn a_disk_without_room_behind_the_image_is_refused_before_it_is_touched() {
    if skipped() {
        return;
    }
    let source = Loop::new(IMAGE, 512);
    let bytes = image(&source);
    drop(source);
    let url = serve(bytes);
    let disks = [Loop::new(IMAGE, 512), Loop::new(IMAGE, 512)];
    let root = tempfile::tempdir().expect("a directory");
    with_mdadm(root.path());
    let mut paths = paths(&disks[0]);
    paths.root = root.path().to_owned();
    let inventory = machine(&[disks[0].described("S1"), disks[1].described("S2")]);
    let mut wanted = mirror(&url);
    wanted["layouts"][0]["disks"]["system"]["grow"] = json!({ "partition": "root", "leave": "1MiB" });
    let (_, result) = apply_on(&order(&wanted), &inventory, &paths, &|| Control::Continue);
    let failure = result.expect_err("no room");
    assert_eq!(failure.problem.code, "image.mirror", "{failure:?}");
    assert!(!root.path().join("usr/sbin/said").exists());
    for disk in &disks {
        assert!(fs::read(disk.directory.path().join("disk")).expect("reads").iter().all(|byte| *byte == 0));
    }
}

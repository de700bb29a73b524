//! The bound disk, and the right partition of it, are written to, whatever the device names are by then.
//!
//! Needs root, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::orders::{IMAGE, image, image_order, order, tree, tree_order};
use crate::support::{Loop, MIB, apply_in, machine, paths, run, serve, skipped};
use burin::apply::{Bound, Paths};
use burin::error::Coded;
use burin::finalize::filesystem;
use burin::finalize::mount::{Access, Mounted};
use burin::plan;
use burin::protocol::Control;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind::PermissionDenied;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The kernel's count of a disk.
fn sequence(disk: &Loop) -> u64 {
    let name = disk.node.file_name().expect("a name");
    let text = fs::read_to_string(Path::new("/sys/block").join(name).join("diskseq")).expect("a sequence");
    text.trim().parse().expect("a number")
}

fn fresh(id: &str) -> Value {
    json!({ "version": "order/v1", "id": id, "layouts": [{ "name": "fresh", "disks": { "system": {
        "on_existing": "destroy", "match": { "serial": "S1" },
        "partitions": [{ "name": "data", "type": "linux", "filesystem": { "type": "ext4", "label": "DATA" } }]
    } } }] })
}

#[test]
fn a_disk_that_came_back_as_another_is_not_opened_for_writing() {
    if skipped() {
        return;
    }
    let disk = Loop::new(64 * MIB, 512);
    let mut described = disk.described("S1");
    described["diskseq"] = json!(sequence(&disk));
    let inventory = machine(&[described]);
    let order = order(&fresh("swapped"));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    drop(Bound::new(&plan, &inventory, &paths(&disk)).expect("the same disk"));
    // Another file at the same node: the kernel counts on.
    run("losetup", &["--detach", disk.node()]);
    let other = disk.directory.path().join("other");
    fs::File::create(&other).and_then(|file| file.set_len(64 * MIB)).expect("a file");
    run("losetup", &[disk.node(), other.to_str().expect("UTF-8")]);
    let error = Bound::new(&plan, &inventory, &paths(&disk)).expect_err("another disk");
    assert_eq!(error.code(), "apply.other_disk");
    assert!(fs::read(&other).expect("reads").iter().all(|byte| *byte == 0));
}

/// sdb and sdc come back exchanged while the order is at work.
#[test]
fn names_that_are_exchanged_between_steps_change_nothing() {
    if skipped() {
        return;
    }
    let (disk, other) = (Loop::new(192 * MIB, 512), Loop::new(192 * MIB, 512));
    run("mkfs.ext4", &["-q", "-F", other.node()]);
    let before = fs::read(other.directory.path().join("disk")).expect("reads");
    // Names of our own, as a device manager gives them.
    let dev = tempfile::Builder::new().prefix("burin-test").tempdir_in("/dev").expect("a directory");
    let name = |name: &str| dev.path().join(name);
    for (link, loop_) in [("sdb", &disk), ("sdc", &other)] {
        let number = fs::metadata(&loop_.node).expect("a node").rdev();
        let (major, minor) = (libc::major(number).to_string(), libc::minor(number).to_string());
        run("mknod", &[name(link).to_str().expect("UTF-8"), "b", &major, &minor]);
    }
    let mut described = disk.described("S1");
    described["path"] = json!(name("sdb"));
    let inventory = machine(&[described]);
    let order = order(&fresh("exchanged"));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let exchanged = std::cell::Cell::new(false);
    let exchange = || {
        if !exchanged.replace(true) {
            fs::rename(name("sdb"), name("x")).expect("renames");
            fs::rename(name("sdc"), name("sdb")).expect("renames");
            fs::rename(name("x"), name("sdc")).expect("renames");
        }
        Control::Continue
    };
    apply_in(&order, &plan, &inventory, None, &paths(&disk), &exchange).1.expect("applies");
    assert!(exchanged.get());
    assert!(fs::read(other.directory.path().join("disk")).expect("reads") == before);
    assert_eq!(filesystem::probe(&disk.partition(1)).expect("one").label.as_deref(), Some("DATA"));
}

/// An image may have a partition of the name that the order gives to a new one.
#[test]
fn a_new_partition_is_found_by_what_it_is_and_not_by_its_name() {
    if skipped() {
        return;
    }
    let source = Loop::new(IMAGE, 512);
    image(&source);
    run("sfdisk", &["--part-label", source.node(), "3", "data"]);
    source.sync();
    let mut bytes = vec![0; IMAGE as usize];
    fs::File::open(&source.node).and_then(|file| file.read_exact_at(&mut bytes, 0)).expect("reads");
    drop(source);
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    let inventory = machine(&[disk.described("S1")]);
    let order = order(&image_order(&url, &bytes));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let seed = plan::seed(&inventory, &order, &BTreeMap::new()).expect("a seed");
    apply_in(&order, &plan, &inventory, seed, &paths(&disk), &|| Control::Continue).1.expect("applies");
    let mounted = Mounted::mount(&disk.partition(3), "ext4", Access::ReadOnly, &paths(&disk).mounts).expect("mounts");
    assert_eq!(fs::read(mounted.path().join("etc/os-release")).expect("the image's own"), b"ID=image\n");
    mounted.unmount().expect("unmounts");
    assert_eq!(filesystem::probe(&disk.partition(1)).expect("one").kind.as_deref(), Some("ext4"));
}

#[test]
fn what_an_image_is_looked_into_by_writes_nothing_and_minds_no_error() {
    if skipped() {
        return;
    }
    let disk = Loop::new(64 * MIB, 512);
    run("sh", &["-c", &format!("echo 'label: gpt\nstart=1MiB' | sfdisk --quiet {}", disk.node())]);
    disk.sync();
    let partition = disk.partition(1);
    let node = partition.to_str().expect("UTF-8");
    run("mkfs.ext4", &["-q", "-F", node]);
    // As an image may say it: the first error stops the kernel.
    run("tune2fs", &["-e", "panic", node]);
    let mounted = Mounted::look(&partition, "ext4", &paths(&disk).mounts).expect("mounts");
    let line = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let at = mounted.path().to_str().expect("UTF-8").to_owned();
    let line = line.lines().find(|line| line.contains(&at)).expect("the mount").to_owned();
    assert!(!line.contains("errors=panic") && line.contains(" ro"), "{line}");
    assert_eq!(run("blockdev", &["--getro", node]).trim(), "1");
    // Not even root writes to it meanwhile.
    let written = fs::OpenOptions::new().write(true).open(&partition).and_then(|file| file.write_all_at(&[1; 512], 0));
    assert_eq!(written.expect_err("locked").kind(), PermissionDenied);
    mounted.unmount().expect("unmounts");
    assert_eq!(run("blockdev", &["--getro", node]).trim(), "0");
    // Left behind by an agent that was killed.
    run("blockdev", &["--setro", node]);
    let mounted = Mounted::mount(&partition, "ext4", Access::ReadWrite, &paths(&disk).mounts).expect("mounts");
    mounted.unmount().expect("unmounts");
}

/// XFS stops the kernel for what this mask names, where somebody has set it.
#[test]
fn xfs_is_told_that_an_image_is_no_reason_to_stop() {
    const MASK: &str = "/proc/sys/fs/xfs/panic_mask";
    let before = fs::read_to_string(MASK).unwrap_or_default();
    if skipped() || fs::write(MASK, "255").is_err() {
        burin_skip::skip!("needs XFS in the kernel, and its mask");
        return;
    }
    let disk = Loop::new(400 * MIB, 512);
    run("sh", &["-c", &format!("echo 'label: gpt\nstart=1MiB' | sfdisk --quiet {}", disk.node())]);
    disk.sync();
    let partition = disk.partition(1);
    run("mkfs.xfs", &["-q", "-f", partition.to_str().expect("UTF-8")]);
    let mounted = Mounted::look(&partition, "xfs", &paths(&disk).mounts).expect("mounts");
    let mask = fs::read_to_string(MASK).expect("the mask");
    mounted.unmount().expect("unmounts");
    fs::write(MASK, before).expect("as it was");
    assert_eq!(mask.trim(), "0");
}

/// What a killed process holds is let go; nodes of ours are no obstacle to the next one.
#[test]
fn disks_are_bound_again_and_again() {
    if skipped() {
        return;
    }
    let (disk, bytes) = (Loop::new(192 * MIB, 512), tree(10_000));
    let inventory = machine(&[disk.described("S1")]);
    let order = order(&tree_order(&serve(bytes.clone()), &bytes));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let nodes = tempfile::Builder::new().prefix("burin-test").tempdir_in("/dev").expect("a directory");
    let paths = Paths { nodes: nodes.path().to_owned(), ..paths(&disk) };
    for _ in 0..3 {
        let bound = Bound::new(&plan, &inventory, &paths).expect("binds");
        assert_eq!(bound.all().len(), 1);
        let held: Vec<PathBuf> = fs::read_dir(nodes.path()).expect("lists").flatten().map(|one| one.path()).collect();
        assert_eq!(held.len(), 1);
        drop(bound);
        assert_eq!(fs::read_dir(nodes.path()).expect("lists").count(), 0);
    }
}

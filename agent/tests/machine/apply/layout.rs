//! New layouts planned and applied on loop devices: old contents are gone, the ordered ones are there, and what had to
//! be preserved is unchanged.
//!
//! Needs root, util-linux, e2fsprogs, xfsprogs, btrfs-progs and dosfstools; without root it says that it was skipped.

use crate::support::storage::{FailingDisk, FaultPlan, StorageFault::WriteError};
use crate::support::{Loop, MIB, apply, paths, planned, run, serve, skipped};
use burin::apply::{self as room, Paths};
use burin::finalize::filesystem;
use burin::finalize::mount::{Access, Mounted};
use burin::protocol::Control;
use burin::protocol::order::Order;
use burin::protocol::plan::Step;
use burin::protocol::plan::steps::CreateTable;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

fn order(disks: Value) -> Order {
    let layout = json!({ "name": "fresh", "disks": disks });
    serde_json::from_value(json!({ "version": "order/v1", "id": "apply-layout", "layouts": [layout] }))
        .expect("an order")
}

fn filesystems() -> Value {
    let partition = |name: &str, kind: &str, size: &str, filesystem: &str| {
        json!({ "name": name, "type": kind, "size": size,
                "filesystem": { "type": filesystem, "label": name.to_uppercase() } })
    };
    json!([
        { "name": "raw", "type": "linux", "size": "64MiB" },
        partition("esp", "esp", "64MiB", "vfat"),
        partition("swap", "swap", "32MiB", "swap"),
        partition("ext", "linux", "64MiB", "ext4"),
        partition("xfs", "linux", "320MiB", "xfs"),
        { "name": "rest", "type": "linux", "number": 9, "filesystem": { "type": "btrfs", "label": "REST" } }
    ])
}

/// Signatures of an earlier life: a table with a btrfs and an swap just where the new partitions will be and where not,
/// and a filesystem on what will become the inside of a partition.
fn used(disk: &Loop) {
    let script = "label: gpt\nstart=3MiB, size=200MiB\nstart=700MiB, size=310MiB\n";
    let file = disk.directory.path().join("table");
    fs::write(&file, script).expect("writes");
    run("sh", &["-c", &format!("sfdisk --quiet --wipe=never {} < {}", disk.node(), file.display())]);
    disk.sync();
    run("mkfs.btrfs", &["-q", "-f", disk.partition(1).to_str().expect("UTF-8")]);
    let mut copy = [0; 8];
    fs::File::open(&disk.node).expect("opens").read_exact_at(&mut copy, 67 * MIB + 64).expect("reads");
    assert_eq!(copy, *b"_BHRfS_M", "btrfs has its copies where it is said to");
    run("mkfs.xfs", &["-q", "-f", disk.partition(2).to_str().expect("UTF-8")]);
}

#[test]
fn a_fresh_layout_over_an_old_one_twice() {
    if skipped() {
        return;
    }
    for sector in [512, 4096] {
        let disk = Loop::new(1024 * MIB, sector);
        used(&disk);
        let order = order(json!({ "system": { "on_existing": "destroy", "match": {}, "partitions": filesystems() } }));
        let plan = planned(&order, &[disk.described("S1")]);
        for _ in 0..2 {
            let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
            result.expect("applies");
            let steps: Vec<&str> = done.changes.iter().map(|change| change.step.as_str()).collect();
            assert_eq!(steps[..3], ["wipe", "create-table", "make-filesystem"]);
            assert_eq!((steps.len(), steps.last()), (8, Some(&"make-bootable")));
            let Some(Step::CreateTable(CreateTable { partitions, guid, .. })) = plan.steps.get(1) else {
                panic!("no table")
            };
            assert_eq!(run("blkid", &["-p", "-s", "PTUUID", "-o", "value", disk.node()]).trim(), guid);
            for partition in partitions {
                let number = partition.number.expect("a number");
                let sysfs = PathBuf::from("/sys/class/block").join(disk.partition(number).file_name().expect("a name"));
                let read = |name: &str| -> u64 {
                    fs::read_to_string(sysfs.join(name)).expect("sysfs").trim().parse().expect("a number")
                };
                assert_eq!((Some(read("start") * 512), read("size") * 512), (partition.start, partition.size));
            }
            let found: Vec<Option<String>> = [1, 2, 3, 4, 5, 9]
                .map(|number| filesystem::probe(&disk.partition(number)).expect("one filesystem").kind)
                .into();
            let wanted = [None, Some("vfat"), Some("swap"), Some("ext4"), Some("xfs"), Some("btrfs")];
            assert_eq!(found, wanted.map(|kind| kind.map(str::to_owned)));
            run("fsck.vfat", &["-n", disk.partition(2).to_str().expect("UTF-8")]);
            run("fsck.ext4", &["-f", "-n", disk.partition(4).to_str().expect("UTF-8")]);
            // Where the old second partition began there is none now, and nothing to be found; nor where the first one
            // had a copy of its superblock.
            let read = |at| {
                let mut bytes = vec![1; 4096];
                fs::File::open(&disk.node).expect("opens").read_exact_at(&mut bytes, at).expect("reads");
                bytes
            };
            assert_ne!(read(700 * MIB)[..4], *b"XFSB");
            assert_ne!(read(67 * MIB)[64..72], *b"_BHRfS_M");
        }
    }
}

fn tree_order(url: &str, digest: &str) -> Order {
    let partition = |name: &str, kind: &str, size: &str, mount: &str| json!({ "name": name, "type": "linux", "size": size, "mount": mount, "filesystem": { "type": kind } });
    let disks = json!({ "system": { "on_existing": "destroy", "match": {}, "partitions": [
        partition("srv", "xfs", "320MiB", "/srv"), partition("root", "ext4", "100MiB", "/"),
    ] } });
    let tree = json!({ "image": "tree", "bootloader": "none" });
    serde_json::from_value(json!({
        "version": "order/v1", "id": "apply-tree",
        "images": { "tree": { "urls": [url], "format": "tar", "digest": { "wire": digest } } },
        "layouts": [{ "name": "tree", "disks": disks, "tree": tree }]
    }))
    .expect("an order")
}

#[test]
fn a_tree_lands_on_its_filesystems_and_only_with_the_right_digest() {
    if skipped() {
        return;
    }
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name);
    fs::create_dir_all(path("root/srv/data")).and_then(|()| fs::create_dir(path("root/etc"))).expect("directories");
    let large: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(path("root/srv/data/large"), &large).expect("writes");
    fs::write(path("root/etc/os-release"), "ID=tree\n").expect("writes");
    let (archive, from) = (path("tree.tar.gz"), path("root"));
    let words = ["-C", from.to_str().expect("UTF-8"), "-czf", archive.to_str().expect("UTF-8"), "."];
    run("tar", &words);
    let sum = run("sha256sum", &[archive.to_str().expect("UTF-8")]);
    let digest = format!("sha256:{}", sum.split_whitespace().next().expect("a digest"));
    let url = serve(fs::read(&archive).expect("reads"));

    let disk = Loop::new(512 * MIB, 512);
    let order = tree_order(&url, &digest);
    let plan = planned(&order, &[disk.described("S1")]);
    for _ in 0..2 {
        let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
        result.expect("applies");
        let receipt = &done.changes.iter().find(|change| change.step == "unpack-tree").expect("a receipt").detail;
        assert_eq!(
            (receipt["digest"]["wire"].as_str(), receipt["compression"].as_str()),
            (Some(&*digest), Some("gzip"))
        );
        assert_eq!((receipt["verified"]["entries"].as_u64(), &receipt["verify"]), (Some(6), &json!("readback")));
        assert_eq!(receipt["verified"]["file_bytes"], receipt["file_bytes"]);
        let mounted =
            |number, kind| Mounted::mount(&disk.partition(number), kind, Access::ReadOnly, &paths(&disk).mounts);
        let root = mounted(2, "ext4").expect("mounts");
        assert_eq!(fs::read_dir(root.path().join("srv")).expect("srv").count(), 0);
        let table = fs::read_to_string(root.path().join("etc/fstab")).expect("fstab");
        let uuid = filesystem::probe(&disk.partition(2)).expect("ext4").uuid.expect("a UUID");
        assert!(table.starts_with(&format!("UUID={uuid} / ext4 defaults 0 1\n")), "{table}");
        assert!(root.path().join("etc/os-release").is_file());
        root.unmount().expect("unmounts");
        let srv = mounted(1, "xfs").expect("mounts");
        assert!(fs::read(srv.path().join("data/large")).expect("reads") == large);
        srv.unmount().expect("unmounts");
    }

    let order = tree_order(&url, &format!("sha256:{}", "0".repeat(64)));
    let plan = planned(&order, &[disk.described("S1")]);
    let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
    let failure = result.expect_err("another digest");
    assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("unpack-tree", "image.digest_mismatch"));
    assert!(done.changes.iter().all(|change| change.step != "unpack-tree" && change.step != "write-fstab"));
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    assert!(!mounts.contains(paths(&disk).mounts.to_str().expect("UTF-8")), "{mounts}");
}

#[test]
fn a_preserved_disk_is_proved_untouched_or_said_to_be_changed() {
    if skipped() {
        return;
    }
    let (disk, kept) = (Loop::new(256 * MIB, 512), Loop::new(64 * MIB, 512));
    run("mkfs.ext4", &["-q", "-F", kept.node()]);
    let order = order(json!({
        "system": { "match": { "serial": "S1" }, "partitions": [{ "name": "data", "type": "linux" }] },
        "data": { "match": { "serial": "S2" }, "on_existing": "preserve" }
    }));
    let plan = planned(&order, &[disk.described("S1"), kept.described("S2")]);
    let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
    result.expect("applies");
    let proof = done.changes.iter().find(|change| change.step == "preserve").expect("a proof");
    let compared = proof.detail["compared"].as_array().expect("a list");
    for what in ["size", "attachment", "first-and-last-mib", "write-counters"] {
        assert!(compared.iter().any(|one| one == what), "{what} is not in {compared:?}");
    }

    // Somebody writes in the middle of the disk, where no digest of ours looks.
    let steps = std::cell::Cell::new(0);
    let disturb = || {
        steps.set(steps.get() + 1);
        if steps.get() == 2 {
            let file = fs::OpenOptions::new().write(true).open(&kept.node).expect("opens");
            file.write_all_at(&[1; 4096], 30 * MIB).and_then(|()| file.sync_all()).expect("writes");
        }
        Control::Continue
    };
    let (done, result) = apply(&order, &plan, &paths(&disk), &disturb);
    let failure = result.expect_err("changed");
    assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("verify-preserved", "apply.not_preserved"));
    assert!(done.changes.iter().all(|change| change.step != "preserve"));
}

#[test]
fn a_missing_program_is_found_before_anything_is_destroyed() {
    if skipped() {
        return;
    }
    let disk = Loop::new(1024 * MIB, 512);
    let order = order(json!({ "system": { "match": {}, "partitions": filesystems() } }));
    let plan = planned(&order, &[disk.described("S1")]);
    let empty = tempfile::tempdir().expect("a directory");
    let paths = Paths { root: empty.path().to_owned(), ..paths(&disk) };
    let error = room::check(&plan, &paths).expect_err("no programs");
    let problem = burin::error::Coded::problem(&error);
    assert_eq!(problem.code, "apply.no_tool");
    assert!(problem.hint.is_some_and(|hint| hint.contains("dosfstools")));
}

#[test]
fn a_mounted_partition_stops_a_wipe() {
    if skipped() {
        return;
    }
    let disk = Loop::new(1024 * MIB, 512);
    used(&disk);
    let mount = disk.directory.path().join("held");
    fs::create_dir(&mount).expect("a directory");
    let (node, at) = (disk.partition(1), mount.to_str().expect("UTF-8"));
    run("mount", &["-t", "btrfs", node.to_str().expect("UTF-8"), at]);
    let order = order(json!({ "system": { "on_existing": "destroy", "match": {}, "partitions": filesystems() } }));
    let plan = planned(&order, &[disk.described("S1")]);
    let (done, result) = apply(&order, &plan, &paths(&disk), &|| Control::Continue);
    run("umount", &[at]);
    assert_eq!(result.expect_err("held").problem.code, "disk.held");
    assert!(done.changes.is_empty());
    assert_eq!(filesystem::probe(&node).expect("still there").kind.as_deref(), Some("btrfs"));
}

/// Stopped at any of its writes, a wipe still knows where the old partitions were when it runs again.
#[test]
fn a_wipe_that_was_cut_short_finds_the_old_partitions_again() {
    if skipped() {
        return;
    }
    let files = tempfile::tempdir().expect("a directory");
    let old = files.path().join("old");
    fs::File::create(&old).and_then(|file| file.set_len(96 * MIB)).expect("a sparse file");
    let script = "label: gpt\nstart=1MiB, size=40MiB\nstart=66MiB, size=20MiB\n";
    let at = old.to_str().expect("UTF-8");
    run("sh", &["-c", &format!("printf '{script}' | sfdisk --quiet {at}")]);
    for mib in [1, 66] {
        run("mkfs.ext4", &["-q", "-F", "-E", &format!("offset={}", mib * MIB), at, "16M"]);
    }
    let order = order(json!({ "system": { "on_existing": "destroy", "match": {}, "wipe": true } }));
    let mut stopped = 0;
    for after in 0.. {
        let backing = files.path().join("disk");
        fs::copy(&old, &backing).expect("copies");
        let fault = Some(FaultPlan { fault: WriteError, after, lasting: true });
        let failing = FailingDisk::over(&backing, fault).expect("a disk");
        let described = failing.disk().described("S1");
        let (_, result) = apply(&order, &planned(&order, &[described]), &paths(failing.disk()), &|| Control::Continue);
        drop(failing);
        if result.is_ok() {
            break;
        }
        stopped += 1;
        let disk = Loop::over(&backing, tempfile::tempdir().expect("a directory"), 512);
        let plan = planned(&order, &[disk.described("S1")]);
        apply(&order, &plan, &paths(&disk), &|| Control::Continue).1.expect("applies");
        let file = fs::File::open(&disk.node).expect("opens");
        for mib in [1, 66] {
            let mut magic = [0; 2];
            file.read_exact_at(&mut magic, mib * MIB + 1080).expect("reads");
            assert_eq!(magic, [0, 0], "ext4 at {mib} MiB, stopped after {after} writes");
        }
    }
    assert!(stopped > 5, "{stopped}");
}

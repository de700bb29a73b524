//! Inspecting an image that makes the inspection hang or crash: the order ends, nothing stays mounted or read-only, and
//! a hanging disk is left alone.
//!
//! Needs root, loop devices and e2fsprogs, the hanging disk /dev/fuse; else it says that it was skipped.

use crate::support::orders::{IMAGE, has_image, image, image_order, order, serve_ranges};
use crate::support::storage::{FailingDisk, StorageFault};
use crate::support::{Loop, MIB, context, machine, paths, run, skipped};
use burin::apply::{self, Applied, Bound, Paths, Patience};
use burin::error::Coded;
use burin::finalize::mount;
use burin::plan;
use burin::protocol::Control;
use burin::report::Emitter;
use burin::stage::{Failure, Stages};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// `at` is called when the step begins that looks for the root filesystem first.
fn apply(value: &Value, disk: &Loop, paths: &Paths, look: Duration, at: &dyn Fn()) -> Result<(), Failure> {
    let (inventory, order) = (machine(&[disk.described("S1")]), order(value));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let seed = plan::seed(&inventory, &order, &BTreeMap::new()).expect("a seed");
    let first = plan.steps.iter().position(|step| step.name() == "grow-partition").expect("it grows the root");
    let count = Cell::new(0);
    let word = || {
        if count.replace(count.get() + 1) == first {
            at();
        }
        Control::Continue
    };
    let mut context = context(&order, &plan, &inventory, seed, paths, &word);
    context.patience = Patience { look, ..Patience::default() };
    apply::apply(&context, &mut Stages::new(Emitter::disconnected()), &mut Applied::default())
}

/// In the place of our own program.
fn script(disk: &Loop, text: &str) -> PathBuf {
    let path = disk.directory.path().join("program");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("writes");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a program");
    path
}

#[test]
fn a_look_that_does_not_end_or_breaks_down_ends_its_order_and_the_next_one_is_whole() {
    if skipped() {
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let value = image_order(&serve_ranges(bytes.clone()), &bytes);
    let disk = Loop::new(192 * MIB, 512);
    for (text, code) in [("exec sleep 600", "look.late"), ("kill -SEGV $$", "look.died"), ("echo {}", "look.died")] {
        let paths = Paths { program: script(&disk, text), ..paths(&disk) };
        let failure = apply(&value, &disk, &paths, Duration::from_millis(200), &|| ()).expect_err(text);
        assert_eq!((failure.stage.as_str(), failure.problem.code.as_str()), ("grow-partition", code), "{failure:?}");
        // The image's partitions were told to the kernel, and no table has them.
        assert_eq!(disk.kernel().partitions().expect("lists").len(), 0, "{text}");
    }
    apply(&value, &disk, &paths(&disk), Duration::from_secs(120), &|| ()).expect("applies");
    disk.sync();
    has_image(&disk);
}

/// The child mounts, and is killed before it has let go.
#[test]
fn what_a_killed_child_had_mounted_is_let_go() {
    if skipped() {
        return;
    }
    let disk = Loop::new(64 * MIB, 512);
    run("sh", &["-c", &format!("echo 'label: gpt\nstart=1MiB' | sfdisk --quiet {}", disk.node())]);
    disk.sync();
    let (partition, mounts) = (disk.partition(1), paths(&disk).mounts);
    let node = partition.to_str().expect("UTF-8");
    run("mkfs.ext4", &["-q", "-F", node]);
    let theirs = mounts.join("sda1.4711-0");
    let others = mounts.join("sda1.47-0");
    for at in [&theirs, &others] {
        fs::create_dir_all(at).expect("a mount point");
        run("mount", &["-o", "ro", node, at.to_str().expect("UTF-8")]);
    }
    run("blockdev", &["--setro", node]);
    mount::clear_after(&mounts, 4711, std::slice::from_ref(&partition));
    assert!(!theirs.exists() && others.exists());
    assert_eq!(run("blockdev", &["--getro", node]).trim(), "0");
    run("umount", &[others.to_str().expect("UTF-8")]);
}

#[test]
fn a_disk_that_hangs_while_it_is_looked_into_is_left_alone() {
    if skipped() {
        return;
    }
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        burin_skip::skip!("needs /dev/fuse");
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let value = image_order(&serve_ranges(bytes.clone()), &bytes);
    let directory = tempfile::tempdir().expect("a directory");
    let backing = directory.path().join("disk");
    fs::File::create(&backing).and_then(|file| file.set_len(64 * MIB)).expect("a file");
    let failing = FailingDisk::over(&backing, None).expect("a disk");
    let disk = failing.disk();
    let began = Cell::new(Instant::now());
    let hang = || {
        failing.fail_from_now(StorageFault::ReadHang);
        failing.let_go_after(Duration::from_secs(90));
        began.set(Instant::now());
    };
    // The table is read by the agent before: in memory by then.
    let failure = apply(&value, disk, &paths(disk), Duration::from_secs(15), &hang).expect_err("it hangs");
    assert_eq!(failure.problem.code, "disk.hung", "{failure:?}");
    // Not when the disk went on, and not by the patience that steps have.
    assert!(began.get().elapsed() < Duration::from_secs(80), "{:?}", began.get().elapsed());
    let (inventory, order) = (machine(&[disk.described("S1")]), order(&value));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    assert_eq!(Bound::new(&plan, &inventory, &paths(disk)).expect_err("kept off").code(), "disk.hung");
    failing.let_go();
}

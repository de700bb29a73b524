//! A disk boots when its order is done, and not before: whatever stops the order, firmware finds nothing to start.
//!
//! Needs root, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::orders::{IMAGE, image, image_order, order, tree, tree_order};
use crate::support::{Loop, MIB, apply_on, machine, paths, run, serve, skipped};
use burin::protocol::Control;
use hwinventory::model::unfinished;
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::FileExt;

/// Nothing of what firmware looks for: boot code with its signature, a GPT at either end.
fn does_not_boot(disk: &Loop) {
    let file = fs::File::open(&disk.node).expect("opens");
    let read = |at: u64| {
        let mut bytes = vec![0; disk.sector as usize];
        file.read_exact_at(&mut bytes, at).expect("reads");
        bytes
    };
    let sector = u64::from(disk.sector);
    let (first, second, last) = (read(0), read(sector), read(disk.bytes - sector));
    assert_ne!(first[510..512], [0x55, 0xaa]);
    assert_eq!(unfinished::parse(&first).as_deref(), Some("faults"), "whose work it is");
    assert!(!second.starts_with(b"EFI PART") && !last.starts_with(b"EFI PART"));
}

/// Calls the order off at each of its steps, and carries it out afterwards.
fn at_every_step(disk: &Loop, value: &Value, steps_before_writing: usize) {
    let (inventory, order) = (machine(&[disk.described("S1")]), order(value));
    for stop in steps_before_writing.. {
        // Something that boots, or did.
        run("sh", &["-c", &format!("echo 'label: gpt' | sfdisk --quiet {}", disk.node())]);
        let count = Cell::new(0);
        let word = || {
            count.set(count.get() + 1);
            if count.get() > stop { Control::Cancel } else { Control::Continue }
        };
        let (done, result) = apply_on(&order, &inventory, &paths(disk), &word);
        match result {
            Ok(()) => {
                assert!(count.get() <= stop && stop > 5, "{stop}");
                let last = done.changes.last().expect("changes");
                assert_eq!(last.step, "make-bootable", "nothing comes after it");
                run("sfdisk", &["--verify", "--quiet", disk.node()]);
                return;
            }
            Err(failure) => {
                assert_eq!(failure.problem.code, "cancelled");
                does_not_boot(disk);
            }
        }
    }
}

#[test]
fn an_image_boots_when_all_of_its_order_is_done() {
    if skipped() {
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    at_every_step(&disk, &image_order(&url, &bytes), 1);
}

#[test]
fn a_tree_boots_when_all_of_its_order_is_done() {
    if skipped() {
        return;
    }
    let (disk, bytes) = (Loop::new(192 * MIB, 512), tree(100_000));
    at_every_step(&disk, &tree_order(&serve(bytes.clone()), &bytes), 1);
}

/// The image is whole and bootable, and what the order wants of it cannot be done.
#[test]
fn an_order_that_fails_after_its_image_leaves_a_disk_that_does_not_boot() {
    if skipped() {
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    let inventory = machine(&[disk.described("S1")]);
    let mut hollow = bytes.clone();
    hollow[MIB as usize..2 * MIB as usize].fill(0);
    let value = image_order(&serve(hollow.clone()), &hollow);
    let (done, result) = apply_on(&order(&value), &inventory, &paths(&disk), &|| Control::Continue);
    assert_eq!(result.expect_err("no root filesystem").problem.code, "finalize.root_unsupported");
    assert_eq!(done.images.len(), 1);
    does_not_boot(&disk);
    // The same order, put right, goes through.
    let (_, result) = apply_on(&order(&image_order(&url, &bytes)), &inventory, &paths(&disk), &|| Control::Continue);
    result.expect("applies");
}

/// The image's own table has no such partition.
#[test]
fn an_order_that_its_image_does_not_allow_leaves_the_disk_alone() {
    if skipped() {
        return;
    }
    let bytes = image(&Loop::new(IMAGE, 512));
    let (disk, url) = (Loop::new(192 * MIB, 512), serve(bytes.clone()));
    let inventory = machine(&[disk.described("S1")]);
    let mut value = image_order(&url, &bytes);
    value["layouts"][0]["disks"]["system"]["guids"]["partitions"] = json!({ "9": "new" });
    let (done, result) = apply_on(&order(&value), &inventory, &paths(&disk), &|| Control::Continue);
    assert_eq!(result.expect_err("no partition 9").problem.code, "image.no_partition");
    assert!(done.images.is_empty());
    assert!(fs::read(&disk.node).expect("reads").iter().all(|byte| *byte == 0));
}

/// Its backup table lies at the very end of the disk.
#[test]
fn an_image_as_large_as_its_disk_has_no_backup_table_there_either() {
    if skipped() {
        return;
    }
    let source = Loop::new(IMAGE, 512);
    let bytes = image(&source);
    drop(source);
    let (disk, url) = (Loop::new(IMAGE, 512), serve(bytes.clone()));
    let inventory = machine(&[disk.described("S1")]);
    let mut value = image_order(&url, &bytes);
    let set = &mut value["layouts"][0]["disks"]["system"];
    set["add"] = json!([]);
    set.as_object_mut().expect("a set").remove("grow");
    let count = Cell::new(0);
    let word = || {
        count.set(count.get() + 1);
        if count.get() == 2 { Control::Cancel } else { Control::Continue }
    };
    let (_, result) = apply_on(&order(&value), &inventory, &paths(&disk), &word);
    assert_eq!(result.expect_err("called off").problem.code, "cancelled");
    does_not_boot(&disk);
    apply_on(&order(&value), &inventory, &paths(&disk), &|| Control::Continue).1.expect("applies");
    run("sfdisk", &["--verify", "--quiet", disk.node()]);
}

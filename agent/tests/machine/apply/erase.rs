//! Disks that are erased before something is put on them: every byte, but for what is kept; and a disk that only says so.
//!
//! Needs root, loop devices, /dev/fuse, util-linux; else it says that it was skipped.

use super::kept::{old_system_with_data, with_kept};
use crate::support::orders::{noise, order};
use crate::support::storage::{FailingDisk, FaultPlan, StorageFault::WriteLost};
use crate::support::{Loop, MIB, apply_on, machine, paths, skipped};
use burin::apply::Applied;
use burin::protocol::Control;
use hwinventory::model::kept::SLOT;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn order_with(over: Value) -> Value {
    let mut set = json!({ "on_existing": "destroy", "match": {}, "erase": "zeros" });
    set.as_object_mut().expect("an object").extend(over.as_object().cloned().expect("an object"));
    json!({ "version": "order/v1", "id": "apply-erase", "layouts": [{ "name": "erased", "disks": { "system": set } }] })
}

fn told(done: &Applied) -> Value {
    done.changes.iter().find(|change| change.step == "erase-disk").expect("a change").detail.clone()
}

#[test]
fn zeros_reach_every_byte_but_what_is_kept() {
    if skipped() {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("disk");
    let kept = old_system_with_data(&file);
    let old = fs::read(&file).expect("reads");
    let disk = Loop::over(&file, tempfile::tempdir().expect("a directory"), 512);
    let wanted = order_with(json!({
        "keep": [{ "name": "data" }], "partitions": [{ "name": "new", "type": "linux", "size": "8MiB" }]
    }));
    let described = with_kept(&disk.described("S1"), &kept);
    let (done, result) = apply_on(&order(&wanted), &machine(&[described]), &paths(&disk), &|| Control::Continue);
    result.expect("applies");
    let now = fs::read(&disk.node).expect("reads");
    let data = kept.start as usize..(kept.start + kept.size) as usize;
    assert!(now[data.clone()] == old[data.clone()], "what is kept");
    // The new table is in the first MiB and in the last one.
    let (head, tail) = (MIB as usize, now.len() - MIB as usize);
    let first = |range: std::ops::Range<usize>| now[range].iter().position(|byte| *byte != 0);
    assert_eq!((first(head..data.start), first(data.end..tail)), (None, None), "something is left");
    let erased = now.len() as u64 - 512 - kept.size - SLOT as u64;
    let said = told(&done);
    assert_eq!((&said["method"], &said["erased_bytes"]), (&json!("zeros"), &json!(erased)), "{said}");
    assert_eq!(said["verified_bytes"], json!(erased));
}

#[test]
fn zeros_are_not_read_back_where_the_order_wants_that() {
    if skipped() {
        return;
    }
    let disk = Loop::new(8 * MIB, 4096);
    fs::write(&disk.node, noise(8 * MIB as usize)).expect("writes");
    let mut wanted = order_with(json!({ "wipe": true }));
    wanted["policies"] = json!({ "verify": "none" });
    let inventory = machine(&[disk.described("S1")]);
    let (done, result) = apply_on(&order(&wanted), &inventory, &paths(&disk), &|| Control::Continue);
    result.expect("applies");
    assert!(fs::read(&disk.node).expect("reads").iter().all(|byte| *byte == 0), "nothing at all is left");
    let said = told(&done);
    assert_eq!((&said["erased_bytes"], &said["verified_bytes"]), (&json!(8 * MIB - 4096), &json!(0)), "{said}");
}

/// It takes writes up to one of them, and from then on only says so.
#[test]
fn a_disk_that_keeps_what_it_was_told_to_erase_is_found_out() {
    if skipped() {
        return;
    }
    if fs::File::options().read(true).write(true).open("/dev/fuse").is_err() {
        burin_skip::skip!("needs /dev/fuse");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (backing, wanted) = (directory.path().join("disk"), order_with(json!({ "wipe": true })));
    let mut codes = BTreeSet::new();
    for after in 0.. {
        fs::write(&backing, noise(4 * MIB as usize)).expect("writes");
        let fault = Some(FaultPlan { fault: WriteLost, after, lasting: true });
        let failing = FailingDisk::over(&backing, fault).expect("a disk");
        let inventory = machine(&[failing.disk().described("S1")]);
        let (done, result) = apply_on(&order(&wanted), &inventory, &paths(failing.disk()), &|| Control::Continue);
        let Err(failure) = result else { break };
        let code = failure.problem.code;
        let said = done.changes.iter().any(|change| change.step == "erase-disk");
        assert!(!said || code != "apply.not_erased", "{after}: told as erased, and not");
        codes.insert(code);
    }
    assert!(codes.contains("apply.not_erased"), "{codes:?}");
}

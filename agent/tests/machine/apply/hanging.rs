//! Disks that do not answer: the order ends, the other disks are closed, a cancellation takes effect, and the disk is
//! not touched again.
//!
//! Needs root, util-linux and e2fsprogs; without root it says that it was skipped.

use crate::support::orders::{order, tree, tree_order};
use crate::support::storage::{FailingDisk, StorageFault};
use crate::support::{MIB, context, machine, paths, serve, skipped};
use burin::apply::{self, Applied, Bound, Patience};
use burin::error::Coded;
use burin::plan;
use burin::protocol::Control;
use burin::report::Emitter;
use burin::stage::Stages;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

/// Lets the disk hang from this step on.
fn hang(patience: Patience, cancel_after: Option<Duration>) {
    let (directory, bytes) = (tempfile::tempdir().expect("a directory"), tree(2_000_000));
    let backing = directory.path().join("disk");
    fs::File::create(&backing).and_then(|file| file.set_len(192 * MIB)).expect("a file");
    let failing = FailingDisk::over(&backing, None).expect("a disk");
    let disk = failing.disk();
    let (inventory, order) = (machine(&[disk.described("S1")]), order(&tree_order(&serve(bytes.clone()), &bytes)));
    let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
    let seed = plan::seed(&inventory, &order, &BTreeMap::new()).expect("a seed");
    let steps = Cell::new(0);
    let word = || {
        steps.set(steps.get() + 1);
        if steps.get() == 3 {
            failing.fail_from_now(StorageFault::Hang);
        }
        Control::Continue
    };
    // A disk that hangs holds up every sync on this machine: whatever happens, it goes on soon.
    let _soon = failing.let_go_after(Duration::from_secs(20));
    let mut context = context(&order, &plan, &inventory, seed, &paths(disk), &word);
    context.patience = patience;
    let cancel = context.cancel.clone();
    let called_off = cancel_after.map(|after| {
        std::thread::spawn(move || {
            std::thread::sleep(after);
            cancel.cancel();
            Instant::now()
        })
    });
    let mut done = Applied::default();
    let result = apply::apply(&context, &mut Stages::new(Emitter::disconnected()), &mut done);
    let ended = Instant::now();
    let failure = result.expect_err("it hangs");
    assert_eq!(failure.stage, "make-filesystem");
    match called_off {
        None => assert_eq!(failure.problem.code, "disk.hung", "{failure:?}"),
        Some(called_off) => {
            assert_eq!(failure.problem.code, "cancelled", "{failure:?}");
            let heard = ended.duration_since(called_off.join().expect("calls off"));
            // Two seconds, and what a busy test machine takes.
            assert!(heard < Duration::from_secs(10), "{heard:?}");
        }
    }
    assert!(done.changes.iter().any(|change| change.step == "create-table"));
    // Nobody touches it as long as the work on it has not ended.
    let again = Bound::new(&plan, &inventory, &paths(disk));
    assert_eq!(again.expect_err("kept off").code(), "disk.hung");
    drop(context);
    failing.let_go();
}

#[test]
fn a_disk_that_gives_no_answer_ends_its_order() {
    if skipped() {
        return;
    }
    hang(Patience { progress: Duration::from_secs(3), ..Patience::default() }, None);
}

#[test]
fn a_cancellation_is_heard_whatever_hangs() {
    if skipped() {
        return;
    }
    hang(Patience::default(), Some(Duration::from_secs(2)));
}

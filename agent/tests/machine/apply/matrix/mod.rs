//! Each kind of step with each kind of fault: the reported error, the state of the disks, and that a repeated run of
//! the order succeeds.
//!
//! [`table`] has a row for each kind of step, without a wildcard: a new kind does not compile before somebody says in
//! which order it is met here, or which test of virtual machines looks at it.
//!
//! Asserted of each cell: the code, the events, the receipt, every byte of the disks that stay, what is on the disk that was
//! to be written, by what docs/errors.md says of the code, and that the order run again ends right. An agent that was killed
//! and a machine without power tell nothing.
//!
//! A third of it by default, which takes a minute; all of it where BURIN_MATRIX or BURIN_NO_SKIP is set.
//!
//! Needs root, loop devices, /dev/fuse, util-linux and e2fsprogs; else it says that it was skipped.

mod scene;
mod table;

use crate::support::orders::{noise, order};
use crate::support::storage::{FailingDisk, StorageFault as Storage};
use crate::support::tape::{Event, Tape};
use crate::support::{Loop, MIB, apply_on, cuts, machine, paths, program, run, skipped};
use burin::apply;
use burin::image::Cancel;
use burin::protocol::plan::Step;
use burin::protocol::{Control, Kind};
use scene::{SIZE, Scene, is_documented, state};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::Fault;

/// The part of the matrix that is looked at by default: one row in so many, another for each fault.
const PART: usize = 3;

/// All of it, as in CI.
fn all() -> bool {
    ["BURIN_MATRIX", "BURIN_NO_SKIP"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn each_row(fault: Fault, cell: &dyn Fn(&Scene, usize, &str)) {
    if skipped() {
        return;
    }
    if File::options().read(true).write(true).open("/dev/fuse").is_err() {
        burin_skip::skip!("needs /dev/fuse");
        return;
    }
    let mut met = BTreeSet::new();
    for scene in Scene::both() {
        for (step, name) in scene.rows() {
            if !all() && !(step + fault as usize).is_multiple_of(PART) {
                continue;
            }
            met.insert(name);
            cell(&scene, step, &format!("{name} x {fault:?}"));
        }
    }
    println!("{fault:?}: {} kinds of steps, of {}: {met:?}", met.len(), Step::NAMES.len());
    // Growing a filesystem takes a capability that not everybody has.
    assert!(met.len() >= if all() { 13 } else { 3 }, "{met:?}");
}

/// The storage does this from a step on: an error that is documented, nothing that boots, and the next run ends right.
fn storage(fault: Fault, wrong: Option<Storage>) {
    each_row(fault, &|scene, step, what| {
        let (backing, old) = (scene.backing(), fs::read(&scene.old).expect("reads"));
        let failing = FailingDisk::over(&backing, None).expect("a disk");
        let mounts = paths(failing.disk()).mounts;
        let ended =
            scene.apply((fault, &scene.described(failing.disk(), None)), failing.disk(), step, &|cancel| match wrong {
                Some(wrong) => {
                    failing.fail_from_now(wrong);
                    // From here on: where much else runs, it takes long to come here.
                    failing.let_go_after(Duration::from_secs(30));
                }
                None => cancel.cancel(),
            });
        let failure = ended.result.clone().expect_err(what);
        ended.is_told(&failure, what);
        let (stage, code) = (failure.stage.as_str(), failure.problem.code.as_str());
        println!("{what}: {stage}: {code}");
        let wanted = match fault {
            Fault::Cancelled => code == "cancelled",
            Fault::Hangs => code == "disk.hung",
            _ => !matches!(code, "cancelled" | "disk.hung"),
        };
        assert!(wanted, "{what}: {failure:?}");
        let at = ended.names.iter().rposition(|name| *name == stage);
        assert!(at.is_none_or(|at| at >= step), "{what}: {failure:?}");
        // No further step begins.
        assert!(fault != Fault::Cancelled || stage == ended.names[step], "{what}: {failure:?}");
        // Also by a disk that does not obey: it is the kernel that forgets. What work that was left behind still uses stays.
        if !matches!(fault, Fault::Hangs | Fault::Cancelled) {
            let known = failing.disk().kernel().partitions().expect("lists");
            assert!(known.is_empty(), "{what}: {known:?}");
        }
        failing.let_go();
        unmount(&mounts);
        drop(failing);
        let now = fs::read(&backing).expect("reads");
        assert_eq!(cuts::unfinished(&old, &now, scene.id()), None, "{what}: {failure:?}");
        let state = state(&old, &now, scene.id());
        assert!(is_documented(code, state), "{what}: docs/errors.md says something else of {code} than {state}");
        scene.kept_is_untouched(what);
        scene.again(&backing, what);
    });
}

/// What work that was left behind has still mounted.
fn unmount(below: &std::path::Path) {
    let below = below.to_str().expect("UTF-8").to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(1)).collect();
        let Some(last) = points.iter().rev().find(|point| point.starts_with(&below)) else { return };
        assert!(Instant::now() < deadline, "{last} stays mounted");
        if !Command::new("umount").arg(last).stderr(Stdio::null()).status().expect("umount").success() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn cancelled_at_any_step() {
    storage(Fault::Cancelled, None);
}

#[test]
fn a_hanging_disk_at_any_step() {
    storage(Fault::Hangs, Some(Storage::Hang));
}

#[test]
fn no_writes_from_any_step_on() {
    storage(Fault::WriteError, Some(Storage::WriteError));
}

#[test]
fn no_reads_from_any_step_on() {
    storage(Fault::ReadError, Some(Storage::ReadError));
}

#[test]
fn a_disk_gone_at_any_step() {
    storage(Fault::Gone, Some(Storage::Gone));
}

/// Where each step begins among the events, and these.
type Recorded = (Vec<usize>, Vec<Event>);

/// The middle of each step, without what was not flushed.
#[test]
fn a_power_cut_at_any_step() {
    let recorded: RefCell<BTreeMap<bool, Recorded>> = RefCell::default();
    each_row(Fault::PowerCut, &|scene, step, what| {
        let (backing, old) = (scene.backing(), fs::read(&scene.old).expect("reads"));
        let mut recorded = recorded.borrow_mut();
        let (begins, events) = recorded.entry(scene.keeps).or_insert_with(|| {
            let tape = Arc::new(Tape::default());
            let disk = FailingDisk::recorded(&backing, &tape, 0).expect("a disk");
            tape.take();
            let begins = RefCell::new(Vec::new());
            let inventory = machine(&scene.described(disk.disk(), None));
            let word = || {
                begins.borrow_mut().push(tape.len());
                Control::Continue
            };
            apply_on(&order(&scene.order), &inventory, &paths(disk.disk()), &word).1.expect("applies");
            (begins.into_inner(), tape.take())
        });
        let cut = begins[step].midpoint(begins.get(step + 1).copied().unwrap_or(events.len()));
        let now = cuts::after(old.clone(), 0, &events[..cut]);
        assert_eq!(cuts::unfinished(&old, &now, scene.id()), None, "{what}: after {cut} of {}", events.len());
        fs::write(&backing, now).expect("writes");
        scene.again(&backing, what);
    });
}

/// The names of the disk and of another one are exchanged: what was bound is what is written.
#[test]
fn names_exchanged_at_any_step() {
    each_row(Fault::Swapped, &|scene, step, what| {
        let backing = scene.backing();
        let disk = Loop::over(&backing, tempfile::tempdir().expect("a directory"), 512);
        let other = Loop::new(SIZE * MIB, 512);
        let foreign = noise((SIZE * MIB) as usize);
        fs::write(&other.node, &foreign).expect("writes");
        let dev = tempfile::Builder::new().prefix("burin-test").tempdir_in("/dev").expect("a directory");
        let name = |name: &str| dev.path().join(name);
        for (link, one) in [("sdb", &disk), ("sdc", &other)] {
            let number = fs::metadata(&one.node).expect("a node").rdev();
            let (major, minor) = (libc::major(number).to_string(), libc::minor(number).to_string());
            run("mknod", &[name(link).to_str().expect("UTF-8"), "b", &major, &minor]);
        }
        let exchange = |_: &Cancel| {
            for (from, to) in [("sdb", "x"), ("sdc", "sdb"), ("x", "sdc")] {
                fs::rename(name(from), name(to)).expect("renames");
            }
        };
        let described = scene.described(&disk, Some(name("sdb")));
        let ended = scene.apply((Fault::Swapped, &described), &disk, step, &exchange);
        ended.result.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
        assert!(ended.events.iter().all(|event| !matches!(event, Kind::StageFailed(_))), "{what}");
        let committed: Vec<&str> = ended
            .done
            .changes
            .iter()
            .filter(|change| change.step == "make-bootable")
            .map(|change| change.device.as_str())
            .collect();
        assert_eq!(
            committed,
            [name("sdb").to_str().expect("UTF-8")],
            "{what}: the receipt has the name that was planned for"
        );
        scene.kept_is_untouched(what);
        assert!(fs::read(&other.node).expect("reads") == foreign, "{what}: another disk was written to");
        disk.sync();
        (scene.has)(&disk);
    });
}

const CHILD: &str = "BURIN_TEST_MATRIX";
const ON: &str = "stage-begins";

/// Not a test of its own: what the next one starts, to kill it.
#[test]
fn child() {
    let Ok(text) = std::env::var(CHILD) else { return };
    let case: Value = serde_json::from_str(&text).expect("JSON");
    let disks = case["disks"].as_array().expect("disks");
    let paths = apply::Paths { mounts: PathBuf::from(case["mounts"].as_str().expect("a path")), ..program() };
    let tell = || {
        // Past the capture of the test runner.
        let _ = nix::unistd::write(std::io::stderr(), format!("{ON}\n").as_bytes());
        Control::Continue
    };
    apply_on(&order(&case["order"]), &machine(disks), &paths, &tell).1.expect("applies");
}

#[test]
fn killed_at_any_step() {
    each_row(Fault::Killed, &|scene, step, what| {
        let (backing, old) = (scene.backing(), fs::read(&scene.old).expect("reads"));
        let disk = Loop::over(&backing, tempfile::tempdir().expect("a directory"), 512);
        let mounts = paths(&disk).mounts;
        let case = json!({ "disks": scene.described(&disk, None), "order": scene.order, "mounts": mounts });
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "apply::matrix::child", "--nocapture"])
            .env(CHILD, case.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        assert_eq!(lines.filter(|line| line.contains(ON)).take(step + 1).count(), step + 1, "{what}");
        child.kill().expect("kills");
        child.wait().expect("ends");
        unmount(&mounts);
        drop(disk);
        let now = fs::read(&backing).expect("reads");
        assert_eq!(cuts::unfinished(&old, &now, scene.id()), None, "{what}");
        scene.again(&backing, what);
    });
}

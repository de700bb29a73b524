//! Each kind of step and each kind of fault: what is said, what is on the disks then, and that the order run again ends
//! right.
//!
//! [`place`] has a row for each kind of step, without a wildcard: a new kind does not compile before somebody says in
//! which order it is met here, or why it cannot be.
//!
//! A third of it by default, which takes a minute; all of it where BURIN_MATRIX or BURIN_NO_SKIP is set.
//!
//! Needs root, loop devices, /dev/fuse, util-linux and e2fsprogs; else it says that it was skipped.

use super::crash::{has_image, old_system};
use crate::support::cuts;
use crate::support::orders::{
    IMAGE, filesystem_image, has_tree, image, image_order, image_spec, noise, order, serve_ranges, sound, tree,
    tree_order_on,
};
use crate::support::storage::{FailingDisk, Fault as Storage};
use crate::support::tape::{Event, Tape};
use crate::support::{Loop, MIB, apply_on, context, machine, paths, program, run, skipped};
use burin::apply::{self, Applied, Patience};
use burin::image::Cancel;
use burin::plan;
use burin::protocol::Control;
use burin::protocol::plan::Step;
use burin::report::Emitter;
use burin::stage::{Failure, Stages};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a kind of step is met.
enum Place {
    /// In the order with an image and a disk that stays.
    Image,
    /// In the order with a fresh layout, a tree, and an image in a partition.
    Tree,
    /// In the virtual machine tests alone.
    Machine,
}

fn place(step: &Step) -> Place {
    match step {
        Step::Preserve(_)
        | Step::WriteImage(_)
        | Step::RelocateBackupGpt(_)
        | Step::SetGuids(_)
        | Step::GrowPartition(_)
        | Step::GrowFilesystem(_)
        | Step::AddPartition(_)
        | Step::MakeFilesystem(_)
        | Step::WriteSeed(_) => Place::Image,
        Step::Wipe(_)
        | Step::CreateTable(_)
        | Step::WritePartition(_)
        | Step::Mount(_)
        | Step::UnpackTree(_)
        | Step::WriteFstab(_) => Place::Tree,
        // Kernels that tests run on may lack md, and FAT; firmware's variables are no disk.
        Step::StopArrays(_)
        | Step::CreateRaid(_)
        | Step::WriteMdadmConf(_)
        | Step::InstallBoot(_)
        | Step::BootEntry(_) => Place::Machine,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    PowerCut,
    Cancelled,
    Hangs,
    WriteError,
    ReadError,
    Swapped,
    Gone,
}

/// An order, and what it needs.
struct Scene {
    order: Value,
    /// Whether it has a disk that stays, with the serial number S2.
    keeps: bool,
    has: fn(&Loop),
    old: PathBuf,
    kept: Loop,
    directory: tempfile::TempDir,
}

const TREE: usize = 100_000;
const SIZE: u64 = 76;

impl Scene {
    fn both() -> [Self; 2] {
        let (bytes, archive) = (image(&Loop::new(IMAGE, 512)), tree(TREE));
        let mut first = image_order(&serve_ranges(bytes.clone()), &bytes);
        first["layouts"][0]["disks"]["kept"] = json!({ "match": { "serial": "S2" }, "on_existing": "preserve" });
        let mut second = tree_order_on(&serve_ranges(archive.clone()), &archive, "ext4", "16MiB");
        let data = filesystem_image(4);
        second["images"]["data"] = image_spec(&serve_ranges(data.clone()), &data);
        let partitions = second["layouts"][0]["disks"]["system"]["partitions"].as_array_mut().expect("a list");
        partitions.push(json!({ "name": "data", "type": "linux", "size": "6MiB", "image": "data" }));
        [
            Self::new(first, true, |disk| has_image(disk, 3)),
            Self::new(second, false, |disk| {
                has_tree(disk, TREE);
                sound(&disk.partition(3));
            }),
        ]
    }

    fn new(order: Value, keeps: bool, has: fn(&Loop)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, kept) = (directory.path().join("old"), Loop::new(8 * MIB, 512));
        old_system(&old, SIZE, 1);
        fs::write(&kept.node, noise(8 * MIB as usize)).expect("writes");
        Self { order, keeps, has, old, kept, directory }
    }

    fn backing(&self) -> PathBuf {
        let path = self.directory.path().join("disk");
        fs::copy(&self.old, &path).expect("copies");
        path
    }

    /// As the inventory has them; the first at this path.
    fn described(&self, disk: &Loop, path: Option<PathBuf>) -> Vec<Value> {
        let mut first = disk.described("S1");
        if let Some(path) = path {
            first["path"] = json!(path);
        }
        let kept = self.keeps.then(|| self.kept.described("S2"));
        [first].into_iter().chain(kept).collect()
    }

    /// The steps that are looked at here: their numbers and names.
    fn rows(&self) -> Vec<(usize, &'static str)> {
        let disk = Loop::new(SIZE * MIB, 512);
        let inventory = machine(&self.described(&disk, None));
        let plan = plan::plan(&inventory, &order(&self.order), &BTreeMap::new()).expect("a plan");
        let here = |step: &Step| match place(step) {
            Place::Image => self.keeps,
            Place::Tree => !self.keeps,
            Place::Machine => false,
        };
        plan.steps.iter().enumerate().filter(|(_, step)| here(step)).map(|(n, step)| (n, step.name())).collect()
    }

    /// `at` is called when this step begins.
    fn apply(&self, (fault, disks): (Fault, &[Value]), disk: &Loop, step: usize, at: &dyn Fn(&Cancel)) -> Ended {
        let (inventory, order) = (machine(disks), order(&self.order));
        let plan = plan::plan(&inventory, &order, &BTreeMap::new()).expect("a plan");
        let seed = plan::seed(&inventory, &order, &BTreeMap::new()).expect("a seed");
        let (count, cancel) = (Cell::new(0), RefCell::new(None));
        let word = || {
            if count.get() == step
                && let Some(cancel) = &*cancel.borrow()
            {
                at(cancel);
            }
            count.set(count.get() + 1);
            Control::Continue
        };
        let mut context = context(&order, &plan, &inventory, seed, &paths(disk), &word);
        // A disk that is well may be slow where much else runs.
        let progress = Duration::from_secs(if fault == Fault::Hangs { 6 } else { 120 });
        context.patience = Patience { progress, ..Patience::default() };
        *cancel.borrow_mut() = Some(context.cancel.clone());
        let mut done = Applied::default();
        let result = apply::apply(&context, &mut Stages::new(Emitter::disconnected()), &mut done);
        let names = plan.steps.iter().map(Step::name).collect();
        Ended { result, names }
    }

    /// The same order on a disk that is well, over what the fault has left; nobody else has changed by then.
    fn again(&self, backing: &std::path::Path, what: &str) {
        let disk = Loop::over(backing, tempfile::tempdir().expect("a directory"), 512);
        let inventory = machine(&self.described(&disk, None));
        let (_, result) = apply_on(&order(&self.order), &inventory, &paths(&disk), &|| Control::Continue);
        result.unwrap_or_else(|failure| panic!("{what}, and again: {failure:?}"));
        disk.sync();
        (self.has)(&disk);
        assert!(fs::read(&self.kept.node).expect("reads") == noise(8 * MIB as usize), "{what}: the kept disk");
    }

    fn id(&self) -> &str {
        self.order["id"].as_str().expect("an id")
    }
}

struct Ended {
    result: Result<(), Failure>,
    names: Vec<&'static str>,
}

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
    assert!(met.len() >= if all() { 14 } else { 3 }, "{met:?}");
}

/// The storage does this from a step on: an error that is documented, nothing that boots, and the next run ends right.
fn storage(fault: Fault, wrong: Option<Storage>) {
    let codes = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md")).expect("reads");
    each_row(fault, &|scene, step, what| {
        let (backing, old) = (scene.backing(), fs::read(&scene.old).expect("reads"));
        let failing = FailingDisk::over(&backing, None).expect("a disk");
        let _soon = failing.let_go_after(Duration::from_secs(20));
        let mounts = paths(failing.disk()).mounts;
        let ended =
            scene.apply((fault, &scene.described(failing.disk(), None)), failing.disk(), step, &|cancel| match wrong {
                Some(wrong) => failing.fail_from_now(wrong),
                None => cancel.cancel(),
            });
        let failure = ended.result.expect_err(what);
        let (stage, code) = (failure.stage.as_str(), failure.problem.code.as_str());
        println!("{what}: {stage}: {code}");
        let wanted = match fault {
            Fault::Cancelled => code == "cancelled",
            Fault::Hangs => code == "disk.hung",
            _ => !matches!(code, "cancelled" | "disk.hung"),
        };
        assert!(wanted && codes.contains(&format!("`{code}`")), "{what}: {failure:?}");
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
        scene
            .apply((Fault::Swapped, &described), &disk, step, &exchange)
            .result
            .unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
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

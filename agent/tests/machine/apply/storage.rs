//! Whole plans on a disk that fails once, or permanently, at any of its requests: no success unless everything is
//! written, a specific error, and success when the same plan is run again on the repaired disk.
//!
//! Covers tables, mkfs, unpacking, fstab, seed, wiping, images and growing. Boot loaders are copied onto a FAT filesystem,
//! which not every kernel that tests run on can mount: their files are compared in the virtual machine tests.
//!
//! Needs root, loop devices, /dev/fuse, util-linux, e2fsprogs, xfsprogs and btrfs-progs; else it says that it was skipped.

use crate::support::orders::{
    IMAGE, has_image, has_tree, holds_image, holds_tree, image, image_order, order, tree, tree_order_on,
};
use crate::support::storage::{FailingDisk, FaultPlan, Requests, StorageFault};
use crate::support::{Loop, MIB, apply_on, machine, paths, run, serve, skipped};
use burin::plan;
use burin::protocol::Control;
use burin::protocol::plan::Step;
use burin::stage::Failure;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const NOISE: usize = 700_000;

fn unable() -> bool {
    if skipped() {
        return true;
    }
    let able = File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !able {
        burin_skip::skip!("needs /dev/fuse");
    }
    !able
}

/// A plan, a disk for it, and how to tell that it was carried out.
struct Scene {
    order: Value,
    /// The disk as it was before.
    old: PathBuf,
    /// What was ordered is there.
    has: fn(&Loop),
    /// And the filesystems are sound.
    holds: fn(&Loop),
    directory: tempfile::TempDir,
}

impl Scene {
    /// On a disk of this size with an earlier life: a table, and filesystems where there will be others.
    fn new(name: &str, mut order: Value, bytes: u64, has: fn(&Loop), holds: fn(&Loop)) -> Self {
        // mkfs.btrfs refuses a UUID that it sees on another disk, and UUIDs come of the order's name.
        order["id"] = json!(format!("storage-{name}"));
        let directory = tempfile::tempdir().expect("a directory");
        let old = directory.path().join("old");
        File::create(&old).and_then(|file| file.set_len(bytes)).expect("a sparse file");
        let script = directory.path().join("table");
        fs::write(&script, "label: gpt\nstart=1MiB, size=40MiB\nstart=66MiB, size=20MiB\n").expect("writes");
        run("sh", &["-c", &format!("sfdisk --quiet {} < {}", old.display(), script.display())]);
        for (offset, label) in [(1, "one"), (66, "two")] {
            let offset = format!("offset={}", offset * MIB);
            run("mkfs.ext4", &["-q", "-F", "-L", label, "-E", &offset, old.to_str().expect("UTF-8"), "16M"]);
        }
        Self { order, old, has, holds, directory }
    }

    fn backing(&self) -> PathBuf {
        let path = self.directory.path().join("disk");
        run("cp", &["--sparse=always", self.old.to_str().expect("UTF-8"), path.to_str().expect("UTF-8")]);
        path
    }

    fn apply(&self, disk: &Loop) -> Result<(), Failure> {
        self.apply_with(disk, &|_| {})
    }

    /// `before` is called before each step, with its number.
    fn apply_with(&self, disk: &Loop, before: &dyn Fn(usize)) -> Result<(), Failure> {
        let inventory = machine(&[disk.described("S1")]);
        let step = Cell::new(0);
        let safe_point = || {
            before(step.get());
            step.set(step.get() + 1);
            Control::Continue
        };
        apply_on(&order(&self.order), &inventory, &paths(disk), &safe_point).1
    }

    /// On a disk that is well, over what the other one has left.
    fn well(backing: &Path) -> Loop {
        Loop::over(backing, tempfile::tempdir().expect("a directory"), 512)
    }

    /// How many requests the whole plan takes.
    fn requests(&self) -> Requests {
        let backing = self.backing();
        let disk = FailingDisk::over(&backing, None).expect("a disk");
        self.apply(disk.disk()).expect("applies");
        let requests = disk.requests();
        drop(disk);
        let disk = Self::well(&backing);
        disk.sync();
        (self.holds)(&disk);
        requests
    }

    /// Faults of all kinds in turn at this many places, spread over the whole of the plan; `BURIN_FAULTS` times as many
    /// where somebody wants to know more.
    fn sweep(&self, places: u64) {
        let requests = self.requests();
        let more = std::env::var("BURIN_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let places: u64 = places * more;
        let mut failed: BTreeMap<(String, String), usize> = BTreeMap::new();
        for place in 0..places {
            let fault = StorageFault::ALL[place as usize % StorageFault::ALL.len()];
            let after = requests.of(fault) * place / places;
            let plan = FaultPlan { fault, after, lasting: place % 2 == 1 };
            if let Some(failure) = self.survives(plan) {
                *failed.entry((failure.stage, failure.problem.code)).or_default() += 1;
            }
        }
        println!("{requests:?}: {failed:?}");
        assert!(failed.len() > 1, "nothing came of the faults: {failed:?}");
    }

    fn survives(&self, plan: FaultPlan) -> Option<Failure> {
        let backing = self.backing();
        let disk = FailingDisk::over(&backing, Some(plan)).expect("a disk");
        let result = self.apply(disk.disk());
        let done = disk.done();
        drop(disk);
        println!("{plan:?}, {} times from {:?}: {result:?}", done.len(), done.first());
        let disk = Self::well(&backing);
        if let Err(failure) = &result {
            assert!(!done.is_empty(), "{failure:?} without a fault");
            assert!(failure.problem.code.contains('.'), "{failure:?}");
            self.apply(&disk).expect("applies");
        }
        disk.sync();
        // What is silently lost of a filesystem's own books (bitmaps, copies of superblocks) is not noticed: every file
        // is read again, those are not.
        let check = if result.is_ok() && plan.fault.is_silent() { self.has } else { self.holds };
        check(&disk);
        result.err()
    }
}

fn tree_scene(srv: &str, size: &str, bytes: u64) -> Scene {
    let archive = tree(NOISE);
    let order = tree_order_on(&serve(archive.clone()), &archive, srv, size);
    Scene::new(srv, order, bytes, |disk| has_tree(disk, NOISE), |disk| holds_tree(disk, NOISE))
}

#[test]
fn a_tree_on_ext4() {
    if unable() {
        return;
    }
    tree_scene("ext4", "32MiB", 96 * MIB).sweep(14);
}

#[test]
fn a_tree_on_btrfs() {
    if unable() {
        return;
    }
    tree_scene("btrfs", "128MiB", 192 * MIB).sweep(7);
}

#[test]
fn a_tree_on_xfs() {
    if unable() {
        return;
    }
    tree_scene("xfs", "304MiB", 384 * MIB).sweep(7);
}

fn image_scene(name: &str) -> Scene {
    let bytes = image(&Loop::new(IMAGE, 512));
    let order = image_order(&serve(bytes.clone()), &bytes);
    Scene::new(name, order, 192 * MIB, has_image, holds_image)
}

#[test]
fn an_image_that_grows() {
    if unable() {
        return;
    }
    image_scene("image").sweep(14);
}

/// A mounted filesystem reads back what it has in its cache.
#[test]
fn a_seed_that_reaches_an_images_cache_alone_is_no_success() {
    if unable() {
        return;
    }
    let scene = image_scene("seed");
    let backing = scene.backing();
    let disk = FailingDisk::over(&backing, None).expect("a disk");
    let inventory = machine(&[disk.disk().described("S1")]);
    let plan = plan::plan(&inventory, &order(&scene.order), &BTreeMap::new()).expect("a plan");
    let seed = plan.steps.iter().position(|step| matches!(step, Step::WriteSeed(_))).expect("a seed");
    let result = scene.apply_with(disk.disk(), &|step| {
        if step == seed {
            disk.fail_from_now(StorageFault::WriteLost);
        }
    });
    assert!(!disk.done().is_empty());
    assert_eq!(result.expect_err("nothing was kept").stage, "write-seed");
    drop(disk);
    let disk = Scene::well(&backing);
    scene.apply(&disk).expect("applies");
    holds_image(&disk);
}

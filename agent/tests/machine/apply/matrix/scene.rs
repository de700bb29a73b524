//! The orders and disks of the matrix, and the expected report of a failed one.

use super::super::crash::{has_image, old_system};
use super::super::kept::{old_system_with_data, with_kept};
use super::table::{Fault, Place, place};
use crate::support::orders::{
    IMAGE, filesystem_image, has_tree, image, image_order, image_spec, noise, order, serve_ranges, sound, tree,
    tree_order_on,
};
use crate::support::{Loop, MIB, apply_on, context, cuts, machine, paths};
use burin::apply::{self, Applied, Patience};
use burin::finalize::mount::{Access, Mounted};
use burin::image::Cancel;
use burin::plan;
use burin::protocol::plan::Step;
use burin::protocol::{Control, Kind};
use burin::report::Emitter;
use burin::stage::{Failure, Stages};
use hwinventory::model::kept::KeptPartition;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// An order, and what it needs.
pub struct Scene {
    pub order: Value,
    /// Whether it has a disk that stays, with the serial number S2.
    pub keeps: bool,
    pub has: fn(&Loop),
    pub old: PathBuf,
    kept: Loop,
    /// A partition of the other one that stays, too.
    data: Option<KeptPartition>,
    directory: tempfile::TempDir,
}

const TREE: usize = 100_000;
pub const SIZE: u64 = 76;

fn has_image_and_file(disk: &Loop) {
    has_image(disk, 3);
    let mounted = Mounted::mount(&disk.partition(3), "ext4", Access::ReadOnly, &paths(disk).mounts).expect("mounts");
    assert_eq!(fs::read_to_string(mounted.path().join("etc/motd")).expect("a file"), "survived");
    mounted.unmount().expect("unmounts");
}

impl Scene {
    pub fn both() -> [Self; 2] {
        let (bytes, archive) = (image(&Loop::new(IMAGE, 512)), tree(TREE));
        let mut first = image_order(&serve_ranges(bytes.clone()), &bytes);
        first["layouts"][0]["disks"]["kept"] = json!({ "match": { "serial": "S2" }, "on_existing": "preserve" });
        first["layouts"][0]["disks"]["system"]["keep"] = json!([{ "name": "data" }]);
        first["layouts"][0]["disks"]["system"]["erase"] = json!("zeros");
        first["layouts"][0]["disks"]["system"]["add"][0]["name"] = json!("more");
        first["files"] = json!([{ "path": "/etc/motd", "contents": "survived", "mode": "0600" }]);
        let mut second = tree_order_on(&serve_ranges(archive.clone()), &archive, "ext4", "16MiB");
        let data = filesystem_image(4);
        second["images"]["data"] = image_spec(&serve_ranges(data.clone()), &data);
        let partitions = second["layouts"][0]["disks"]["system"]["partitions"].as_array_mut().expect("a list");
        partitions.push(json!({ "name": "data", "type": "linux", "size": "6MiB", "image": "data" }));
        [
            Self::new(first, true, has_image_and_file),
            Self::new(second, false, |disk| {
                has_tree(disk, TREE);
                sound(&disk.partition(3));
            }),
        ]
    }

    fn new(order: Value, keeps: bool, has: fn(&Loop)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (old, kept) = (directory.path().join("old"), Loop::new(8 * MIB, 512));
        let data = match keeps {
            true => Some(old_system_with_data(&old)),
            false => {
                old_system(&old, SIZE, 1);
                None
            }
        };
        fs::write(&kept.node, noise(8 * MIB as usize)).expect("writes");
        Self { order, keeps, has, old, kept, data, directory }
    }

    pub fn backing(&self) -> PathBuf {
        let path = self.directory.path().join("disk");
        fs::copy(&self.old, &path).expect("copies");
        path
    }

    /// As the inventory has them; the first at this path.
    pub fn described(&self, disk: &Loop, path: Option<PathBuf>) -> Vec<Value> {
        let mut first = disk.described("S1");
        if let Some(path) = path {
            first["path"] = json!(path);
        }
        if let Some(data) = &self.data {
            first = with_kept(&first, data);
        }
        let kept = self.keeps.then(|| self.kept.described("S2"));
        [first].into_iter().chain(kept).collect()
    }

    /// The steps that are looked at here: their numbers and names.
    pub fn rows(&self) -> Vec<(usize, &'static str)> {
        let disk = Loop::new(SIZE * MIB, 512);
        let inventory = machine(&self.described(&disk, None));
        let plan = plan::plan(&inventory, &order(&self.order), &BTreeMap::new()).expect("a plan");
        let here = |step: &Step| match place(step) {
            Place::Image => self.keeps,
            Place::Tree => !self.keeps,
            Place::Machine(_) => false,
        };
        plan.steps.iter().enumerate().filter(|(_, step)| here(step)).map(|(n, step)| (n, step.name())).collect()
    }

    /// `at` is called when this step begins.
    pub fn apply(&self, (fault, disks): (Fault, &[Value]), disk: &Loop, step: usize, at: &dyn Fn(&Cancel)) -> Ended {
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
        let (mut done, emitter) = (Applied::default(), Emitter::disconnected());
        let heard = emitter.listen(4096);
        let result = apply::apply(&context, &mut Stages::new(emitter), &mut done);
        let names = plan.steps.iter().map(Step::name).collect();
        let events = heard.try_iter().filter_map(|event| event.kind()).collect();
        Ended { result, names, done, events }
    }

    /// The same order on a disk that is well, over what the fault has left; nobody else has changed by then.
    pub fn again(&self, backing: &std::path::Path, what: &str) {
        let disk = Loop::over(backing, tempfile::tempdir().expect("a directory"), 512);
        let inventory = machine(&self.described(&disk, None));
        let (_, result) = apply_on(&order(&self.order), &inventory, &paths(&disk), &|| Control::Continue);
        result.unwrap_or_else(|failure| panic!("{what}, and again: {failure:?}"));
        disk.sync();
        (self.has)(&disk);
        self.kept_is_untouched(what);
        if let Some(data) = &self.data {
            let at = data.start as usize..(data.start + data.size) as usize;
            let (old, now) = (fs::read(&self.old).expect("reads"), fs::read(backing).expect("reads"));
            assert!(old[at.clone()] == now[at], "{what}: the kept partition");
        }
    }

    /// Every byte of it.
    pub fn kept_is_untouched(&self, what: &str) {
        assert!(fs::read(&self.kept.node).expect("reads") == noise(8 * MIB as usize), "{what}: the kept disk");
    }

    pub fn id(&self) -> &str {
        self.order["id"].as_str().expect("an id")
    }
}

/// An order that has ended, and what was told of it.
pub struct Ended {
    pub result: Result<(), Failure>,
    /// Of the plan's steps.
    pub names: Vec<&'static str>,
    pub done: Applied,
    pub events: Vec<Kind>,
}

impl Ended {
    /// The events and the receipt of an order that failed: both name the stage and the code, and nothing that came later, or
    /// not at all, is told as done.
    pub fn is_told(&self, failure: &Failure, what: &str) {
        let (mut begun, mut finished, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for event in &self.events {
            match event {
                Kind::StageStarted(stage) => begun.push(stage.stage.as_str()),
                Kind::StageFinished(stage) => finished.push(stage.stage.as_str()),
                Kind::StageFailed(stage) => failed.push((stage.stage.as_str(), &stage.problem)),
                _ => {}
            }
        }
        assert_eq!(failed, [(failure.stage.as_str(), &failure.problem)], "{what}: what failed is told once");
        assert_eq!(begun.last(), Some(&failure.stage.as_str()), "{what}: nothing begins behind it: {begun:?}");
        assert_eq!(begun.len(), finished.len() + 1, "{what}: {begun:?}, {finished:?}");
        for change in &self.done.changes {
            // Closing what is open is told as well.
            let told = finished.contains(&change.step.as_str()) || change.step == "stop-arrays";
            assert!(told, "{what}: {} is told as done, of {finished:?}", change.step);
            assert_ne!(change.step, "make-bootable", "{what}");
        }
        let written = finished.contains(&"write-image");
        assert_eq!(self.done.images.len(), usize::from(written), "{what}: {:?}", self.done.images);
    }
}

/// What is on a disk, in the words of docs/errors.md.
pub fn state(old: &[u8], now: &[u8], order: &str) -> &'static str {
    match cuts::unfinished(old, now, order) {
        Some(_) if cuts::paths(now).is_empty() => "neither",
        Some(_) => "whole",
        None if old == now => "old",
        None => "unfinished",
    }
}

/// Whether the row of a code in docs/errors.md allows that.
pub fn is_documented(code: &str, state: &str) -> bool {
    let document = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md")).expect("reads");
    let row = document.lines().find(|line| line.starts_with(&format!("| `{code}` |")));
    let last = row.and_then(|row| row.trim_end_matches(['|', ' ']).rsplit('|').next()).unwrap_or_default();
    last.trim().split(" or ").any(|word| word == state)
}

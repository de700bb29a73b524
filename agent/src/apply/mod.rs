//! Carries out a plan's steps in order, on the disks that it names, and on no others.
//!
//! The plan was made from an inventory taken a moment ago: pinning means planning again and comparing digests
//! ([`pin`]), so that what is applied fits the machine as it is now. The disks are then opened and held ([`bound`]).
//! Each step runs in a thread that can be abandoned ([`watch`]). Everything open is closed on every exit path
//! ([`live`]). The parts that make a disk bootable are written last ([`boot_area`]).

mod arrays;
pub mod boot_area;
pub mod bound;
mod collide;
mod crypt;
mod engine;
mod error;
mod fetch;
mod group;
mod growth;
mod holders;
mod keep;
mod keys;
mod live;
pub mod look;
mod mapped;
mod namespace;
mod preserve;
mod resolve;
mod seed_volume;
mod steps;
mod system;
mod table;
mod tools;
mod tree;
mod watch;
mod whole;
mod wipe;
mod work;

pub use bound::{Bound, forget_maps};
pub use engine::apply;
pub use error::ApplyError;
pub use watch::Patience;

use crate::image::Cancel;
use crate::plan::SeedFiles;
use crate::protocol::order::Order;
use crate::protocol::plan::{Fate, Plan, Step};
use crate::protocol::receipt::Change;
use crate::protocol::{Control, ImageReceipt};
use hwinventory::Inventory;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Directories of the running system.
#[derive(Debug, Clone)]
pub struct Paths {
    pub sys: PathBuf,
    pub dev: PathBuf,
    /// Directory for temporary mounts of partitions.
    pub mounts: PathBuf,
    /// Directory for our own device nodes; not on a filesystem that is mounted `nodev`, like `/run`.
    pub nodes: PathBuf,
    /// The root directory with mkfs and other programs.
    pub root: PathBuf,
    /// This program, for work in a separate process.
    pub program: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            sys: "/sys".into(),
            dev: "/dev".into(),
            mounts: "/run/burin/mnt".into(),
            nodes: "/dev/burin".into(),
            root: "/".into(),
            program: "/proc/self/exe".into(),
        }
    }
}

/// What the steps need besides the plan.
pub struct Context<'a> {
    pub order: Arc<Order>,
    pub plan: Arc<Plan>,
    /// The inventory that the plan was made from, with the contents of the disks that stay.
    pub inventory: Arc<Inventory>,
    /// The seed, attributes resolved.
    pub seed: Option<Arc<SeedFiles>>,
    /// For images.
    pub download: ureq::Agent,
    pub cancel: Cancel,
    /// Called between steps, where the work can be stopped safely; waits while the controller says hold.
    pub safe_point: &'a dyn Fn() -> Control,
    pub paths: Paths,
    /// The plan's disks, held open from [`Bound::new`] to the end of the order.
    pub disks: Bound,
    pub patience: Patience,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context {{ order: {:?}, plan: {:?} }}", self.order.id, self.plan.digest)
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    pub images: Vec<ImageReceipt>,
    pub changes: Vec<Change>,
}

/// Refuses a plan other than the agreed one: the machine has changed in between.
pub fn pin(plan: &Plan, agreed: &str) -> Result<(), ApplyError> {
    if plan.digest == agreed {
        return Ok(());
    }
    Err(ApplyError::Changed { agreed: agreed.to_owned(), now: plan.digest.clone() })
}

/// Refuses a plan with a step that this agent or its ramdisk does not support, before the first step.
pub fn check(plan: &Plan, paths: &Paths) -> Result<(), ApplyError> {
    let ramdisk = steps::Ramdisk { root: &paths.root };
    plan.steps.iter().try_for_each(|step| steps::able(step, &ramdisk))?;
    if plan.disks.iter().any(|disk| disk.fate == Fate::Overwritten && disk.paths.len() > 1) {
        ["dm-multipath", "dm-round-robin"].into_iter().try_for_each(|module| ramdisk.module(module))?;
    }
    for index in plan.steps.iter().flat_map(|step| [step.disks(), step.reads()]).flatten() {
        if plan.disks.get(index).is_none() {
            return Err(ApplyError::NoDisk { index });
        }
    }
    Ok(())
}

/// The capabilities in hello that concern steps.
pub fn capabilities() -> impl Iterator<Item = String> {
    Step::NAMES.iter().map(|name| format!("step.{name}"))
}

fn change(step: &str, device: &str, detail: &impl Serialize) -> Change {
    let detail = serde_json::to_value(detail).unwrap_or_default();
    Change { step: step.to_owned(), device: device.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// The table in docs/layouts.md, "What apply can do".
    #[test]
    fn what_is_told_of_steps_is_what_there_is() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/layouts.md");
        let text = std::fs::read_to_string(docs).unwrap();
        let (_, section) = text.split_once("## What apply can do").unwrap();
        let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let cells = table.filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let told: BTreeSet<&str> =
            cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches(['`', ' ', '|'])).collect();
        // Done by the engine itself.
        let between = ["find-collisions", "make-bootable"];
        let known: BTreeSet<&str> = Step::NAMES.iter().copied().chain(between).collect();
        assert_eq!(told, known);
        assert!(capabilities().any(|word| word == "step.unpack-tree"));
    }
}

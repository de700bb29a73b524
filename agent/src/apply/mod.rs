//! Carries out a plan's steps in order, on the disks that it names, and on no others.
//!
//! The plan that comes here was made from an inventory taken a moment ago: pinning is done by planning again and
//! comparing digests ([`pin`]), so that what is applied fits the machine as it is now. The disks are opened then and held
//! ([`bound`]); each step runs where it can be left behind ([`watch`]); what is opened is closed on every way out
//! ([`live`]); what makes a disk boot comes to it last ([`boot_area`]).

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

pub use bound::Bound;
pub use engine::apply;
pub use error::ApplyError;
pub use watch::Patience;

use crate::image::Cancel;
use crate::plan::SeedFiles;
use crate::protocol::order::Order;
use crate::protocol::plan::{Plan, Step};
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
    /// Where partitions are mounted for a moment.
    pub mounts: PathBuf,
    /// Where device nodes of our own are; not on a filesystem that is mounted `nodev`, as `/run` is.
    pub nodes: PathBuf,
    /// Where mkfs and the like are.
    pub root: PathBuf,
    /// This program, for what is done in a process of its own.
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

/// What the steps need beside the plan.
pub struct Context<'a> {
    pub order: Arc<Order>,
    pub plan: Arc<Plan>,
    /// What the plan was made from: it knows what is on the disks that stay.
    pub inventory: Arc<Inventory>,
    /// The values of the seed, attributes resolved.
    pub seed: Option<Arc<SeedFiles>>,
    /// For images.
    pub download: ureq::Agent,
    pub cancel: Cancel,
    /// Called between steps, where the work can be stopped without harm; waits while the controller says hold.
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

/// Refuses a plan that is not the one that was agreed on: the machine has changed in between.
pub fn pin(plan: &Plan, agreed: &str) -> Result<(), ApplyError> {
    if plan.digest == agreed {
        return Ok(());
    }
    Err(ApplyError::Changed { agreed: agreed.to_owned(), now: plan.digest.clone() })
}

/// Refuses a plan with a step that this agent or its ramdisk cannot do, before the first one is done.
pub fn check(plan: &Plan, paths: &Paths) -> Result<(), ApplyError> {
    let ramdisk = steps::Ramdisk { root: &paths.root };
    plan.steps.iter().try_for_each(|step| steps::able(step, &ramdisk))?;
    for index in plan.steps.iter().flat_map(|step| [step.disks(), step.reads()]).flatten() {
        if plan.disks.get(index).is_none() {
            return Err(ApplyError::NoDisk { index });
        }
    }
    Ok(())
}

/// What hello says that this agent can do, of steps.
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

    /// The table of docs/layouts.md, "What apply can do".
    #[test]
    fn what_is_told_of_steps_is_what_there_is() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/layouts.md");
        let text = std::fs::read_to_string(docs).unwrap();
        let (_, section) = text.split_once("## What apply can do").unwrap();
        let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let cells = table.filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        let told: BTreeSet<&str> =
            cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches(['`', ' ', '|'])).collect();
        // What the engine does by itself.
        let between = ["find-collisions", "make-bootable"];
        let known: BTreeSet<&str> = Step::NAMES.iter().copied().chain(between).collect();
        assert_eq!(told, known);
        assert!(capabilities().any(|word| word == "step.unpack-tree"));
    }
}

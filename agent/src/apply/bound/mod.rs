//! Disks bound by file descriptor, not by name: opened once when the work begins and held until it is over.
//!
//! While a disk is held open, the kernel assigns its device number to no other, so a node of our own with that number
//! leads to this disk or to nothing, whatever is plugged in meanwhile. Everything that opens a disk of the plan, or a
//! partition of one, uses such a node: this program, mount(2), and the programs that make filesystems and arrays.
//! [`BoundDisk::open`] provides it after verifying what it opened.

mod contents;
mod disk;
mod hung;
mod multipath;
mod node;
mod planned;
mod proof;
mod requests;

pub use disk::{BoundDisk, OpenedDisk};
pub use hung::Until;
pub use multipath::forget_maps;
pub use node::make as make_node;
pub use proof::{Access, Proven};

use super::{ApplyError, Paths};
use crate::protocol::plan::Plan;
use hwinventory::Inventory;
use std::path::PathBuf;
use std::sync::Arc;

/// A part of a disk with a block device of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// By the number in its table.
    Number(u32),
}

/// The disks of a plan, in its order. Clones share them; the last one that is dropped releases them.
#[derive(Debug, Clone)]
pub struct Bound(Arc<Held>);

#[derive(Debug)]
struct Held {
    disks: Vec<Arc<BoundDisk>>,
    nodes: PathBuf,
}

impl Bound {
    /// Opens every disk of a plan. `inventory` is what the plan was made from, a moment ago: the opened disks must
    /// match it.
    pub fn new(plan: &Plan, inventory: &Inventory, paths: &Paths) -> Result<Self, ApplyError> {
        let nodes = node::directory(&paths.nodes)?;
        let mut held = Held { disks: Vec::with_capacity(plan.disks.len()), nodes };
        for planned in &plan.disks {
            let seen = inventory.disks.data.iter().find(|disk| disk.path == planned.device);
            held.disks.push(Arc::new(BoundDisk::open_planned(planned, seen, paths, &held.nodes)?));
        }
        Ok(Self(Arc::new(held)))
    }

    pub fn disk(&self, index: usize) -> Result<&Arc<BoundDisk>, ApplyError> {
        self.0.disks.get(index).ok_or(ApplyError::NoDisk { index })
    }

    pub fn all(&self) -> &[Arc<BoundDisk>] {
        &self.0.disks
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Nodes alone hold nothing; a user of one has it open.
        let _ = std::fs::remove_dir_all(&self.nodes);
    }
}

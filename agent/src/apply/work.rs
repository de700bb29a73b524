//! State shared by the steps of an order. A step's thread may outlive its caller, so everything here is
//! reference-counted, and locked only briefly.

use super::arrays::Array;
use super::boot_area::Committed;
use super::bound::{Bound, BoundDisk};
use super::group::Group;
use super::live::Stack;
use super::mapped::Mapped;
use super::preserve::Evidence;
use super::steps::boot_entry::Found;
use super::tree::Tree;
use super::watch::Patience;
use super::{Applied, ApplyError, Context, Paths, change, keep};
use crate::error::Coded;
use crate::image::Cancel;
use crate::plan::SeedFiles;
use crate::protocol::event::Anomaly;
use crate::protocol::order::Order;
use crate::protocol::plan::{Device, Fate, Plan, PlannedDisk, Step};
use crate::protocol::receipt::Change;
use crate::protocol::{ImageReceipt, Kind};
use crate::report::Emitter;
use hwinventory::Inventory;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An order that is being carried out.
#[derive(Debug)]
pub struct Work {
    pub order: Arc<Order>,
    pub plan: Arc<Plan>,
    /// The inventory from which the plan was made. It also lists the contents of disks that stay.
    pub inventory: Arc<Inventory>,
    /// The values of the seed, with attributes resolved.
    pub seed: Option<Arc<SeedFiles>>,
    /// HTTP client for images.
    pub download: ureq::Agent,
    pub cancel: Cancel,
    pub paths: Paths,
    pub patience: Patience,
    pub emitter: Emitter,
    pub disks: Bound,
    /// Open filesystems, arrays and volumes.
    pub stack: Stack,
    tree: Mutex<Tree>,
    arrays: Mutex<Vec<Arc<Array>>>,
    groups: Mutex<Vec<Arc<Group>>>,
    mapped: Mutex<BTreeMap<Device, Mapped>>,
    evidence: Mutex<Vec<(usize, Evidence)>>,
    /// Evidence for partitions that stay, by disk.
    kept: Mutex<Vec<(usize, keep::KeepEvidence)>>,
    found: Mutex<Vec<Found>>,
    /// Numbers of partitions that were added, or found for a step, by disk and by their name in the plan.
    places: Mutex<BTreeMap<(usize, String), u32>>,
    done: Mutex<Applied>,
}

impl Work {
    pub fn new(context: &Context<'_>, emitter: Emitter) -> Self {
        Self {
            order: context.order.clone(),
            plan: context.plan.clone(),
            inventory: context.inventory.clone(),
            seed: context.seed.clone(),
            download: context.download.clone(),
            cancel: context.cancel.clone(),
            paths: context.paths.clone(),
            patience: context.patience,
            emitter,
            disks: context.disks.clone(),
            stack: Stack::default(),
            tree: Mutex::default(),
            arrays: Mutex::default(),
            groups: Mutex::default(),
            mapped: Mutex::default(),
            evidence: Mutex::default(),
            kept: Mutex::default(),
            found: Mutex::default(),
            places: Mutex::default(),
            done: Mutex::default(),
        }
    }

    pub fn planned(&self, index: usize) -> Result<&PlannedDisk, ApplyError> {
        self.plan.disks.get(index).ok_or(ApplyError::NoDisk { index })
    }

    /// The disks that may keep a step waiting: those that it names, otherwise all that are overwritten.
    pub fn watched(&self, step: &Step) -> Vec<Arc<BoundDisk>> {
        let (mut named, reads) = (step.disks(), step.reads());
        named.extend(reads);
        if named.is_empty() {
            return self.overwritten();
        }
        named.iter().filter_map(|index| self.disks.disk(*index).ok().cloned()).collect()
    }

    pub fn overwritten(&self) -> Vec<Arc<BoundDisk>> {
        let written = self.plan.disks.iter().zip(self.disks.all()).filter(|(disk, _)| disk.fate == Fate::Overwritten);
        written.map(|(_, bound)| bound.clone()).collect()
    }

    /// The new system's filesystems, locked by the step that works on them.
    pub fn tree(&self) -> MutexGuard<'_, Tree> {
        lock(&self.tree)
    }

    /// Running arrays that this order made.
    pub fn arrays(&self) -> Vec<Arc<Array>> {
        lock(&self.arrays).clone()
    }

    /// The array over this partition of an image.
    pub fn array_over(&self, disk: &BoundDisk, number: u32) -> Option<Arc<Array>> {
        self.arrays().into_iter().find(|array| array.is_over(disk, number))
    }

    pub fn add_array(&self, array: Arc<Array>) {
        lock(&self.arrays).push(array);
    }

    /// An active volume group that this order made.
    pub fn group(&self, name: &str) -> Option<Arc<Group>> {
        lock(&self.groups).iter().find(|group| group.name == name).cloned()
    }

    pub fn add_group(&self, group: Arc<Group>) {
        lock(&self.groups).push(group);
    }

    /// A LUKS or logical volume that this order made.
    pub fn mapped(&self, device: &Device) -> Option<Mapped> {
        lock(&self.mapped).get(device).cloned()
    }

    pub fn add_mapped(&self, device: Device, mapped: Mapped) {
        lock(&self.mapped).insert(device, mapped);
    }

    pub fn add_evidence(&self, disk: usize, evidence: Evidence) {
        lock(&self.evidence).push((disk, evidence));
    }

    pub fn evidence(&self) -> Vec<(usize, Evidence)> {
        lock(&self.evidence).clone()
    }

    pub fn add_kept(&self, disk: usize, evidence: keep::KeepEvidence) {
        lock(&self.kept).push((disk, evidence));
    }

    pub fn kept(&self) -> Vec<(usize, keep::KeepEvidence)> {
        lock(&self.kept).clone()
    }

    /// Records the number of a partition that the plan knows by name.
    pub fn place(&self, disk: usize, name: &str, number: u32) {
        lock(&self.places).insert((disk, name.to_owned()), number);
    }

    pub fn place_of(&self, disk: usize, name: &str) -> Option<u32> {
        lock(&self.places).get(&(disk, name.to_owned())).copied()
    }

    /// Records a boot loader for which the firmware needs an entry.
    pub fn add_found(&self, found: Found) {
        lock(&self.found).push(found);
    }

    pub fn found(&self) -> Vec<Found> {
        lock(&self.found).clone()
    }

    /// Adds a change to the receipt, under the name of a step.
    pub fn note(&self, step: &str, device: &str, detail: &impl Serialize) {
        self.add(change(step, device, detail));
    }

    pub fn add(&self, change: Change) {
        lock(&self.done).changes.push(change);
    }

    pub fn add_image(&self, receipt: ImageReceipt) {
        lock(&self.done).images.push(receipt);
    }

    /// Adds what the last write of the order has read back at the ends of a disk of `size` bytes to that of its image.
    pub fn add_verified(&self, committed: &Committed, size: u64) {
        for image in lock(&self.done).images.iter_mut().filter(|image| image.device == committed.device) {
            image.verified_bytes += committed.of_image(image.image_bytes, size);
        }
    }

    pub fn take_done(&self) -> Applied {
        std::mem::take(&mut *lock(&self.done))
    }

    /// Reports a problem that does not stop the order.
    pub fn anomaly(&self, device: &str, error: &impl Coded) {
        let problem = error.problem();
        log::warn!("{device}: {} [{}]", problem.message, problem.code);
        self.emitter.emit(Kind::Anomaly(Anomaly { device: Some(device.to_owned()), problem }));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

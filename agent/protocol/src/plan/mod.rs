//! `plan/v1`: what will be done to which disks, and why. A pure function of (Inventory, Order).
//!
//! Disks are named by their index in `disks`; when the plan is applied, they are found again by `Identity`. Sizes and
//! offsets are bytes.

mod disk;
mod identifier;
mod node;
mod parts;
pub mod raid;
pub mod steps;
mod trace;
mod truth;
pub mod words;

pub use disk::{
    Content, Existing, ExistingPartition, Fate, Identity, IdentityKind, Kept, PlannedDisk, PlannedPath, Strength,
};
pub use identifier::Identifier;
pub use node::Node;
pub use parts::{
    ArrayEntry, CrypttabEntry, Device, FstabEntry, PlannedFile, PlannedFilesystem, PlannedKey, PlannedPartition,
    PlannedPbkdf, PlannedPhysical, SeedTarget, TreeNeed, VolumeShape,
};
pub use steps::Step;
pub use trace::{
    AttributeSource, AttributeTrace, Candidate, Check, GateFinding, LayoutTrace, LayoutVerdict, SetTrace, Trace, Truth,
    Verdict,
};

use super::order::{Finish, PartitionPick};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const VERSION: &str = "plan/v1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Always `plan/v1`.
    pub version: String,
    /// The order's id.
    pub order: String,
    /// `sha256:HEX` over the order's canonical JSON, so that a plan fits only this order.
    pub order_digest: String,
    /// `sha256:HEX` over the canonical JSON of the plan without this field, `trace`, `warnings`, `device` names and `paths`:
    /// it changes if the work changes, but not if the kernel numbers disks differently.
    pub digest: String,
    /// The layout that was chosen.
    pub layout: String,
    pub disks: Vec<PlannedDisk>,
    /// In the order of execution.
    pub steps: Vec<Step>,
    pub finish: Finish,
    /// What the order's author should know, although it does not stop the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
    /// Why these disks and not others.
    pub trace: Trace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable and dotted, like error codes.
    pub code: String,
    pub message: String,
}

impl Plan {
    /// Size in bytes of a disk, of a partition that a step makes in a fresh table, or of a device built on these.
    pub fn size_of(&self, device: &Device) -> Option<u64> {
        match device {
            Device::Disk { disk } => self.shape_of(*disk).map(|(size, _)| size),
            Device::Partition { disk: on, name: wanted, .. } => self.steps.iter().find_map(|step| match step {
                Step::CreateTable(table) if table.disk == *on => {
                    let found = table.partitions.iter().find(|partition| partition.name == *wanted);
                    found.map(|partition| partition.size)
                }
                _ => None,
            }),
            // Known only once the image is there.
            Device::ImagePartition { .. } => None,
            Device::Raid { name } => self.raid(name)?.geometry(self).map(|geometry| geometry.size),
            Device::Luks { name: wanted } => self.steps.iter().find_map(|step| match step {
                Step::CreateLuks(luks) if luks.name == *wanted => Some(luks.size),
                _ => None,
            }),
            Device::Volume { group, name } => self.steps.iter().find_map(|step| match step {
                Step::CreateVolume(made) if (&made.group, &made.name) == (group, name) => Some(made.size),
                _ => None,
            }),
        }
    }

    /// Size and logical sector size of a disk in bytes when it is written: a step may change them.
    pub fn shape_of(&self, disk: usize) -> Option<(u64, u32)> {
        let formatted = self.steps.iter().find_map(|step| match step {
            Step::FormatNamespace(format) if format.disk == disk => Some((format.size, format.sector_size)),
            _ => None,
        });
        formatted.or_else(|| self.disks.get(disk).map(|disk| (disk.size, disk.logical_block_size)))
    }

    /// The array that a step makes over this partition of an image.
    pub fn over(&self, disk: usize, partition: PartitionPick) -> Option<&str> {
        let member = Device::ImagePartition { disk, partition };
        self.steps.iter().find_map(|step| match step {
            Step::CreateRaid(raid) if raid.members.contains(&member) => Some(raid.name.as_str()),
            _ => None,
        })
    }

    /// The step that makes an array.
    fn raid(&self, wanted: &str) -> Option<&steps::CreateRaid> {
        self.steps.iter().find_map(|step| match step {
            Step::CreateRaid(raid) if raid.name == wanted => Some(raid),
            _ => None,
        })
    }

    /// The physical volumes of a volume group that a step makes.
    pub fn physical_volumes(&self, group: &str) -> Vec<Device> {
        let made = self.steps.iter().find_map(|step| match step {
            Step::CreateGroup(made) if made.name == group => Some(&made.physical),
            _ => None,
        });
        made.into_iter().flatten().map(|one| one.on.clone()).collect()
    }

    /// The disks below a device, through arrays and volumes, without duplicates.
    pub fn disks_below(&self, device: &Device) -> Vec<usize> {
        disks_below(&self.steps, device)
    }

    /// Whether a device is, or lies on, a LUKS volume.
    pub fn is_encrypted(&self, device: &Device) -> bool {
        is_encrypted(&self.steps, device)
    }

    /// How a partition that a step makes is found in its table: by its number, or else by its GUID.
    pub fn made(&self, disk: usize, name: &str) -> Option<&PlannedPartition> {
        self.steps.iter().find_map(|step| match step {
            Step::CreateTable(table) if table.disk == disk => {
                table.partitions.iter().find(|partition| partition.name == name)
            }
            Step::AddPartition(add) if add.disk == disk && add.partition.name == name => Some(&add.partition),
            _ => None,
        })
    }
}

/// The device and everything below it, through everything that `steps` make. Without duplicates, the nearest first.
pub fn layers(steps: &[Step], device: &Device) -> Vec<Device> {
    let mut found = vec![device.clone()];
    let mut next = 0;
    while let Some(one) = found.get(next).cloned() {
        for below in below(steps, &one) {
            // No valid plan has cycles, but plans from elsewhere may.
            if !found.contains(&below) {
                found.push(below);
            }
        }
        next += 1;
    }
    found
}

/// Whether a device is, or lies on, a LUKS volume.
pub fn is_encrypted(steps: &[Step], device: &Device) -> bool {
    layers(steps, device).iter().any(|one| matches!(one, Device::Luks { .. }))
}

/// The disks below a device, without duplicates.
pub fn disks_below(steps: &[Step], device: &Device) -> Vec<usize> {
    let mut found: Vec<usize> = layers(steps, device).iter().filter_map(Device::disk).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The devices directly below a device.
fn below(steps: &[Step], device: &Device) -> Vec<Device> {
    let found = steps.iter().find_map(|step| match (step, device) {
        (Step::CreateRaid(raid), Device::Raid { name }) if raid.name == *name => Some(raid.members.clone()),
        (Step::CreateLuks(luks), Device::Luks { name }) if luks.name == *name => Some(vec![luks.on.clone()]),
        (Step::CreateGroup(made), Device::Volume { group, .. }) if made.name == *group => {
            Some(made.physical.iter().map(|one| one.on.clone()).collect())
        }
        _ => None,
    });
    found.unwrap_or_default()
}

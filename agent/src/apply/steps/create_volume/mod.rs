//! Creates logical volumes with lvm, and verifies the group's metadata.

use super::{ApplyError, CreateVolume, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::group::{self, Group, LVM};
use crate::apply::mapped::{self, Mapped};
use crate::apply::{resolve, wipe};
use crate::finalize::lvm::{self, Kind};
use crate::protocol::plan::steps::CreateGroup;
use crate::protocol::plan::{Device, VolumeShape};
use serde::Serialize;
use std::path::PathBuf;

/// A volume according to its group's metadata. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeReceipt {
    pub group: String,
    pub name: String,
    pub uuid: String,
    #[serde(flatten)]
    pub shape: VolumeShape,
    pub extents: u64,
    pub size: u64,
    /// The group's physical volumes that it lies on, by index.
    pub lies_on: Vec<usize>,
    /// For a mirror: the kernel syncs its copies in the background, here and in the installed system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<&'static str>,
}

impl Perform for CreateVolume {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        ramdisk.program(LVM)?;
        match module(&self.shape) {
            None => Ok(()),
            Some(module) => ramdisk.module(module),
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let step = group::step(work, &self.group)?;
        let device = Device::Volume { group: self.group.clone(), name: self.name.clone() };
        let made = work.group(&self.group).ok_or_else(|| ApplyError::NoVolume { device: self.group.clone() })?;
        // Each is verified once more before lvm writes to it.
        for physical in &step.physical {
            resolve::open(work, &physical.on, Access::Read)?;
        }
        if let Some(module) = module(&self.shape) {
            mapped::load(&work.paths, module);
        }
        let name = mapped::lvm_name(&self.group, &self.name);
        let path = PathBuf::from("/dev/mapper").join(&name);
        group::run(&work.paths.root, &made.nodes, &lvcreate(self, &made), &path, &work.cancel)?;
        let found = group::metadata(work, step)?;
        let wrong = |what| ApplyError::Mapping { device: path.clone(), what };
        let lies_on = compare(self, step, &found).map_err(wrong)?;
        let uuid = found.volumes.get(&self.name).map(|volume| volume.uuid.clone()).unwrap_or_default();
        if !matches!(self.shape, VolumeShape::ThinPool { .. }) {
            let mapped = Mapped {
                name,
                uuid: format!("LVM-{}{uuid}", found.uuid),
                below: made.below.clone(),
                nodes: made.nodes.first().and_then(|node| node.parent()).map(ToOwned::to_owned).unwrap_or_default(),
                sys: work.paths.sys.clone(),
            };
            work.add_mapped(device, mapped.clone());
            // Old contents of the disks would be visible in the volume.
            let size = wipe::array(&mapped.open(Access::Read)?)?;
            if size != self.size {
                return Err(mapped.wrong(format!("it has {size} bytes, {} were planned", self.size)));
            }
        }
        let receipt = VolumeReceipt {
            group: self.group.clone(),
            name: self.name.clone(),
            uuid,
            shape: self.shape.clone(),
            extents: self.extents,
            size: self.size,
            lies_on,
            resync: matches!(self.shape, VolumeShape::Raid1 { .. }).then_some("pending"),
        };
        work.note("create-volume", &path.display().to_string(), &receipt);
        Ok(())
    }
}

/// The kernel module needed besides device-mapper itself.
fn module(shape: &VolumeShape) -> Option<&'static str> {
    match shape {
        VolumeShape::Linear | VolumeShape::Striped { .. } => None,
        VolumeShape::Raid1 { .. } => Some("dm-raid"),
        VolumeShape::ThinPool { .. } | VolumeShape::Thin { .. } => Some("dm-thin-pool"),
    }
}

fn lvcreate(step: &CreateVolume, group: &Group) -> Vec<String> {
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut all = words(&["lvcreate", "--yes", "--name", &step.name]);
    all.extend(step.tags.iter().flat_map(|tag| ["--addtag".to_owned(), tag.clone()]));
    let mut on = Vec::new();
    let size = ["--extents".to_owned(), step.extents.to_string()];
    match &step.shape {
        VolumeShape::Linear => {
            all.extend(words(&["--type", "linear", "--wipesignatures", "y"]));
            all.extend(size);
        }
        VolumeShape::Striped { on: places, stripe_size } => {
            all.extend(words(&["--type", "striped", "--wipesignatures", "y"]));
            all.extend(["--stripes".to_owned(), places.len().to_string()]);
            all.extend(["--stripesize".to_owned(), format!("{}k", stripe_size / 1024)]);
            all.extend(size);
            on = places.clone();
        }
        VolumeShape::Raid1 { on: places } => {
            all.extend(words(&["--type", "raid1", "--wipesignatures", "y"]));
            all.extend(["--mirrors".to_owned(), places.len().saturating_sub(1).to_string()]);
            all.extend(size);
            on = places.clone();
        }
        VolumeShape::ThinPool { chunk, metadata_extents } => {
            all.extend(words(&["--type", "thin-pool", "--poolmetadataspare", "y"]));
            all.extend(["--chunksize".to_owned(), format!("{}k", chunk / 1024)]);
            // It does not accept a number of extents.
            let metadata = step.size / step.extents.max(1) * metadata_extents;
            all.extend(["--poolmetadatasize".to_owned(), format!("{}k", metadata / 1024)]);
            all.extend(size);
        }
        VolumeShape::Thin { pool } => {
            all.extend(words(&["--type", "thin", "--thinpool", pool]));
            all.extend(["--virtualsize".to_owned(), format!("{}k", step.size / 1024)]);
        }
    }
    all.push(step.group.clone());
    all.extend(on.iter().filter_map(|place| group.nodes.get(*place)).map(|node| node.display().to_string()));
    all
}

/// Compares the metadata with the plan. Returns the indices of the physical volumes below.
fn compare(step: &CreateVolume, group: &CreateGroup, found: &lvm::Group) -> Result<Vec<usize>, String> {
    let volume = found.volumes.get(&step.name).ok_or("its group does not have it")?;
    if volume.extents() != step.extents {
        return Err(format!("it has {} extents, {} were planned", volume.extents(), step.extents));
    }
    let below = |name: &str| -> Vec<usize> {
        let names = found.below(name);
        let place = |name: &String| {
            let uuid = &found.physical.get(name)?.uuid;
            group.physical.iter().position(|physical| physical.uuid.replace('-', "") == *uuid)
        };
        let mut places: Vec<usize> = names.iter().filter_map(place).collect();
        places.sort_unstable();
        places
    };
    let lies_on = below(&step.name);
    let is = |segment: &lvm::Segment| match (&step.shape, &segment.kind) {
        (VolumeShape::Linear, Kind::Striped { on, .. }) => on.len() == 1,
        (VolumeShape::Striped { on: places, stripe_size }, Kind::Striped { on, stripe_size: found }) => {
            on.len() == places.len() && (on.len() == 1 || stripe_size == found) && lies_on == *places
        }
        (VolumeShape::Raid1 { on }, Kind::Raid1 { images }) => {
            let mut each: Vec<Vec<usize>> = images.iter().map(|image| below(image)).collect();
            each.sort();
            each == on.iter().map(|place| vec![*place]).collect::<Vec<_>>()
        }
        (VolumeShape::ThinPool { chunk, .. }, Kind::ThinPool { chunk: found, .. }) => chunk == found,
        (VolumeShape::Thin { pool }, Kind::Thin { pool: found }) => pool == found,
        _ => false,
    };
    match volume.segments.iter().find(|segment| !is(segment)) {
        None => Ok(lies_on),
        Some(segment) => Err(format!("it was made as {:?}, its metadata have {:?}", step.shape, segment.kind)),
    }
}

#[cfg(test)]
mod tests;

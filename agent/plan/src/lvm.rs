//! LVM groups: how many extents each volume gets, and on which physical volumes they lie.

use super::fresh::{self, Made};
use super::layers;
use super::refusal::Reason;
use super::steps::Context;
use burin_protocol::order::{LogicalVolume, Share, Size, VolumeGroup, VolumeKind};
use burin_protocol::plan::steps::{CreateGroup, CreateVolume};
use burin_protocol::plan::{Device, PlannedPhysical, Step, VolumeShape};
use burin_table::layout::{self, Extension, Space};
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
/// LVM's default. Extents begin after the label and the metadata of a physical volume.
pub const DEFAULT_EXTENT: u64 = 4 * MIB;
const DATA_START: u64 = MIB;
const STRIPE: u64 = 64 << 10;
/// lvmthin(7): chunks of at least 64 KiB; 64 bytes of metadata per chunk, between 2 MiB and 128 MiB in total.
const LEAST_CHUNK: u64 = 64 << 10;
const MOST_CHUNK: u64 = 1 << 30;
const CHUNK_METADATA: u64 = 64;
const LEAST_METADATA: u64 = 2 * MIB;
const MOST_METADATA: u64 = 128 * MIB;

/// How a volume uses space.
#[derive(Debug, Clone, Copy)]
struct Shape {
    copies: u64,
    /// The number of its extents is a multiple of this.
    width: u64,
    /// Additional extents for metadata, on each copy.
    beside: u64,
}

/// A group to be divided.
#[derive(Debug)]
struct Sharing<'a> {
    group: &'a str,
    extent: u64,
    /// Extents of each physical volume.
    physical: Vec<u64>,
    /// Chunk size and metadata of pools.
    chunk: u64,
    metadata: u64,
}

pub fn steps(
    context: Context<'_>,
    name: &str,
    group: &VolumeGroup,
    steps: &mut Vec<Step>,
    made: &mut Vec<Made>,
) -> Result<(), Reason> {
    let devices = layers::devices(context, &group.on);
    let extent = group.extent.map_or(DEFAULT_EXTENT, Size::bytes).max(MIB);
    let on_words = layers::on_words(context, steps, &devices);
    let mut physical = Vec::new();
    for (place, on) in devices.iter().enumerate() {
        let extents = layers::size(context, steps, on).saturating_sub(DATA_START) / extent;
        let place = place.to_string();
        let uuid = layers::lvm_uuid(&[&context.order.id, "physical volume", name, &place, &on_words]);
        physical.push(PlannedPhysical { on: on.clone(), uuid, extents });
    }
    let sharing = Sharing::new(name, extent, physical.iter().map(|one| one.extents).collect());
    let volumes = sharing.volumes(&group.volumes)?;
    let base = physical.first().map(|one| one.uuid.clone()).unwrap_or_default();
    steps.push(Step::CreateGroup(CreateGroup {
        name: name.to_owned(),
        extent_size: extent,
        physical,
        tags: group.tags.clone(),
    }));
    for planned in volumes {
        if let Some(volume) = group.volumes.get(&planned.name)
            && let Some(filesystem) = fresh::filesystem(context, volume.filesystem.as_ref(), &base, &planned.name)
        {
            let options = volume.filesystem.as_ref().map(|one| one.mount_options.clone()).unwrap_or_default();
            let on = Device::Volume { group: name.to_owned(), name: planned.name.clone() };
            made.push(Made::single(on, filesystem, volume.mount.clone(), options));
        }
        steps.push(Step::CreateVolume(planned));
    }
    Ok(())
}

impl<'a> Sharing<'a> {
    fn new(group: &'a str, extent: u64, physical: Vec<u64>) -> Self {
        let whole = physical.iter().fold(0u64, |sum, one| sum.saturating_add(*one)).saturating_mul(extent);
        let metadata = |chunk: u64| whole.div_ceil(chunk).saturating_mul(CHUNK_METADATA);
        let mut chunk = LEAST_CHUNK;
        while metadata(chunk) > MOST_METADATA && chunk < MOST_CHUNK {
            chunk *= 2;
        }
        let metadata = metadata(chunk).clamp(LEAST_METADATA, MOST_METADATA).div_ceil(extent);
        Self { group, extent, physical, chunk, metadata }
    }

    fn whole(&self) -> u64 {
        self.physical.iter().fold(0u64, |sum, one| sum.saturating_add(*one))
    }

    fn shape(&self, volume: &LogicalVolume) -> Shape {
        let members = self.physical.len() as u64;
        match volume.kind {
            VolumeKind::Linear | VolumeKind::Thin => Shape { copies: 1, width: 1, beside: 0 },
            VolumeKind::Striped => {
                Shape { copies: 1, width: volume.stripes.map_or(members, u64::from).max(1), beside: 0 }
            }
            // One extent of each copy records which parts are in sync.
            VolumeKind::Raid1 => Shape { copies: volume.copies.map_or(2, u64::from).max(1), width: 1, beside: 1 },
            VolumeKind::ThinPool => Shape { copies: 1, width: 1, beside: self.metadata },
        }
    }

    /// Whole extents for a share of `whole` extents, in multiples of the volume's width.
    fn extents(&self, share: Share, whole: u64, width: u64) -> u64 {
        let bytes = share.of(whole.saturating_mul(self.extent));
        let extents = match share {
            Share::Bytes(_) => bytes.div_ceil(self.extent),
            Share::Percent(_) => bytes / self.extent,
        };
        let whole = match share {
            Share::Bytes(_) => extents.checked_next_multiple_of(width).unwrap_or(u64::MAX),
            Share::Percent(_) => extents / width * width,
        };
        whole.max(width)
    }

    /// The allocation of every volume. Volumes on several disks are allocated first, so that each of their parts has
    /// room.
    fn volumes(&self, wanted: &BTreeMap<String, LogicalVolume>) -> Result<Vec<CreateVolume>, Reason> {
        let thick: Vec<(&String, &LogicalVolume)> =
            wanted.iter().filter(|(_, volume)| volume.kind != VolumeKind::Thin).collect();
        let granted = self.share_out(&thick)?;
        let mut free = self.physical.clone();
        let mut beside: Vec<(usize, u64, &String, &LogicalVolume)> = Vec::new();
        let mut rest = Vec::new();
        for ((name, volume), extents) in thick.into_iter().zip(granted) {
            let shape = self.shape(volume);
            match volume.kind {
                VolumeKind::Striped => beside.push((count(shape.width), extents / shape.width, name, volume)),
                VolumeKind::Raid1 => beside.push((count(shape.copies), extents + shape.beside, name, volume)),
                _ => rest.push((name, volume, extents)),
            }
        }
        beside.sort_by_key(|(_, each, name, _)| (std::cmp::Reverse(*each), *name));
        let mut planned = Vec::new();
        for (parts, each, name, volume) in beside {
            let on = self.side_by_side(&mut free, parts, each, name)?;
            let (shape, extents) = match volume.kind {
                VolumeKind::Raid1 => (VolumeShape::Raid1 { on }, each - 1),
                _ => {
                    let stripe_size = volume.stripe_size.map_or(STRIPE, Size::bytes);
                    (VolumeShape::Striped { on, stripe_size }, each * parts as u64)
                }
            };
            planned.push(self.planned(name, volume, shape, extents));
        }
        rest.sort_by_key(|(name, volume, _)| (volume.kind, *name));
        for (name, volume, extents) in rest {
            let shape = match volume.kind {
                VolumeKind::ThinPool => VolumeShape::ThinPool { chunk: self.chunk, metadata_extents: self.metadata },
                _ => VolumeShape::Linear,
            };
            planned.push(self.planned(name, volume, shape, extents));
        }
        for (name, volume) in wanted.iter().filter(|(_, volume)| volume.kind == VolumeKind::Thin) {
            let pool = volume.pool.clone().unwrap_or_default();
            let whole = planned.iter().find(|one| one.name == pool).map_or(0, |one| one.extents);
            let extents = volume.size.map_or(whole, |size| self.extents(size, whole, 1));
            planned.push(self.planned(name, volume, VolumeShape::Thin { pool }, extents));
        }
        Ok(planned)
    }

    fn planned(&self, name: &str, volume: &LogicalVolume, shape: VolumeShape, extents: u64) -> CreateVolume {
        CreateVolume {
            group: self.group.to_owned(),
            name: name.to_owned(),
            shape,
            extents,
            size: extents.saturating_mul(self.extent),
            tags: volume.tags.clone(),
        }
    }

    /// Extents of each volume, in order.
    fn share_out(&self, wanted: &[(&String, &LogicalVolume)]) -> Result<Vec<u64>, Reason> {
        let whole = self.whole();
        // Once per group, LVM reserves as much again as a pool's metadata, for repairs.
        let pools = wanted.iter().any(|(_, volume)| volume.kind == VolumeKind::ThinPool);
        let free = whole.saturating_sub(if pools { self.metadata } else { 0 });
        let extensions: Vec<Extension> = wanted
            .iter()
            .map(|(_, volume)| {
                let shape = self.shape(volume);
                let extents = |share: Share| self.extents(share, whole, shape.width);
                let taken = |extents: u64| {
                    extents.saturating_add(shape.beside).saturating_mul(shape.copies).saturating_mul(self.extent)
                };
                Extension {
                    min: taken(volume.size.or(volume.min).map_or(shape.width, extents)),
                    max: volume.size.or(volume.max).map(|share| taken(extents(share))),
                    weight: if volume.size.is_some() { 0 } else { volume.weight.unwrap_or(1) },
                }
            })
            .collect();
        let sector_size = 512;
        let end = free.saturating_mul(self.extent / u64::from(sector_size));
        let space = Space { start: 0, end, sector_size, alignment: self.extent, numbers: 0 };
        let placed = layout::places(space, &extensions).map_err(|small| Reason::NoRoom {
            what: self.what(),
            need: small.need,
            have: small.have,
        })?;
        let offered = placed.iter().zip(wanted).map(|(placed, (_, volume))| {
            let shape = self.shape(volume);
            let extents = (placed.size / self.extent / shape.copies).saturating_sub(shape.beside);
            extents / shape.width * shape.width
        });
        Ok(offered.collect())
    }

    /// `parts` physical volumes with `each` extents left, those with the most free extents first.
    fn side_by_side(&self, free: &mut [u64], parts: usize, each: u64, name: &str) -> Result<Vec<usize>, Reason> {
        let mut places: Vec<usize> = (0..free.len()).collect();
        places.sort_by_key(|place| (std::cmp::Reverse(free.get(*place).copied()), *place));
        places.truncate(parts);
        places.sort_unstable();
        let least = places.iter().filter_map(|place| free.get(*place)).min().copied().unwrap_or(0);
        if places.len() < parts {
            let message = format!("`{name}` wants {parts} physical volumes, the group has {}", free.len());
            return Err(Reason::BadValue { at: self.what(), message });
        }
        if least < each {
            let what = format!("{}: each of the {parts} parts of `{name}`", self.what());
            let (need, have) = (each.saturating_mul(self.extent), least.saturating_mul(self.extent));
            return Err(Reason::NoRoom { what, need, have });
        }
        for place in &places {
            if let Some(left) = free.get_mut(*place) {
                *left -= each;
            }
        }
        Ok(places)
    }

    fn what(&self) -> String {
        format!("the volume group `{}`", self.group)
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "lvm_tests.rs"]
mod tests;

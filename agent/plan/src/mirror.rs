//! An image whose system is one mirror over several disks.
//!
//! Each disk gets the whole image, and GUIDs that tell it from the others. The root's partitions are made larger, and become
//! an array with metadata 1.0: superblock, bitmap and the rest of its books lie behind the filesystem, whose bytes stay
//! where they are. So firmware and GRUB, which know nothing of arrays, find on each disk what they would find on one alone;
//! of the other partitions only those of boot loaders may be there, because nobody keeps the copies of others equal.

use super::steps::Context;
use burin_protocol::order::{Consistency, DiskSet, Grow, RaidLevel};
use burin_protocol::plan::steps::{CheckTree, CreateRaid, GrowFilesystem, SetGuids, WriteMdadmConf};
use burin_protocol::plan::{ArrayEntry, Device, PlannedDisk, SeedTarget, Step, TreeNeed};
use burin_table::guid;
use std::collections::BTreeMap;

/// What the array is called. There is one.
pub const NAME: &str = "root";
/// The only one of which each member begins as its array does, and which mdadm puts behind what is there.
const METADATA: &str = "1.0";

/// New GUIDs for every disk but the first, which keeps the image's.
pub fn guids(context: Context<'_>, set: &str, index: usize, disk: &PlannedDisk) -> Option<Step> {
    let first = context.of_set(set).first().map(|(first, _)| *first);
    (first != Some(index)).then(|| {
        let disk_guid = Some(context.derive(disk, "disk"));
        SetGuids { disk: index, disk_guid, partitions: BTreeMap::new(), every: true }.into()
    })
}

/// When all disks have the image: the array over them, and what of its system has to do with it.
pub fn steps(context: Context<'_>, name: &str, set: &DiskSet, steps: &mut Vec<Step>) {
    let Some(partition) = set.mirrored() else { return };
    let disks = context.of_set(name);
    let Some(&(first, _)) = disks.first() else { return };
    let identities: Vec<&str> = disks.iter().map(|(_, disk)| disk.identity.value.as_str()).collect();
    let array = CreateRaid {
        name: NAME.to_owned(),
        uuid: guid::derived(&[&context.order.id, "raid", NAME, &identities.join(" ")]).to_string(),
        level: RaidLevel::Raid1,
        metadata: METADATA.to_owned(),
        members: disks.iter().map(|&(disk, _)| Device::ImagePartition { disk, partition }).collect(),
        spares: 0,
        chunk: None,
        consistency: Consistency::Bitmap,
    };
    let entry = ArrayEntry { name: array.name.clone(), uuid: array.uuid.clone(), metadata: array.metadata.clone() };
    let target = SeedTarget::ImagePartition { disk: first, partition };
    steps.push(array.into());
    // Whether it can start at all is looked at before anything is changed in it.
    steps.push(CheckTree { needs: vec![TreeNeed::MirroredRoot], target: target.clone() }.into());
    if set.grow.as_ref().is_none_or(Grow::filesystem) {
        steps.push(GrowFilesystem { disk: first, partition }.into());
    }
    steps.push(WriteMdadmConf { arrays: vec![entry], target }.into());
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;

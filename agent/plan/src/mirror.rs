//! An image whose system is mirrored over several disks.
//!
//! Each disk gets the whole image, with GUIDs of its own. The root partitions are enlarged and become an array with
//! metadata 1.0: superblock and bitmap lie behind the filesystem, whose bytes stay where they are. Firmware and GRUB,
//! which know nothing of arrays, find on each disk what they would find on a single one. Apart from the root, only boot
//! loader partitions are allowed, because nothing would keep other copies in sync.

use super::steps::Context;
use burin_protocol::order::{Consistency, DiskSet, Grow, RaidLevel};
use burin_protocol::plan::steps::{CheckTree, CreateRaid, GrowFilesystem, SetGuids, WriteMdadmConf};
use burin_protocol::plan::{ArrayEntry, Device, PlannedDisk, SeedTarget, Step, TreeNeed};
use burin_table::guid;
use std::collections::BTreeMap;

/// The array's name. There is only one.
pub const NAME: &str = "root";
/// The only metadata version in which each member begins with the array's data, and which mdadm writes behind existing
/// contents.
const METADATA: &str = "1.0";

/// New GUIDs for every disk but the first, which keeps the image's.
pub fn guids(context: Context<'_>, set: &str, index: usize, disk: &PlannedDisk) -> Option<Step> {
    let first = context.of_set(set).first().map(|(first, _)| *first);
    (first != Some(index)).then(|| {
        let disk_guid = Some(context.derive(disk, "disk"));
        SetGuids { disk: index, disk_guid, partitions: BTreeMap::new(), every: true }.into()
    })
}

/// Once all disks have the image: the array over them, and the steps that adapt its system to it.
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
    // Before anything in it is changed, check whether it can boot at all.
    steps.push(CheckTree { needs: vec![TreeNeed::MirroredRoot], target: target.clone() }.into());
    if set.grow.as_ref().is_none_or(Grow::filesystem) {
        steps.push(GrowFilesystem { disk: first, partition }.into());
    }
    steps.push(WriteMdadmConf { arrays: vec![entry], target }.into());
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;

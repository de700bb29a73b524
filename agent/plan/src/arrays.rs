//! Arrays and pools that chosen disks are members of already. Those that are lost as a whole are stopped where the
//! kernel runs them; those of which a part would stay are refused.

use super::groups;
use burin_protocol::order::{Gate, Layout};
use burin_protocol::plan::steps::StopArrays;
use burin_protocol::plan::{Fate, PlannedDisk, Step, Warning};
use hwinventory_types::{Disk, Inventory};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of the arrays on overwritten disks.
#[derive(Debug, Default, PartialEq)]
pub struct Fates {
    /// The step that stops those that are assembled.
    pub stop: Option<Step>,
    /// Device paths of these.
    pub stopped: Vec<String>,
    /// Those of which a part stays, in words.
    pub split: Vec<String>,
    /// The same where the order allows it.
    pub warnings: Vec<Warning>,
}

/// Kernel names of assembled MD arrays that nothing uses: neither mounted nor swapped on nor built upon. The kernel
/// takes them apart without a loss.
pub fn idle(inventory: &Inventory) -> BTreeSet<String> {
    inventory.volumes.data.iter().filter(|volume| is_idle(volume)).map(|volume| volume.name.clone()).collect()
}

fn is_idle(volume: &Disk) -> bool {
    let array = volume.md.as_ref().and_then(|md| md.array.as_deref()) == Some(volume.name.as_str());
    let held = volume.holders.iter().chain(volume.partitions.iter().flat_map(|part| &part.holders)).next().is_some();
    array && !held && volume.mounts.as_ref().is_some_and(Vec::is_empty)
}

/// Looks at every overwritten disk of the plan.
pub fn fates(inventory: &Inventory, layout: &Layout, disks: &[PlannedDisk]) -> Fates {
    let lost: BTreeMap<&str, usize> = disks
        .iter()
        .enumerate()
        .filter(|(_, disk)| disk.fate == Fate::Overwritten)
        .map(|(index, disk)| (disk.device.as_str(), index))
        .collect();
    let mut split: BTreeSet<(String, usize)> = BTreeSet::new();
    for (&device, &index) in &lost {
        let Some(disk) = inventory.disks.data.iter().find(|disk| disk.path == device) else { continue };
        // What is kept is not lost.
        let disk = &without_kept(disk, disks.get(index));
        for member in groups::memberships(disk) {
            let stays = inventory.disks.data.iter().filter(|other| !lost.contains_key(other.path.as_str()));
            for other in stays.filter(|other| groups::memberships(other).any(|other| member.is_with(&other))) {
                split.insert((format!("{} of {device} is on {} too", member.words(), other.path), index));
            }
        }
    }
    let idle = idle(inventory);
    let mut found = Fates::default();
    let (mut on, mut uuids) = (BTreeSet::new(), BTreeSet::new());
    for volume in inventory.volumes.data.iter().filter(|volume| idle.contains(&volume.name)) {
        let below: Vec<&Disk> = volume.slaves.iter().filter_map(|name| disk_of(inventory, name)).collect();
        let indices: BTreeSet<usize> = below.iter().filter_map(|disk| lost.get(disk.path.as_str()).copied()).collect();
        let Some(&first) = indices.first() else { continue };
        let stays = |name: &&String| {
            let disk = disk_of(inventory, name)?;
            let kept = lost.get(disk.path.as_str()).and_then(|index| disks.get(*index));
            (kept.is_some_and(|planned| is_kept(disk, planned, name)) || !lost.contains_key(disk.path.as_str()))
                .then_some(disk)
        };
        // An array whose members are all kept or elsewhere loses nothing: it only stops for as long.
        let loses = volume.slaves.iter().any(|name| disk_of(inventory, name).is_some() && stays(&name).is_none());
        for disk in volume.slaves.iter().filter(|_| loses).filter_map(|name| stays(&name)) {
            split.insert((format!("the running array {} is on {} too", volume.path, disk.path), first));
        }
        found.stopped.push(volume.path.clone());
        uuids.extend(volume.md.as_ref().and_then(|md| md.uuid.clone()));
        on.extend(indices);
    }
    if !on.is_empty() {
        found.stop =
            Some(Step::StopArrays(StopArrays { disks: on.into_iter().collect(), arrays: uuids.into_iter().collect() }));
    }
    for (what, index) in split {
        let set = disks.get(index).and_then(|disk| layout.disks.get(&disk.set));
        if set.is_some_and(|set| set.allow.contains(&Gate::SplitArray)) {
            let message = format!("{what}, and stays there without what is lost");
            found.warnings.push(Warning { code: "plan.split_array".to_owned(), message });
        } else {
            found.split.push(what);
        }
    }
    found
}

/// The disk without the partitions that are kept on it.
fn without_kept(disk: &Disk, planned: Option<&PlannedDisk>) -> Disk {
    let mut disk = disk.clone();
    let kept = planned.map(|planned| planned.keep.as_slice()).unwrap_or_default();
    disk.partitions.retain(|one| !kept.iter().any(|kept| u64::from(kept.number) == one.number));
    disk
}

/// Whether this kernel name is that of a partition that is kept.
fn is_kept(disk: &Disk, planned: &PlannedDisk, name: &str) -> bool {
    let partition = disk.partitions.iter().find(|partition| partition.name == name);
    partition.is_some_and(|one| planned.keep.iter().any(|kept| u64::from(kept.number) == one.number))
}

/// The disk that has this kernel name, or a partition of it.
fn disk_of<'a>(inventory: &'a Inventory, name: &str) -> Option<&'a Disk> {
    let is = |disk: &&Disk| disk.name == name || disk.partitions.iter().any(|partition| partition.name == name);
    inventory.disks.data.iter().find(is)
}

#[cfg(test)]
#[path = "arrays_tests.rs"]
mod tests;

//! What is stacked on the chosen disks already: arrays, volume groups, encrypted volumes, maps, caches, swap. If all of
//! a stack is lost and the kernel runs it, it is dismantled from the top; if a part of it would stay, the order is
//! refused.

use super::groups;
use burin_protocol::order::{Gate, Layout};
use burin_protocol::plan::steps::{MappedVolume, StopArrays, StopVolumes, VolumeKind};
use burin_protocol::plan::{Fate, PlannedDisk, Step, Warning};
use hwinventory_types::{Disk, Inventory, Mount};
use std::collections::{BTreeMap, BTreeSet};

/// More layers than anybody stacks.
const LAYERS: usize = 32;

/// What happens to everything that is stacked on overwritten disks.
#[derive(Debug, Default, PartialEq)]
pub struct Fates {
    /// The steps that dismantle running devices, from the top.
    pub stop: Vec<Step>,
    /// Device paths of the devices that they dismantle.
    pub stopped: Vec<String>,
    /// Descriptions of stacks of which a part stays.
    pub split: Vec<String>,
    /// The same, if the order allows it.
    pub warnings: Vec<Warning>,
}

/// A kind of volume that the kernel can stop without loss if it is not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Array,
    Volume(VolumeKind),
}

impl Kind {
    fn of(volume: &Disk) -> Option<Self> {
        if volume.md.as_ref().and_then(|md| md.array.as_deref()) == Some(volume.name.as_str()) {
            return Some(Self::Array);
        }
        if volume.name.starts_with("bcache") {
            return Some(Self::Volume(VolumeKind::Bcache));
        }
        // By convention, the prefix of a map's UUID says what made it.
        let uuid = volume.dm_uuid.as_deref().unwrap_or_default();
        let of = |prefix: &str| uuid.starts_with(prefix);
        volume.name.starts_with("dm-").then(|| {
            Self::Volume(match () {
                () if of("LVM-") => VolumeKind::Lvm,
                () if of("CRYPT-") => VolumeKind::Crypt,
                () if of("mpath-") => VolumeKind::Multipath,
                () => VolumeKind::Mapped,
            })
        })
    }
}

/// Swap is turned off; anything else that is mounted keeps its disks in use.
pub fn is_swap(mount: &Mount) -> bool {
    mount.mountpoint == "[SWAP]"
}

/// Kernel names of volumes that are not needed: not mounted, and with nothing on top but other such volumes.
pub fn idle(inventory: &Inventory) -> BTreeSet<String> {
    let alone = |volume: &&Disk| {
        Kind::of(volume).is_some() && volume.mounts.as_ref().is_some_and(|mounts| mounts.iter().all(is_swap))
    };
    let mut idle: BTreeMap<&str, &Disk> =
        inventory.volumes.data.iter().filter(alone).map(|volume| (volume.name.as_str(), volume)).collect();
    loop {
        let held = |volume: &Disk| holders(volume).any(|holder| !idle.contains_key(holder));
        let Some(name) = idle.values().find(|volume| held(volume)).map(|volume| volume.name.as_str()) else { break };
        idle.remove(name);
    }
    idle.into_keys().map(str::to_owned).collect()
}

/// Kernel names of devices on top of a disk or volume, or of its partitions.
fn holders(disk: &Disk) -> impl Iterator<Item = &str> {
    disk.holders.iter().chain(disk.partitions.iter().flat_map(|part| &part.holders)).map(String::as_str)
}

/// Disks and volumes, and which lie on which.
struct Graph<'a> {
    inventory: &'a Inventory,
    /// The devices directly on top of a disk or volume, by its kernel name.
    standing: BTreeMap<&'a str, BTreeMap<&'a str, &'a Disk>>,
}

impl<'a> Graph<'a> {
    /// `counts` says, by kernel name, which partitions to consider.
    fn new(inventory: &'a Inventory, counts: &dyn Fn(&str) -> bool) -> Self {
        let volumes = &inventory.volumes.data;
        let by_name: BTreeMap<&str, &Disk> = volumes.iter().map(|volume| (volume.name.as_str(), volume)).collect();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        let mut standing: BTreeMap<&str, BTreeMap<&str, &Disk>> = BTreeMap::new();
        // By partition, because a disk's own list also has the holders of its partitions.
        let mut by_partition: BTreeSet<(&str, &str)> = BTreeSet::new();
        for one in inventory.disks.data.iter().chain(volumes) {
            for part in &one.partitions {
                owners.insert(&part.name, &one.name);
                for (name, volume) in part.holders.iter().filter_map(|name| by_name.get_key_value(name.as_str())) {
                    by_partition.insert((&one.name, name));
                    if counts(&part.name) {
                        standing.entry(&one.name).or_default().insert(name, volume);
                    }
                }
            }
        }
        // A holder names the device above, a slave the device below; either may be missing.
        for volume in volumes {
            for slave in &volume.slaves {
                let owner = owners.get(slave.as_str()).copied();
                by_partition.extend(owner.map(|owner| (owner, volume.name.as_str())));
                if owner.is_none() || counts(slave) {
                    standing.entry(owner.unwrap_or(slave)).or_default().insert(&volume.name, volume);
                }
            }
        }
        for one in inventory.disks.data.iter().chain(volumes) {
            let held = one.holders.iter().filter_map(|name| by_name.get_key_value(name.as_str()));
            let direct = held.filter(|(name, _)| !by_partition.contains(&(one.name.as_str(), **name)));
            standing.entry(&one.name).or_default().extend(direct.map(|(name, volume)| (*name, *volume)));
        }
        Self { inventory, standing }
    }

    fn on(&self, name: &str) -> impl Iterator<Item = &'a Disk> {
        self.standing.get(name).into_iter().flat_map(BTreeMap::values).copied()
    }

    /// All volumes above this disk or volume, directly or indirectly.
    fn above(&self, disk: &Disk) -> Vec<&'a Disk> {
        let mut found: BTreeMap<&str, &'a Disk> = BTreeMap::new();
        let mut queue: Vec<&Disk> = vec![disk];
        while let Some(one) = queue.pop() {
            for volume in self.on(&one.name) {
                if found.insert(&volume.name, volume).is_none() {
                    queue.push(volume);
                }
            }
        }
        found.into_values().collect()
    }

    /// The disks below each volume, by its kernel name.
    fn below(&self) -> BTreeMap<&'a str, Vec<&'a Disk>> {
        let mut below: BTreeMap<&str, Vec<&Disk>> = BTreeMap::new();
        for disk in &self.inventory.disks.data {
            self.above(disk).iter().for_each(|volume| below.entry(&volume.name).or_default().push(disk));
        }
        below
    }

    /// How many layers are above each volume, by its kernel name. No device can be above itself; if an inventory says
    /// so, the counting ends.
    fn depths(&self) -> BTreeMap<&'a str, usize> {
        let volumes = &self.inventory.volumes.data;
        let mut depths: BTreeMap<&str, usize> = volumes.iter().map(|volume| (volume.name.as_str(), 0)).collect();
        for _ in 0..LAYERS {
            let mut changed = false;
            for volume in volumes {
                let above = self.on(&volume.name).filter_map(|above| depths.get(above.name.as_str())).max();
                let depth = above.map_or(0, |most| most + 1);
                changed |= depths.insert(&volume.name, depth) != Some(depth);
            }
            if !changed {
                break;
            }
        }
        depths
    }
}

/// A volume, and the lost disks below it.
type OnDisks<'a> = (&'a Disk, BTreeSet<usize>);

/// Determines the fate of everything on the plan's overwritten disks.
pub fn fates(inventory: &Inventory, layout: &Layout, disks: &[PlannedDisk]) -> Fates {
    let lost: BTreeMap<&str, usize> = disks
        .iter()
        .enumerate()
        .filter(|(_, disk)| disk.fate == Fate::Overwritten)
        .map(|(index, disk)| (disk.device.as_str(), index))
        .collect();
    let Partitions { kept, gone } = Partitions::of(inventory, disks, &lost);
    let graph = Graph::new(inventory, &|_| true);
    // What is lost, and what lies on kept partitions.
    let going = Graph::new(inventory, &|partition| !kept.contains(partition));
    let staying = Graph::new(inventory, &|partition| !gone.contains(partition));
    let (all_below, depths, lost_below) = (graph.below(), graph.depths(), going.below());
    let mut split = torn(&going, &staying, &kept, &lost);
    let idle = idle(inventory);
    let mut found = Fates::default();
    let mut layers: BTreeMap<(usize, Kind), Vec<OnDisks<'_>>> = BTreeMap::new();
    for volume in inventory.volumes.data.iter().filter(|volume| idle.contains(&volume.name)) {
        let below = all_below.get(volume.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let indices: BTreeSet<usize> = below.iter().filter_map(|disk| lost.get(disk.path.as_str()).copied()).collect();
        let (Some(&first), Some(kind)) = (indices.first(), Kind::of(volume)) else { continue };
        let word = if kind == Kind::Array { "array" } else { "volume" };
        let by_going = lost_below.get(volume.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let loses = |disk: &&Disk| {
            lost.contains_key(disk.path.as_str()) && by_going.iter().any(|going| going.name == disk.name)
        };
        // A volume on kept partitions or other disks loses nothing: it is only stopped temporarily.
        if below.iter().any(loses) {
            for disk in &by_staying(&staying, &kept, &lost, volume) {
                split.insert((format!("the running {word} {} is on {} too", volume.path, disk.path), first));
            }
            found.stopped.push(volume.path.clone());
        }
        layers
            .entry((depths.get(volume.name.as_str()).copied().unwrap_or(0), kind))
            .or_default()
            .push((volume, indices));
    }
    found.stop = swaps(inventory, &lost).into_iter().collect();
    found.stop.extend(layers.into_iter().map(|((_, kind), volumes)| stop(kind, &volumes, inventory, &lost)));
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

/// Disks with a part of a volume that stays: disks that are not lost, and kept partitions of those that are.
fn by_staying<'a>(
    staying: &Graph<'a>,
    kept: &BTreeSet<&str>,
    lost: &BTreeMap<&str, usize>,
    volume: &Disk,
) -> Vec<&'a Disk> {
    let has_part = |disk: &&Disk| staying.above(disk).iter().any(|above| above.name == volume.name);
    staying.inventory.disks.data.iter().filter(|disk| stays(disk, kept, lost)).filter(has_part).collect()
}

/// Whether any part of a disk stays.
fn stays(disk: &Disk, kept: &BTreeSet<&str>, lost: &BTreeMap<&str, usize>) -> bool {
    !lost.contains_key(disk.path.as_str()) || disk.partitions.iter().any(|part| kept.contains(part.name.as_str()))
}

/// Stacks of which a remaining disk has a part, directly or inside of something on top, and the disk that is lost.
fn torn(
    going: &Graph<'_>,
    staying: &Graph<'_>,
    kept: &BTreeSet<&str>,
    lost: &BTreeMap<&str, usize>,
) -> BTreeSet<(String, usize)> {
    let disks = &going.inventory.disks.data;
    let others: Vec<(Disk, Vec<&Disk>)> = disks
        .iter()
        .filter(|disk| stays(disk, kept, lost))
        .map(|disk| {
            let mut part = disk.clone();
            if lost.contains_key(disk.path.as_str()) {
                part.signatures = None;
                part.partitions.retain(|one| kept.contains(one.name.as_str()));
            }
            (part, staying.above(disk))
        })
        .collect();
    let mut split = BTreeSet::new();
    for (&device, &index) in lost {
        let Some(disk) = disks.iter().find(|disk| disk.path == device) else { continue };
        let mut part = disk.clone();
        part.partitions.retain(|one| !kept.contains(one.name.as_str()));
        for one in std::iter::once(&part).chain(going.above(disk)) {
            for member in groups::memberships(one) {
                for (other, above) in &others {
                    let mut there = std::iter::once(other).chain(above.iter().copied());
                    if there.any(|there| groups::memberships(there).any(|there| member.is_with(&there))) {
                        split.insert((format!("{} of {device} is on {} too", member.words(), other.path), index));
                    }
                }
            }
        }
    }
    split
}

/// Kernel names of the partitions of lost disks.
struct Partitions<'a> {
    kept: BTreeSet<&'a str>,
    gone: BTreeSet<&'a str>,
}

impl<'a> Partitions<'a> {
    fn of(inventory: &'a Inventory, disks: &[PlannedDisk], lost: &BTreeMap<&str, usize>) -> Self {
        let (mut kept, mut gone) = (BTreeSet::new(), BTreeSet::new());
        for disk in &inventory.disks.data {
            let Some(planned) = lost.get(disk.path.as_str()).and_then(|index| disks.get(*index)) else { continue };
            for one in &disk.partitions {
                let is_kept = planned.keep.iter().any(|kept| u64::from(kept.number) == one.number);
                if is_kept {
                    kept.insert(one.name.as_str())
                } else {
                    gone.insert(one.name.as_str())
                };
            }
        }
        Self { kept, gone }
    }
}

/// Swap anywhere on the disks comes first, because it needs everything below.
fn swaps(inventory: &Inventory, lost: &BTreeMap<&str, usize>) -> Option<Step> {
    let swapped = |disk: &&Disk| disk.mounts.iter().flatten().any(is_swap);
    let on = inventory.disks.data.iter().filter(swapped).filter_map(|disk| lost.get(disk.path.as_str()).copied());
    let on: BTreeSet<usize> = on.collect();
    let (kind, volumes) = (VolumeKind::Swap, Vec::new());
    (!on.is_empty()).then(|| StopVolumes { disks: on.into_iter().collect(), kind, volumes }.into())
}

/// Stops volumes of one kind in one layer.
fn stop(kind: Kind, volumes: &[OnDisks<'_>], inventory: &Inventory, lost: &BTreeMap<&str, usize>) -> Step {
    let mut disks: BTreeSet<usize> = volumes.iter().flat_map(|(_, on)| on).copied().collect();
    match kind {
        Kind::Array => {
            let uuids: BTreeSet<String> =
                volumes.iter().filter_map(|(volume, _)| volume.md.as_ref().and_then(|md| md.uuid.clone())).collect();
            StopArrays { disks: disks.into_iter().collect(), arrays: uuids.into_iter().collect() }.into()
        }
        Kind::Volume(kind) => {
            let mut named = Vec::new();
            if kind == VolumeKind::Bcache {
                // The kernel's graph does not link a cache to what it caches.
                let caches = |disk: &&Disk| {
                    let inside = disk.partitions.iter().flat_map(|part| &part.signatures);
                    disk.signatures.iter().chain(inside).flatten().any(|signature| signature.kind == "bcache")
                };
                let caches = inventory.disks.data.iter().filter(caches);
                disks.extend(caches.filter_map(|disk| lost.get(disk.path.as_str()).copied()));
            } else {
                let map = |volume: &Disk| MappedVolume { name: volume.dm_name.clone(), uuid: volume.dm_uuid.clone() };
                named.extend(volumes.iter().map(|(volume, _)| map(volume)));
                named.sort();
            }
            StopVolumes { disks: disks.into_iter().collect(), kind, volumes: named }.into()
        }
    }
}

#[cfg(test)]
#[path = "stacks_tests.rs"]
mod tests;

//! What is built on chosen disks already: arrays, volume groups, encrypted volumes, maps, caches, swap. What is lost as a
//! whole is taken apart where the kernel runs it, from the top; that of which a part would stay is refused.

use super::groups;
use burin_protocol::order::{Gate, Layout};
use burin_protocol::plan::steps::{MappedVolume, StopArrays, StopVolumes, VolumeKind};
use burin_protocol::plan::{Fate, PlannedDisk, Step, Warning};
use hwinventory_types::{Disk, Inventory, Mount};
use std::collections::{BTreeMap, BTreeSet};

/// More than anybody stacks.
const LAYERS: usize = 32;

/// What becomes of all that is built on overwritten disks.
#[derive(Debug, Default, PartialEq)]
pub struct Fates {
    /// The steps that take apart what runs, from the top.
    pub stop: Vec<Step>,
    /// Device paths of what they take apart.
    pub stopped: Vec<String>,
    /// That of which a part stays, in words.
    pub split: Vec<String>,
    /// The same where the order allows it.
    pub warnings: Vec<Warning>,
}

/// A kind of volume that the kernel takes apart without a loss where nothing uses it.
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
        // What made a map is in the prefix of its UUID, by agreement of its makers.
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

/// Swap is turned off; whatever else is mounted keeps its disks.
pub fn is_swap(mount: &Mount) -> bool {
    mount.mountpoint == "[SWAP]"
}

/// Kernel names of volumes that nothing needs: not mounted, and nothing built upon them that is more than such a volume.
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

/// Kernel names of what is built on a disk or volume, or on its partitions.
fn holders(disk: &Disk) -> impl Iterator<Item = &str> {
    disk.holders.iter().chain(disk.partitions.iter().flat_map(|part| &part.holders)).map(String::as_str)
}

/// Disks and volumes, and which lie on which.
struct Graph<'a> {
    inventory: &'a Inventory,
    /// What stands on a disk or volume directly, by its kernel name.
    standing: BTreeMap<&'a str, BTreeMap<&'a str, &'a Disk>>,
}

impl<'a> Graph<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let volumes = &inventory.volumes.data;
        let by_name: BTreeMap<&str, &Disk> = volumes.iter().map(|volume| (volume.name.as_str(), volume)).collect();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        let mut standing: BTreeMap<&str, BTreeMap<&str, &Disk>> = BTreeMap::new();
        for one in inventory.disks.data.iter().chain(volumes) {
            owners.insert(&one.name, &one.name);
            owners.extend(one.partitions.iter().map(|part| (part.name.as_str(), one.name.as_str())));
            let held = holders(one).filter_map(|name| by_name.get_key_value(name));
            standing.entry(&one.name).or_default().extend(held.map(|(name, volume)| (*name, *volume)));
        }
        // A holder names what stands on it, a slave what it stands on; there may be only one of them.
        for volume in volumes {
            for owner in volume.slaves.iter().filter_map(|name| owners.get(name.as_str())) {
                standing.entry(owner).or_default().insert(&volume.name, volume);
            }
        }
        Self { inventory, standing }
    }

    fn on(&self, name: &str) -> impl Iterator<Item = &'a Disk> {
        self.standing.get(name).into_iter().flat_map(BTreeMap::values).copied()
    }

    /// All volumes that need this disk or volume, whatever lies between them.
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

    /// The disks that each volume lies on, by its kernel name.
    fn below(&self) -> BTreeMap<&'a str, Vec<&'a Disk>> {
        let mut below: BTreeMap<&str, Vec<&Disk>> = BTreeMap::new();
        for disk in &self.inventory.disks.data {
            self.above(disk).iter().for_each(|volume| below.entry(&volume.name).or_default().push(disk));
        }
        below
    }

    /// How many layers stand on each volume, by its kernel name. Nothing stands on itself; where an inventory says so, the
    /// counting ends.
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

/// A volume, and the lost disks that it is on.
type OnDisks<'a> = (&'a Disk, BTreeSet<usize>);

/// Looks at every overwritten disk of the plan.
pub fn fates(inventory: &Inventory, layout: &Layout, disks: &[PlannedDisk]) -> Fates {
    let graph = Graph::new(inventory);
    let (all_below, depths) = (graph.below(), graph.depths());
    let lost: BTreeMap<&str, usize> = disks
        .iter()
        .enumerate()
        .filter(|(_, disk)| disk.fate == Fate::Overwritten)
        .map(|(index, disk)| (disk.device.as_str(), index))
        .collect();
    let mut split = torn(&graph, disks, &lost);
    let idle = idle(inventory);
    let mut found = Fates::default();
    let mut layers: BTreeMap<(usize, Kind), Vec<OnDisks<'_>>> = BTreeMap::new();
    for volume in inventory.volumes.data.iter().filter(|volume| idle.contains(&volume.name)) {
        let below = all_below.get(volume.name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let indices: BTreeSet<usize> = below.iter().filter_map(|disk| lost.get(disk.path.as_str()).copied()).collect();
        let (Some(&first), Some(kind)) = (indices.first(), Kind::of(volume)) else { continue };
        let word = if kind == Kind::Array { "array" } else { "volume" };
        let loses = |disk: &&Disk| {
            let planned = lost.get(disk.path.as_str()).and_then(|index| disks.get(*index));
            let above = |planned| graph.above(&without_kept(disk, Some(planned)));
            planned.is_some_and(|planned| above(planned).iter().any(|above| above.name == volume.name))
        };
        // A volume that is on kept partitions, or on other disks, loses nothing: it only stops for as long.
        let torn = below.iter().any(loses);
        for disk in below.iter().filter(|disk| torn && !loses(disk)) {
            split.insert((format!("the running {word} {} is on {} too", volume.path, disk.path), first));
        }
        found.stopped.push(volume.path.clone());
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

/// Wholes of which a disk that stays has a part, on itself or inside of what is built on it; and the disk that is lost.
fn torn(graph: &Graph<'_>, planned: &[PlannedDisk], lost: &BTreeMap<&str, usize>) -> BTreeSet<(String, usize)> {
    let disks = &graph.inventory.disks.data;
    let mut split = BTreeSet::new();
    for (&device, &index) in lost {
        let Some(disk) = disks.iter().find(|disk| disk.path == device) else { continue };
        let disk = &without_kept(disk, planned.get(index));
        for one in std::iter::once(disk).chain(graph.above(disk)) {
            for member in groups::memberships(one) {
                for other in disks.iter().filter(|other| !lost.contains_key(other.path.as_str())) {
                    let mut there = std::iter::once(other).chain(graph.above(other));
                    if there.any(|there| groups::memberships(there).any(|there| member.is_with(&there))) {
                        split.insert((format!("{} of {device} is on {} too", member.words(), other.path), index));
                    }
                }
            }
        }
    }
    split
}

/// The disk without the partitions that are kept on it: what is in them is not lost.
fn without_kept(disk: &Disk, planned: Option<&PlannedDisk>) -> Disk {
    let mut disk = disk.clone();
    let kept = planned.map(|planned| planned.keep.as_slice()).unwrap_or_default();
    disk.partitions.retain(|one| !kept.iter().any(|kept| u64::from(kept.number) == one.number));
    disk
}

/// Swap anywhere on the disks comes first: it needs all that it lies on.
fn swaps(inventory: &Inventory, lost: &BTreeMap<&str, usize>) -> Option<Step> {
    let swapped = |disk: &&Disk| disk.mounts.iter().flatten().any(is_swap);
    let on = inventory.disks.data.iter().filter(swapped).filter_map(|disk| lost.get(disk.path.as_str()).copied());
    let on: BTreeSet<usize> = on.collect();
    let (kind, volumes) = (VolumeKind::Swap, Vec::new());
    (!on.is_empty()).then(|| StopVolumes { disks: on.into_iter().collect(), kind, volumes }.into())
}

/// What is of one kind and on one layer.
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
                // Nothing in the kernel's graph leads from a cache to what it caches.
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

//! Finds identifiers that would exist twice on the machine: a boot loader or fstab that looks for one could find the
//! wrong disk.

use burin_protocol::plan::{Identifier, Plan, Step};
use hwinventory_types::Inventory;
use hwinventory_types::{Disk, Signature};
use std::collections::BTreeSet;

/// An identifier, and the disk that already has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Collision {
    pub identifier: Identifier,
    /// Device path of the disk or volume, as in the inventory.
    pub on: String,
}

impl std::fmt::Display for Collision {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} is on {} too", self.identifier, self.on)
    }
}

/// Finds the identifiers in `wanted` that also exist on disks and volumes that stay. `overwritten` has the device paths
/// of the others. An image's identifiers are known only once it is written; call this again with them then.
pub fn find(inventory: &Inventory, overwritten: &[&str], wanted: &BTreeSet<Identifier>) -> Vec<Collision> {
    let wanted: BTreeSet<Identifier> = wanted.iter().map(normal).collect();
    let mut found = BTreeSet::new();
    for disk in inventory.disks.data.iter().filter(|disk| !overwritten.contains(&disk.path.as_str())) {
        for identifier in of_disk(disk) {
            if wanted.contains(&identifier) {
                found.insert(Collision { identifier, on: disk.path.clone() });
            }
        }
    }
    for volume in inventory.volumes.data.iter().filter(|volume| !overwritten.contains(&volume.path.as_str())) {
        for identifier in of_volume(volume) {
            if wanted.contains(&identifier) {
                found.insert(Collision { identifier, on: volume.path.clone() });
            }
        }
    }
    found.into_iter().collect()
}

/// Identifiers that the plan's steps will write, and those of them that are written more than once.
pub fn written(plan: &Plan) -> (BTreeSet<Identifier>, Vec<Identifier>) {
    let (mut all, mut twice) = (BTreeSet::new(), Vec::new());
    let mut add = |identifier: Identifier| {
        let identifier = normal(&identifier);
        // The ESPs of a mirrored pair share a label on purpose.
        let may_repeat = matches!(identifier, Identifier::FilesystemLabel(_));
        if !all.insert(identifier.clone()) && !may_repeat {
            twice.push(identifier);
        }
    };
    plan.steps.iter().flat_map(Step::identifiers).for_each(&mut add);
    (all, twice)
}

fn normal(identifier: &Identifier) -> Identifier {
    match identifier {
        Identifier::DiskGuid(text) => Identifier::DiskGuid(text.to_ascii_lowercase()),
        Identifier::PartitionGuid(text) => Identifier::PartitionGuid(text.to_ascii_lowercase()),
        Identifier::FilesystemUuid(text) => Identifier::FilesystemUuid(text.to_ascii_lowercase()),
        Identifier::ArrayUuid(text) => Identifier::ArrayUuid(text.to_ascii_lowercase()),
        // FAT labels are read back in upper case, and cloud-init looks for both cases.
        Identifier::FilesystemLabel(text) => Identifier::FilesystemLabel(text.to_ascii_lowercase()),
        other => other.clone(),
    }
}

/// Identifiers of kept partitions on overwritten disks.
pub fn of_kept(inventory: &Inventory, plan: &Plan) -> BTreeSet<Identifier> {
    let mut all = BTreeSet::new();
    for planned in &plan.disks {
        let disk = inventory.disks.data.iter().find(|disk| disk.path == planned.device);
        for kept in &planned.keep {
            all.insert(normal(&Identifier::PartitionGuid(kept.guid.clone())));
            let partitions = disk.into_iter().flat_map(|disk| &disk.partitions);
            let there = partitions.filter(|one| one.number == u64::from(kept.number));
            let found = there.flat_map(|one| one.signatures.iter().flatten()).flat_map(of_signature);
            all.extend(found.map(|one| normal(&one)));
        }
    }
    all
}

fn of_disk(disk: &Disk) -> Vec<Identifier> {
    let mut all: Vec<Identifier> = disk.partition_table_id.iter().cloned().map(Identifier::DiskGuid).collect();
    all.extend(disk.signatures.iter().flatten().flat_map(of_signature));
    for partition in &disk.partitions {
        all.extend(partition.uuid.iter().cloned().map(Identifier::PartitionGuid));
        all.extend(partition.signatures.iter().flatten().flat_map(of_signature));
    }
    all.iter().map(normal).collect()
}

fn of_signature(signature: &Signature) -> Vec<Identifier> {
    let mut all = of_content(&signature.kind, signature.uuid.as_deref(), signature.label.as_deref());
    if signature.kind == "LVM2_member" {
        let group = signature.group.as_ref().and_then(|group| group.name.clone());
        all.extend(group.map(Identifier::VolumeGroup));
    }
    all
}

/// Identifiers of something that libblkid recognises; `kind` is libblkid's name for it.
pub fn of_content(kind: &str, uuid: Option<&str>, label: Option<&str>) -> Vec<Identifier> {
    if kind == "linux_raid_member" {
        let uuid = uuid.map(|uuid| Identifier::ArrayUuid(uuid.to_owned()));
        return label.into_iter().map(array_name).chain(uuid).collect();
    }
    let uuid = uuid.map(|uuid| Identifier::FilesystemUuid(uuid.to_owned()));
    uuid.into_iter().chain(label.map(|label| Identifier::FilesystemLabel(label.to_owned()))).collect()
}

fn of_volume(volume: &Disk) -> Vec<Identifier> {
    let mut all: Vec<Identifier> = volume.md.iter().filter_map(|md| md.name.as_deref()).map(array_name).collect();
    if volume.dm_uuid.as_deref().is_some_and(|uuid| uuid.starts_with("LVM-")) {
        all.extend(volume.dm_name.as_deref().map(volume_group));
    }
    all.extend(of_disk(volume));
    all.iter().map(normal).collect()
}

/// Superblocks store `host:name`.
fn array_name(text: &str) -> Identifier {
    Identifier::ArrayName(text.rsplit(':').next().unwrap_or(text).to_owned())
}

/// Device-mapper joins group and volume with a hyphen, and doubles hyphens inside either.
fn volume_group(name: &str) -> Identifier {
    let hidden = name.replace("--", "\u{0}");
    let group = hidden.split('-').next().unwrap_or(&hidden).replace('\u{0}', "-");
    Identifier::VolumeGroup(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_as_their_tools_join_them() {
        assert_eq!(volume_group("my--vg-root"), Identifier::VolumeGroup("my-vg".to_owned()));
        assert_eq!(array_name("web-17:root"), Identifier::ArrayName("root".to_owned()));
    }

    #[test]
    fn only_disks_that_stay_collide_whatever_the_letter_case() {
        let disk = |path: &str| Disk {
            path: path.to_owned(),
            partition_table_id: Some("AAAAAAAA-0000-0000-0000-000000000001".to_owned()),
            ..Disk::default()
        };
        let mut inventory = Inventory::default();
        inventory.disks.data = vec![disk("/dev/a"), disk("/dev/b")];
        let wanted = [Identifier::DiskGuid("aaaaaaaa-0000-0000-0000-000000000001".to_owned())].into();
        let found = find(&inventory, &["/dev/a"], &wanted);
        assert_eq!(found.iter().map(|c| c.on.as_str()).collect::<Vec<_>>(), ["/dev/b"]);
    }
}

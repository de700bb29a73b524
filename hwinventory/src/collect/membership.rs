//! Finds out which disks are members of an array or paths of a multipath device. This needs both disks and volumes.

use super::multipaths;
use crate::model::{Disk, DiskPath, Inventory, MdMember, MdMembership, Multipath};
use std::collections::BTreeMap;

pub fn all(inventory: &mut Inventory) {
    arrays(inventory);
    multipath(inventory);
}

/// What an assembled array says of its members counts more than what their superblocks say.
fn arrays(inventory: &mut Inventory) {
    let mut memberships: BTreeMap<String, MdMembership> = BTreeMap::new();
    let mut names: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    for volume in &inventory.volumes.data {
        let Some(array) = volume.md.as_ref().filter(|m| m.array.as_deref() == Some(volume.name.as_str())) else {
            continue;
        };
        // Kernels that do not list the members all the same say what the array is built on.
        let slaves = volume.slaves.iter().filter(|s| !array.members.iter().any(|m| m.device == **s));
        let others = slaves.map(|s| MdMember { device: s.clone(), ..MdMember::default() });
        for member in array.members.iter().cloned().chain(others) {
            let membership = MdMembership {
                role: member.role,
                slot: member.slot,
                device: Some(member.device.clone()),
                members: Vec::new(),
                ..array.clone()
            };
            // Containers hold the whole disk, and the arrays in them its parts: the first one stays.
            memberships.entry(member.device).or_insert(membership);
        }
    }
    let everything = inventory.disks.data.iter_mut().chain(inventory.volumes.data.iter_mut());
    for disk in everything {
        let is_array = disk.md.as_ref().is_some_and(|m| m.array.as_deref() == Some(disk.name.as_str()));
        let own = membership(&disk.name, disk.signatures.as_deref(), &disk.holders, &memberships);
        for partition in &mut disk.partitions {
            partition.md =
                membership(&partition.name, partition.signatures.as_deref(), &partition.holders, &memberships);
        }
        let found = own.or_else(|| disk.partitions.iter().find_map(|p| p.md.clone()));
        let known = disk.partitions.iter().filter_map(|p| p.md.as_ref()).chain(found.as_ref());
        for member in known {
            if let Some(array) = &member.array {
                let entry = names.entry(array.clone()).or_default();
                entry.0 = entry.0.take().or(member.uuid.clone());
                entry.1 = entry.1.take().or(member.name.clone());
            }
        }
        if !is_array {
            disk.md = found;
        }
    }
    // Older kernels do not tell the array's UUID, and none its name: the members' superblocks do.
    for volume in &mut inventory.volumes.data {
        if let (Some(md), Some((uuid, name))) = (&mut volume.md, names.get(&volume.name)) {
            md.uuid = md.uuid.take().or(uuid.clone());
            md.name = md.name.take().or(name.clone());
            super::disk::settle(volume);
        }
    }
}

fn membership(
    name: &str,
    signatures: Option<&[crate::model::Signature]>,
    holders: &[String],
    assembled: &BTreeMap<String, MdMembership>,
) -> Option<MdMembership> {
    let superblock = signatures.unwrap_or_default().iter().find(|s| s.kind == "linux_raid_member");
    let mut membership = match (assembled.get(name), superblock) {
        (Some(membership), _) => membership.clone(),
        (None, Some(_)) => MdMembership {
            array: holders.iter().find(|h| h.starts_with("md")).cloned(),
            device: Some(name.to_owned()),
            ..MdMembership::default()
        },
        (None, None) => return None,
    };
    if let Some(superblock) = superblock {
        let named = |uuid: &String| uuid.bytes().any(|b| !matches!(b, b'0' | b'-' | b':'));
        membership.uuid = membership.uuid.or(superblock.uuid.clone().filter(named));
        membership.name = membership.name.or(superblock.label.clone());
        membership.metadata_version = membership.metadata_version.or(superblock.version.clone());
    }
    Some(membership)
}

fn multipath(inventory: &mut Inventory) {
    let mut paths: BTreeMap<String, DiskPath> = BTreeMap::new();
    for disk in &inventory.disks.data {
        paths.insert(disk.name.clone(), multipaths::path(disk));
    }
    let mut maps: BTreeMap<String, Multipath> = BTreeMap::new();
    for volume in &mut inventory.volumes.data {
        if !volume.dm_uuid.as_deref().is_some_and(|u| u.starts_with("mpath-")) {
            continue;
        }
        volume.paths = volume.slaves.iter().filter_map(|name| paths.get(name).cloned()).collect();
        for name in &volume.slaves {
            let map = Multipath {
                map: Some(volume.name.clone()),
                name: volume.dm_name.clone(),
                uuid: volume.dm_uuid.clone(),
                ..Multipath::default()
            };
            maps.insert(name.clone(), map);
        }
    }
    for disk in &mut inventory.disks.data {
        disk.multipath_member = maps.contains_key(&disk.name);
        if let Some(map) = maps.remove(&disk.name) {
            let own = disk.multipath.take().unwrap_or_default();
            disk.multipath = Some(Multipath { access_state: own.access_state, preferred: own.preferred, ..map });
        }
    }
}

/// Disks that share an identity are paths although nothing has assembled them. Others have no multipath to speak of.
pub fn settle(disks: &mut [Disk]) {
    for disk in disks {
        if !disk.multipath_member {
            disk.multipath = None;
        } else if disk.multipath.is_none() {
            disk.multipath = Some(Multipath::default());
        }
    }
}

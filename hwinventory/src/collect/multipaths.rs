//! Disks with several paths: which path stands for the disk if nothing has assembled them, and one state for all of them
//! (optimal, degraded, failed or single).

use super::disk::best;
use crate::model::{Disk, DiskPath, Identity, IdentityKind, Inventory, Strength, Transport};
use std::collections::BTreeMap;

/// Paths to one disk without a map over them: the best of them stands for the disk, has the list of all and the name that
/// they share. The best is one that works, is optimized (ALUA), and is preferred by the target.
pub fn heads(disks: &mut [Disk]) {
    let mut all: BTreeMap<(String, u64, Option<u64>), Vec<usize>> = BTreeMap::new();
    for (at, disk) in disks.iter().enumerate() {
        if let Some(name) = shared(disk) {
            all.entry((name.to_owned(), disk.size, disk.logical_block_size)).or_default().push(at);
        }
    }
    for mut group in all.into_values().filter(|group| group.len() > 1) {
        group.sort_by_cached_key(|at| disks.get(*at).map(rank));
        let paths: Vec<DiskPath> = group.iter().filter_map(|at| disks.get(*at)).map(path).collect();
        let Some(head) = group.first().and_then(|at| disks.get_mut(*at)) else { continue };
        head.paths = paths;
        // A serial number may be that of an array, and the same for other disks of it.
        for identity in head.identities.iter_mut().filter(|one| is_shared(one)) {
            (identity.strength, identity.reason) = (Strength::Strong, None);
        }
        head.identities.sort_by_key(|one| one.strength == Strength::Weak);
        head.identity = best(&head.identities);
    }
}

/// The name of the disk behind a path that no map is over.
fn shared(disk: &Disk) -> Option<&str> {
    // Docks give several disks one name; buses with a single path have no second one.
    if matches!(disk.transport, Transport::Usb | Transport::Sata) {
        return None;
    }
    if !disk.multipath_member || disk.multipath.as_ref().is_some_and(|one| one.map.is_some()) {
        return None;
    }
    Some(&disk.identities.iter().find(|one| is_shared(one))?.value)
}

fn is_shared(identity: &Identity) -> bool {
    let of_the_disk = matches!(identity.kind, IdentityKind::Naa | IdentityKind::Nguid | IdentityKind::Eui64);
    of_the_disk && identity.reason.as_deref() == Some("duplicate")
}

/// What comes first is better. Behind the states stands the place, so that of equal paths it is always the same one.
fn rank(disk: &Disk) -> (bool, u8, bool, Option<Vec<u32>>) {
    let multipath = disk.multipath.as_ref();
    let access = match multipath.and_then(|one| one.access_state.as_deref()) {
        Some("active/optimized" | "optimized") => 0,
        None => 1,
        Some("active/non-optimized" | "non-optimized") => 2,
        Some("standby") => 3,
        Some(_) => 4,
    };
    let preferred = multipath.and_then(|one| one.preferred) == Some(true);
    let place = disk.hctl.as_deref().map(|hctl| hctl.split(':').map(|part| part.parse().unwrap_or(u32::MAX)).collect());
    (!is_usable(&path(disk)), access, !preferred, place)
}

pub fn path(disk: &Disk) -> DiskPath {
    DiskPath {
        name: disk.name.clone(),
        through: disk.hctl.clone(),
        address: disk.pci_address.clone(),
        state: disk.state.clone(),
        access_state: disk.multipath.as_ref().and_then(|one| one.access_state.clone()),
    }
}

pub fn states(inventory: &mut Inventory) {
    for disk in inventory.disks.data.iter_mut().chain(inventory.volumes.data.iter_mut()) {
        disk.path_state = state(disk).map(str::to_owned);
    }
}

fn state(disk: &Disk) -> Option<&'static str> {
    let usable = disk.paths.iter().filter(|p| is_usable(p)).count();
    match (disk.paths.len(), usable) {
        (0, _) => None,
        (_, 0) => Some("failed"),
        (1, 1) => Some("single"),
        (all, usable) if all == usable => Some("optimal"),
        _ => Some("degraded"),
    }
}

/// Standby and non-optimized paths are for when the others fail: they are healthy. What says nothing is taken to work.
fn is_usable(path: &DiskPath) -> bool {
    let alive = path.state.as_deref().is_none_or(|s| matches!(s, "running" | "live"));
    let access = path
        .access_state
        .as_deref()
        .is_none_or(|s| !matches!(s, "unavailable" | "offline" | "inaccessible" | "persistent-loss" | "transitioning"));
    alive && access
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Multipath;

    #[test]
    fn the_best_path_stands_for_its_disk() {
        let identity = |value: &str| Identity {
            kind: IdentityKind::Naa,
            value: value.to_owned(),
            strength: Strength::Weak,
            reason: Some("duplicate".to_owned()),
        };
        let one = |name: &str, wwn: &str, hctl: &str, access: &str, state: &str| Disk {
            name: name.to_owned(),
            multipath_member: true,
            size: 1 << 30,
            hctl: Some(hctl.to_owned()),
            state: Some(state.to_owned()),
            identities: vec![identity(wwn)],
            multipath: Some(Multipath { access_state: Some(access.to_owned()), ..Multipath::default() }),
            ..Disk::default()
        };
        let mut disks = vec![
            one("sda", "50a", "10:0:0:0", "active/non-optimized", "running"),
            one("sdb", "50a", "11:0:0:0", "active/optimized", "transport-offline"),
            one("sdc", "50a", "9:0:0:0", "active/optimized", "running"),
            one("sdd", "50a", "12:0:0:0", "active/optimized", "running"),
            one("sde", "50b", "9:0:0:1", "active/optimized", "running"),
        ];
        // Its twin has been assembled with another one.
        disks[4].multipath = Some(Multipath { map: Some("dm-0".to_owned()), ..Multipath::default() });
        heads(&mut disks);
        let names: Vec<&str> = disks[2].paths.iter().map(|path| path.name.as_str()).collect();
        assert_eq!(names, ["sdc", "sdd", "sda", "sdb"]);
        assert_eq!((disks[2].identity.value.as_str(), disks[2].identity.strength), ("50a", Strength::Strong));
        for other in [0, 1, 3, 4] {
            assert!(disks[other].paths.is_empty() && disks[other].identities[0].strength == Strength::Weak, "{other}");
        }
    }

    #[test]
    fn paths_make_one_state() {
        let path = |state: &str, access: &str| DiskPath {
            state: Some(state.into()),
            access_state: Some(access.into()),
            ..DiskPath::default()
        };
        let of = |paths: Vec<DiskPath>| state(&Disk { paths, ..Disk::default() });
        let good = || path("running", "active/optimized");
        assert_eq!(of(vec![]), None);
        assert_eq!(of(vec![good()]), Some("single"));
        assert_eq!(of(vec![good(), path("live", "standby")]), Some("optimal"));
        assert_eq!(of(vec![good(), path("offline", "active/optimized")]), Some("degraded"));
        assert_eq!(of(vec![path("running", "unavailable"), path("transport-offline", "")]), Some("failed"));
    }
}

//! Derives one state for a disk with several paths: optimal, degraded, failed or single.

use crate::model::{Disk, DiskPath, Inventory};

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

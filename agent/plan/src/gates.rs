//! What a disk must satisfy before any predicate is evaluated. An order can waive only the gates in `Gate`.

use super::{paths, stacks};
use burin_protocol::order::{Gate, Size};
use burin_protocol::plan::{GateFinding, Identity};
use hwinventory_types::{Disk, HealthState, Media, Status};
use std::collections::BTreeSet;

/// The gates that the disk does not pass. `idle` has the kernel names of unused volumes, which do not block a disk.
pub fn findings(disk: &Disk, identity: Option<&Identity>, allow: &[Gate], idle: &BTreeSet<String>) -> Vec<GateFinding> {
    let mut found = Vec::new();
    let mut gate = |code: &str, shut: bool, observed: &dyn Fn() -> String| {
        if shut {
            found.push(GateFinding { code: code.to_owned(), observed: observed() });
        }
    };
    let waived = |gate: Gate| allow.contains(&gate);

    let read = matches!(disk.status, Status::Ok | Status::Partial);
    gate("unread", !read, &|| format!("the disk was not read: {}", disk.status.word()));
    gate("size-zero", disk.size == 0, &|| "no medium, or no size".to_owned());
    gate("not-a-disk", disk.media != Media::Disk, &|| word(&disk.media));
    gate("read-only", disk.read_only, &|| "the kernel has it read-only".to_owned());
    gate("removable", disk.removable && !waived(Gate::Removable), &|| "removable medium".to_owned());
    gate("virtual-media", disk.virtual_media, &|| "a medium that a BMC or hypervisor emulates".to_owned());
    let several = paths::stands_for_several(disk);
    gate("multipath-path", disk.multipath_member && !several, &|| "one path of a multipath device".to_owned());
    gate("boot-medium", disk.boot_medium, &|| "the running system came from it".to_owned());
    gate("remote", disk.remote && !waived(Gate::Remote), &|| format!("reached by {}", word(&disk.transport)));

    let held: Vec<&str> = (disk.holders.iter())
        .chain(disk.partitions.iter().flat_map(|partition| &partition.holders))
        .map(String::as_str)
        // The paths are taken together before anything is stopped.
        .filter(|holder| several || !idle.contains(*holder))
        .collect();
    gate("in-use", !held.is_empty(), &|| format!("held by {} devices", held.len()));
    match &disk.mounts {
        Some(mounts) => {
            // Swap is turned off.
            let mounts = || mounts.iter().filter(|mount| several || !stacks::is_swap(mount));
            gate("in-use", mounts().next().is_some(), &|| {
                let points: Vec<&str> = mounts().map(|mount| mount.mountpoint.as_str()).collect();
                format!("mounted at {}", points.join(", "))
            });
        }
        None => gate("in-use", true, &|| "whether it is mounted is not known".to_owned()),
    }

    let health = disk.health.as_ref();
    gate(
        "failing",
        health.is_some_and(|health| health.state == HealthState::Failing) && !waived(Gate::Failing),
        &|| health.map(|health| health.reasons.join(", ")).unwrap_or_default(),
    );
    gate("zoned", disk.zoned.as_deref() == Some("host-managed"), &|| "host-managed zones".to_owned());
    let locked = disk.erase.as_ref().and_then(|erase| erase.ata_security.as_ref()).is_some_and(|ata| ata.locked);
    gate("locked", locked, &|| "locked with an ATA password".to_owned());
    let block = disk.logical_block_size.unwrap_or(0);
    gate("block-size", !block.is_power_of_two() || !(512..=1 << 20).contains(&block), &|| {
        if block == 0 { "not known".to_owned() } else { Size::from_bytes(block).to_string() }
    });
    gate("unaddressable", identity.is_none(), &|| "no identity of its own and no path by which to find it".to_owned());
    found
}

/// An enumeration value of the inventory as in its JSON.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

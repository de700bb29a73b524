//! Disks, volumes and interfaces on the page, one line each.

use super::{Cell, Page, bits, decimal, painted, plain, words};
use crate::model::{Disk, DiskClass, HealthState, Inventory, Media, Nic, Status, Strength};

fn class(disk: &Disk) -> &'static str {
    match (disk.class, disk.media) {
        (_, Media::Cdrom) => "cdrom",
        (_, Media::Floppy) => "floppy",
        (DiskClass::Nvme, _) => "nvme",
        (DiskClass::Ssd, _) => "ssd",
        (DiskClass::Hdd, _) => "hdd",
        (DiskClass::Virtual, _) => "virtual",
        (DiskClass::RaidVolume, _) => "raid",
        (DiskClass::Unknown, _) => "?",
    }
}

pub fn disks(inventory: &Inventory, page: &mut Page) {
    page.head("Disks", &inventory.disks);
    let rows = inventory.disks.data.iter().map(disk).collect();
    page.listing(&["NAME", "SIZE", "CLASS", "MODEL", "IDENTITY", "PLACE", "HEALTH", "NOTES", ""], rows);
}

fn disk(disk: &Disk) -> Vec<Cell> {
    let temperature = disk.health.as_ref().and_then(|h| h.temperature).map(|t| format!(" {t} °C")).unwrap_or_default();
    let health = match disk.health.as_ref().map(|h| h.state) {
        Some(HealthState::Ok) => painted(format!("healthy{temperature}"), "32"),
        Some(HealthState::Warning) => painted(format!("worn{temperature}"), "33"),
        Some(HealthState::Failing) => painted(format!("FAILING{temperature}"), "1;31"),
        _ => painted("-", "2"),
    };
    let identity = if disk.identity.strength == Strength::Strong {
        plain(&disk.identity.value)
    } else {
        painted(format!("weak: {}", disk.identity.reason.as_deref().unwrap_or("?")), "33")
    };
    let status = if disk.status == Status::Ok { String::new() } else { disk.status.word().to_owned() };
    vec![
        painted(&disk.name, "1"),
        plain(decimal(disk.size)),
        plain(class(disk)),
        plain(words(&[disk.vendor.as_deref().filter(|v| *v != "ATA"), disk.model.as_deref()])),
        identity,
        painted(disk.by_path.as_deref().unwrap_or_default(), "2"),
        health,
        painted(notes(disk).join(", "), "2"),
        painted(status, "31"),
    ]
}

fn notes(disk: &Disk) -> Vec<String> {
    let mut notes = Vec::new();
    let partitions = match disk.partitions.len() {
        1 => "1 partition".to_owned(),
        n => format!("{n} partitions"),
    };
    notes.extend(disk.partition_table.as_deref().map(|table| format!("{table}, {partitions}")));
    notes.extend(disk.unfinished.as_deref().map(|order| format!("half written by order {order}")));
    notes.extend(disk.samples.as_ref().filter(|s| s.blank).map(|_| "looks empty".to_owned()));
    let signatures = disk.signatures.iter().flatten();
    let signatures = signatures.filter(|s| s.usage.as_deref() != Some("partition-table"));
    notes.extend(signatures.map(|s| s.kind.clone()));
    if let Some(md) = disk.md.as_ref().filter(|m| m.array.as_deref() != Some(disk.name.as_str())) {
        let role = md.role.as_deref().unwrap_or("member");
        notes.push(format!("{role} in {}", md.array.as_deref().unwrap_or("an array")));
    }
    if let Some(bay) = &disk.bay {
        let slot = bay.slot.map(|n| n.to_string()).or_else(|| bay.name.clone());
        notes.extend(slot.map(|slot| format!("bay {slot}")));
    }
    notes.extend(disk.path_state.as_ref().filter(|s| *s != "single").map(|s| format!("paths {s}")));
    for (on, word) in [
        (disk.read_only, "read-only"),
        (disk.removable, "removable"),
        (disk.remote, "remote"),
        (disk.virtual_media, "virtual medium"),
        (disk.boot_medium, "boot medium"),
        (disk.multipath_member, "multipath"),
        (disk.mounts.as_ref().is_some_and(|m| !m.is_empty()), "mounted"),
        (!disk.holders.is_empty(), "held"),
    ] {
        if on {
            notes.push(word.to_owned());
        }
    }
    notes
}

/// Arrays and maps: what a person looks for when a disk says "held".
pub fn volumes(inventory: &Inventory, page: &mut Page) {
    if inventory.volumes.data.is_empty() {
        return;
    }
    page.head("Volumes", &inventory.volumes);
    let rows = inventory.volumes.data.iter().map(volume).collect();
    page.listing(&["NAME", "SIZE", "KIND", "CALLED", "ON", "MOUNTED"], rows);
}

fn volume(volume: &Disk) -> Vec<Cell> {
    let md = volume.md.as_ref();
    let kind = match (md.and_then(|m| m.level.as_deref()), volume.dm_uuid.as_deref(), &volume.backing_file) {
        (Some(level), ..) => level.to_owned(),
        // `LVM-...`, `mpath-...`, `CRYPT-LUKS2-...`
        (_, Some(uuid), _) => uuid.split('-').next().unwrap_or_default().to_lowercase(),
        (_, _, Some(_)) => "loop".to_owned(),
        _ => String::new(),
    };
    let kind = match md.and_then(|m| m.degraded) {
        Some(n) if n > 0 => painted(format!("{kind}, degraded"), "1;31"),
        _ => plain(kind),
    };
    let name = volume.dm_name.as_deref().or(md.and_then(|m| m.name.as_deref())).or(volume.backing_file.as_deref());
    let mounts: Vec<&str> = volume.mounts.iter().flatten().map(|m| m.mountpoint.as_str()).collect();
    vec![
        painted(&volume.name, "1"),
        plain(decimal(volume.size)),
        kind,
        plain(name.unwrap_or_default()),
        painted(volume.slaves.join(" "), "2"),
        painted(mounts.join(" "), "2"),
    ]
}

pub fn nics(inventory: &Inventory, page: &mut Page) {
    page.head("Network", &inventory.nics);
    let rows = inventory.nics.data.iter().map(nic).collect();
    page.listing(&["NAME", "ADDRESS", "LINK", "DRIVER", "CARD", "", "NEIGHBOUR", "IP"], rows);
}

fn nic(nic: &Nic) -> Vec<Cell> {
    let link = match (nic.carrier, nic.speed) {
        (Some(true), Some(speed)) => painted(bits(speed), "32"),
        (Some(true), None) => painted("up", "32"),
        (Some(false), _) => painted("no carrier", "33"),
        (None, _) => painted("down", "2"),
    };
    let addresses: Vec<&str> = nic.addresses.iter().map(|a| a.address.as_str()).collect();
    let neighbours: Vec<String> = nic
        .lldp
        .iter()
        .map(|l| format!("{} {}", l.system_name.as_deref().unwrap_or(&l.chassis_id), l.port_id))
        .collect();
    vec![
        painted(&nic.name, "1"),
        plain(words(&[nic.permanent_mac.as_deref().or(nic.mac.as_deref())])),
        link,
        plain(words(&[nic.driver.as_deref()])),
        plain(words(&[nic.vendor.as_deref(), nic.model.as_deref()])),
        plain(words(&[nic.bootif.then_some("boot")])),
        plain(neighbours.join("; ")),
        painted(addresses.join(" "), "2"),
    ]
}

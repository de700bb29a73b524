//! Findings about disks, arrays and their controllers.

use super::{against, finding, giga, subject};
use crate::model::{Disk, Finding, HealthState, Inventory, Media, Severity, Status, StorageController, Strength};
use std::collections::BTreeMap;

pub fn findings(inventory: &Inventory, found: &mut Vec<Finding>) {
    for disk in &inventory.disks.data {
        let name = subject(disk);
        state(disk, &name, found);
        identity(disk, &name, found);
        link(disk, &name, found);
    }
    collisions(&inventory.disks.data, found);
    inventory.volumes.data.iter().for_each(|volume| array(volume, found));
    inventory.storage_controllers.data.iter().filter(|c| c.hides_drives).for_each(|c| hidden(c, found));
}

fn state(disk: &Disk, name: &str, found: &mut Vec<Finding>) {
    if disk.status == Status::Timeout {
        found.push(finding("disk.hung", Severity::Critical, name, format!("disk {} does not answer", disk.name)));
    }
    if let Some(health) = &disk.health {
        let reasons = health.reasons.join("; ");
        match health.state {
            HealthState::Failing => {
                let text = format!("disk {} is failing: {reasons}", disk.name);
                found.push(finding("disk.failing", Severity::Critical, name, text));
            }
            HealthState::Warning => {
                let text = format!("disk {}: {reasons}", disk.name);
                found.push(finding("disk.health", Severity::Warning, name, text));
            }
            _ => {}
        }
    }
    // Card readers and virtual floppies without a medium are as they should be.
    if disk.size == 0 && disk.media == Media::Disk && !disk.removable && !disk.virtual_media {
        found.push(finding("disk.size-zero", Severity::Warning, name, format!("disk {} has size 0", disk.name)));
    }
}

/// A port that is slower than the disk holds back no link: that is how old machines get new disks.
fn link(disk: &Disk, name: &str, found: &mut Vec<Finding>) {
    let (Some(speed), Some(max)) = (disk.link_speed, disk.max_link_speed) else { return };
    let both = disk.port_link_speed.map_or(max, |port| port.min(max));
    if speed < both {
        // Where nobody knows what the port can, the port may be the reason.
        let severity = if disk.port_link_speed.is_some() { Severity::Warning } else { Severity::Info };
        let text = format!("disk {}: link runs at {} of {} Gbit/s", disk.name, giga(speed), giga(both));
        found.push(against(finding("disk.link-speed", severity, name, text), both, speed));
    }
}

fn identity(disk: &Disk, name: &str, found: &mut Vec<Finding>) {
    // Paths to one disk share its name on purpose; where there is no medium, nothing is to be told apart.
    let told = disk.multipath_member && disk.identity.reason.as_deref() == Some("duplicate");
    let empty = disk.size == 0 && (disk.removable || disk.virtual_media);
    if disk.identity.strength == Strength::Weak && disk.media == Media::Disk && !told && !empty {
        let reason = disk.identity.reason.as_deref().unwrap_or("unknown");
        let text = format!("disk {} has no identity to rely on ({reason})", disk.name);
        found.push(finding("disk.weak-identity", Severity::Info, name, text));
    }
    for conflict in &disk.conflicts {
        let text = format!(
            "disk {}: {} is {} by {}, {} by {}; the former is kept: {}",
            disk.name,
            conflict.field,
            conflict.kept,
            conflict.kept_source,
            conflict.other,
            conflict.other_source,
            conflict.reason
        );
        let mut finding = finding("disk.sources-disagree", Severity::Warning, name, text);
        finding.trusted = Some(conflict.kept_source.clone());
        found.push(against(finding, &conflict.kept, &conflict.other));
    }
}

/// Two disks that udev calls alike: who writes to the one by that name may hit the other. Paths to one disk are meant to.
fn collisions(disks: &[Disk], found: &mut Vec<Finding>) {
    let mut places: BTreeMap<&str, Vec<&Disk>> = BTreeMap::new();
    let mut names: BTreeMap<&str, Vec<&Disk>> = BTreeMap::new();
    for disk in disks {
        if let Some(place) = &disk.by_path {
            places.entry(place).or_default().push(disk);
        }
        for name in disk.by_id.iter().filter(|_| !disk.multipath_member) {
            names.entry(name).or_default().push(disk);
        }
    }
    // Namespaces of one controller share the name that udev made before it knew of namespaces; they have others.
    let has_own = |disk: &&Disk| disk.by_id.iter().any(|name| names.get(name.as_str()).is_some_and(|d| d.len() == 1));
    for (name, disks) in names.iter().filter(|(_, disks)| disks.len() > 1) {
        let severity = if disks.iter().all(has_own) { Severity::Info } else { Severity::Warning };
        found.push(collision("disk.same-name", severity, name, disks));
    }
    for (place, disks) in places.iter().filter(|(_, disks)| disks.len() > 1) {
        found.push(collision("disk.same-place", Severity::Warning, place, disks));
    }
}

fn collision(code: &str, severity: Severity, name: &str, disks: &[&Disk]) -> Finding {
    let list = disks.iter().map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
    finding(code, severity, name, format!("disks {list} are all called {name}: it tells none of them"))
}

fn array(volume: &Disk, found: &mut Vec<Finding>) {
    let Some(md) = volume.md.as_ref().filter(|m| m.array.as_deref() == Some(volume.name.as_str())) else { return };
    let name = md.uuid.as_deref().unwrap_or(&volume.name);
    if md.degraded.is_some_and(|n| n > 0) {
        let text = format!("array {} is degraded", volume.name);
        found.push(finding("raid.degraded", Severity::Critical, name, text));
    }
    for member in md.members.iter().filter(|m| m.role.as_deref() == Some("faulty")) {
        let text = format!("{} has failed in array {}", member.device, volume.name);
        found.push(finding("raid.member-faulty", Severity::Critical, name, text));
    }
}

fn hidden(controller: &StorageController, found: &mut Vec<Finding>) {
    let name = controller.pci_address.as_deref().unwrap_or("controller");
    let text = match controller.hidden_drive_count {
        Some(count) => format!("{count} drives behind this controller are not visible as disks"),
        None => "this controller does not tell the kernel which drives are behind it".to_owned(),
    };
    found.push(finding("storage.hidden-drives", Severity::Info, name, text));
}

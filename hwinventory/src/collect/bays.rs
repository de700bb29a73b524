//! Finds the bay or slot that a disk sits in: of an enclosure, a SAS backplane, or a PCIe slot.

use super::place;
use crate::model::{Bay, Disk, Inventory};
use crate::source::Reader;

/// What the path to the disk says. `device` is free of links.
pub fn of_disk(reader: &Reader, device: &str, disk: &mut Disk) {
    if let Some((address, slot, enclosure)) = sas_end(reader, device) {
        disk.sas_address = Some(address);
        if slot.is_some() {
            disk.bay = Some(Bay { enclosure, slot, source: "sas".to_owned(), ..Bay::default() });
        }
        return;
    }
    // hpsa, smartpqi and others that have no transport layer.
    let own = reader.quiet_text(&format!("{device}/sas_address")).map(|t| bare(&t));
    disk.sas_address = own.filter(|a| a.len() == 16 && a.bytes().any(|b| b != b'0'));
}

fn bare(text: &str) -> String {
    text.trim_start_matches("0x").to_ascii_lowercase()
}

/// The SAS end device above a disk: its address, and the bay and enclosure that the transport reports.
fn sas_end(reader: &Reader, real: &str) -> Option<(String, Option<u64>, Option<String>)> {
    let parts: Vec<&str> = real.split('/').collect();
    let at = parts.iter().position(|p| p.starts_with("end_device-"))?;
    let (name, above) = (parts.get(at)?, parts.get(..=at)?.join("/"));
    let text = |attribute: &str| reader.quiet_text(&format!("{above}/sas_device/{name}/{attribute}"));
    let not_zero = |t: &String| t.bytes().any(|b| b != b'0');
    let address = text("sas_address").map(|t| bare(&t)).filter(not_zero)?;
    Some((
        address,
        text("bay_identifier").and_then(|t| t.parse().ok()),
        text("enclosure_identifier").map(|t| bare(&t)).filter(not_zero),
    ))
}

/// The lights of a PCIe slot: NPEM's (Linux 6.13), or those that Intel's VMD puts behind the slot's attention indicator.
fn lights(reader: &Reader, address: &str, slot: Option<&str>) -> (Option<bool>, Option<bool>) {
    let npem = |function: &str| {
        let led = |what: &str| reader.quiet_number(&format!("/sys/class/leds/{function}:enclosure:{what}/brightness"));
        Some((led("locate").map(|n| n != 0), led("fail").map(|n| n != 0))).filter(|l| *l != (None, None))
    };
    // The port above the drive has the capability, or the drive itself.
    let real = reader.follow("/sys/bus/pci/devices", address).unwrap_or_default();
    let port = real.rsplit_once('/').and_then(|(up, _)| place::pci(up)).map(|(a, _)| a.to_owned());
    if let Some(found) = port.as_deref().and_then(npem).or_else(|| npem(address)) {
        return found;
    }
    // Domains of VMD start at 10000; their indicator takes the codes of Intel's LED specification.
    let is_vmd = address.split(':').next().is_some_and(|domain| domain.len() > 4);
    let state = slot.filter(|_| is_vmd).and_then(|s| reader.quiet_number(&format!("/sys/bus/pci/slots/{s}/attention")));
    match state {
        Some(7) => (Some(true), Some(false)),
        Some(13) => (Some(false), Some(true)),
        Some(15) => (Some(false), Some(false)),
        _ => (None, None),
    }
}

/// Puts disks into the enclosures' slots, and the slots to the disks.
pub fn join(reader: &Reader, inventory: &mut Inventory) {
    let disks = &mut inventory.disks.data;
    for enclosure in &mut inventory.enclosures.data {
        for slot in &mut enclosure.slots {
            let here = |d: &&mut Disk| {
                slot.disk.as_ref() == Some(&d.name)
                    || d.sas_address.as_ref().is_some_and(|a| slot.sas_addresses.contains(a))
            };
            let Some(disk) = disks.iter_mut().find(here) else { continue };
            slot.disk = Some(disk.name.clone());
            disk.bay = Some(Bay {
                enclosure: enclosure.logical_id.clone().or_else(|| enclosure.hctl.clone()),
                slot: slot.number,
                name: slot.name.clone(),
                source: enclosure.source.clone(),
                locate: slot.locate,
                fault: slot.fault,
            });
        }
    }
    let (pci, slots) = (&inventory.pci.data, &inventory.system.data.slots);
    for disk in disks.iter_mut().filter(|d| d.bay.is_none() && d.nvme.is_some() && !d.remote) {
        let Some(address) = disk.pci_address.clone() else { continue };
        // Number zero is for what is in no slot (PCI Express Base Specification 5.0, 7.5.3.9).
        let slot = pci.iter().find(|d| d.address == address).and_then(|d| d.slot.clone()).filter(|s| s != "0");
        let written = slots.iter().find(|s| s.pci_address.as_ref() == Some(&address));
        let name = written.and_then(|s| s.designation.clone());
        if slot.is_none() && name.is_none() {
            continue;
        }
        let (locate, fault) = lights(reader, &address, slot.as_deref());
        disk.bay = Some(Bay {
            enclosure: None,
            // Two cards in one slot are told apart by a dash: `3-1`.
            slot: slot.as_deref().and_then(|s| s.split('-').next()?.parse().ok()),
            source: if slot.is_some() { "pci-slot" } else { "smbios" }.to_owned(),
            name: name.or(slot),
            locate,
            fault,
        });
    }
}

//! Findings about PCI Express links that are narrower or slower than both of their ends can.

use super::{against, finding, giga};
use crate::model::{Finding, Inventory, PciDevice, PciLink, Severity};
use std::collections::{BTreeMap, BTreeSet};

pub fn findings(inventory: &Inventory, found: &mut Vec<Finding>) {
    let by_address: BTreeMap<&str, &PciDevice> = inventory.pci.data.iter().map(|d| (d.address.as_str(), d)).collect();
    let saving = above_graphics(&by_address);
    let mut seen = BTreeSet::new();
    for device in &inventory.pci.data {
        let Some(link) = device.link.as_ref().filter(|_| is_lower_end(device)) else { continue };
        // The functions of one device share its link.
        let slot = device.address.rsplit_once('.').map_or(device.address.as_str(), |(slot, _)| slot);
        if !seen.insert(slot.to_owned()) {
            continue;
        }
        let above = device.parent.as_deref().and_then(|p| by_address.get(p)).and_then(|p| p.link.as_ref());
        width(device, link, above, found);
        speed(device, link, above, saving.contains(device.address.as_str()), found);
    }
}

/// Graphics and what is between them and their port: some have a switch of their own, and it is the switch's link that
/// slows down.
fn above_graphics<'a>(by_address: &BTreeMap<&'a str, &'a PciDevice>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for device in by_address.values().filter(|device| device.gpu) {
        let mut next = Some(*device);
        // A path that comes back to where it was has no root.
        while let Some(device) = next.filter(|device| found.insert(device.address.as_str())) {
            next = device.parent.as_deref().and_then(|parent| by_address.get(parent)).copied();
        }
    }
    found
}

/// A link is judged from below: the port above it may offer more than the device can use.
fn is_lower_end(device: &PciDevice) -> bool {
    match device.port.as_deref() {
        Some("root-port" | "downstream" | "pci-to-pcie") => false,
        Some("upstream") => true,
        _ => !device.class_id.starts_with("0604"),
    }
}

fn width(device: &PciDevice, link: &PciLink, above: Option<&PciLink>, found: &mut Vec<Finding>) {
    let (Some(is), Some(can)) = (link.width, link.max_width) else { return };
    let both = above.and_then(|l| l.max_width).map_or(can, |port| port.min(can));
    let name = name(device);
    if is < both {
        let text = format!("{name}: PCIe link has {is} of {both} lanes");
        found.push(against(finding("pci.link-width", Severity::Warning, &device.address, text), both, is));
    } else if both < can {
        let text = format!("{name}: its slot has {both} of the {can} PCIe lanes that it could use");
        found.push(against(finding("pci.slot-width", Severity::Info, &device.address, text), can, both));
    }
}

fn speed(device: &PciDevice, link: &PciLink, above: Option<&PciLink>, saving: bool, found: &mut Vec<Finding>) {
    let (Some(is), Some(can)) = (link.speed, link.max_speed) else { return };
    let both = above.and_then(|l| l.max_speed).map_or(can, |port| port.min(can));
    let name = name(device);
    if is < both {
        // Graphics lower the speed to save power.
        let severity = if saving { Severity::Info } else { Severity::Warning };
        let text = format!("{name}: PCIe link runs at {} of {} GT/s", giga(is), giga(both));
        found.push(against(finding("pci.link-speed", severity, &device.address, text), both, is));
    } else if both < can {
        let text = format!("{name}: its slot runs at {} of the {} GT/s that it could", giga(both), giga(can));
        found.push(against(finding("pci.slot-speed", Severity::Info, &device.address, text), can, both));
    }
}

fn name(device: &PciDevice) -> &str {
    device.device.as_deref().or(device.class.as_deref()).unwrap_or("device")
}

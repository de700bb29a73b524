//! Devices that no driver has taken, and the modules that would.

use crate::model::{Inventory, UnclaimedDevice};
use crate::parse::modalias;
use crate::source::Reader;

/// Buses whose devices say what they are by a modalias. Those of CXL and NVDIMMs hold places for what is not set up yet; the
/// devices behind them are on PCI and ACPI.
const BUSES: &[&str] = &["pci", "usb", "virtio", "vmbus", "xen", "acpi", "platform", "mmc"];

pub fn collect(reader: &Reader) -> Option<Vec<UnclaimedDevice>> {
    let found: Vec<UnclaimedDevice> = BUSES.iter().flat_map(|bus| of_bus(reader, bus)).collect();
    if found.is_empty() {
        return None;
    }
    let aliases = aliases(reader);
    let aliases = String::from_utf8_lossy(&aliases);
    let loaded = reader.quiet_text("/proc/modules").unwrap_or_default();
    let loaded: Vec<&str> = loaded.lines().filter_map(|l| l.split(' ').next()).collect();
    let with_modules = found.into_iter().map(|mut device| {
        device.modules = modalias::modules(&aliases, &device.modalias);
        let is_loaded = |module: &&String| loaded.iter().any(|l| same_module(l, module));
        device.loaded = device.modules.iter().filter(is_loaded).cloned().collect();
        device
    });
    // What firmware describes (ACPI, platform) is mostly nothing that needs a driver: it counts only if a module says so.
    let counts = |d: &UnclaimedDevice| !matches!(d.bus.as_str(), "acpi" | "platform") || !d.modules.is_empty();
    let kept: Vec<UnclaimedDevice> = with_modules.filter(counts).collect();
    (!kept.is_empty()).then_some(kept)
}

fn of_bus(reader: &Reader, bus: &str) -> Vec<UnclaimedDevice> {
    let base = format!("/sys/bus/{bus}/devices");
    let names = reader.source().list(&base).unwrap_or_default();
    let unclaimed = names.into_iter().filter_map(|name| {
        let real = reader.follow(&base, &name)?;
        if reader.source().link(&format!("{real}/driver")).is_ok() {
            return None;
        }
        let text = |attribute: &str| reader.quiet_text(&format!("{real}/{attribute}"));
        let modalias = text("modalias")?;
        let class_id = match bus {
            "pci" => text("class").map(|c| c.trim_start_matches("0x").to_owned()),
            "usb" => text("bInterfaceClass"),
            _ => None,
        };
        if bus == "pci" && needs_none(class_id.as_deref().unwrap_or_default()) {
            return None;
        }
        // Of the nodes that ACPI has for PCI and platform devices only those count that are devices of their own.
        if bus == "acpi" && reader.source().link(&format!("{real}/physical_node")).is_ok() {
            return None;
        }
        Some(UnclaimedDevice { bus: bus.to_owned(), device: name, modalias, class_id, ..UnclaimedDevice::default() })
    });
    unclaimed.collect()
}

/// Host and ISA bridges, memory controllers, performance counters and the like work, or do not, without a driver.
fn needs_none(class: &str) -> bool {
    ["05", "0600", "0601", "0680", "08", "1101"].iter().any(|prefix| class.starts_with(prefix))
        // "Unassigned": functions that only hold a place.
        || class.starts_with("ff")
}

/// A megabyte or two.
fn aliases(reader: &Reader) -> Vec<u8> {
    let Some(release) = reader.quiet_text("/proc/sys/kernel/osrelease") else { return Vec::new() };
    let places = ["/lib/modules", "/usr/lib/modules"];
    let found = places.iter().find_map(|place| reader.source().read(&format!("{place}/{release}/modules.alias")).ok());
    found.unwrap_or_default()
}

/// The kernel writes underscores where files may have dashes.
fn same_module(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes().zip(b.bytes()).all(|(a, b)| a == b || (matches!(a, b'-' | b'_') && matches!(b, b'-' | b'_')))
}

/// Names that the databases gave the same devices in other sections.
pub fn names(inventory: &mut Inventory) {
    for device in &mut inventory.unclaimed.data {
        device.name = match device.bus.as_str() {
            "pci" => {
                let known = inventory.pci.data.iter().find(|d| d.address == device.device);
                known.and_then(|d| d.device.clone().or_else(|| d.class.clone()))
            }
            "usb" => {
                let port = device.device.split(':').next().unwrap_or_default();
                let known = inventory.usb.data.iter().find(|d| d.port == port);
                known.and_then(|d| d.product_name.clone().or_else(|| d.product.clone()))
            }
            _ => None,
        };
    }
}

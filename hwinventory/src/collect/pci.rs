//! Collects the PCI functions, with their names and links.

use super::{ids, pcierrors, place};
use crate::model::{PciDevice, PciLink};
use crate::parse::ids::Names;
use crate::parse::pcie;
use crate::source::Reader;
use std::path::Path;

const BASE: &str = "/sys/bus/pci/devices";

pub fn collect(reader: &Reader, ids_file: Option<&Path>) -> Option<Vec<PciDevice>> {
    let names = reader.try_list(BASE)?;
    let slots = slots(reader);
    let mut devices: Vec<PciDevice> = names.iter().filter_map(|a| device(reader, a, &slots)).collect();
    devices.sort_by(|a, b| place::pci_order(&a.address, &b.address));
    let mut names = Names::default();
    for d in &devices {
        let subsystem = d.subsystem_vendor_id.as_deref().zip(d.subsystem_device_id.as_deref());
        names.want(&d.vendor_id, &d.device_id, subsystem, &d.class_id);
    }
    ids::fill(&mut names, ids_file, ids::PCI);
    for d in &mut devices {
        d.vendor = names.vendor(&d.vendor_id);
        d.device = names.device(&d.vendor_id, &d.device_id);
        d.class = names.class(&d.class_id);
        if let (Some(vendor), Some(device)) = (&d.subsystem_vendor_id, &d.subsystem_device_id) {
            d.subsystem = names.subsystem(&d.vendor_id, &d.device_id, vendor, device);
        }
    }
    Some(devices)
}

fn device(reader: &Reader, address: &str, slots: &[(String, String)]) -> Option<PciDevice> {
    let directory = reader.follow(BASE, address)?;
    let text = |name: &str| reader.quiet_text(&format!("{directory}/{name}"));
    let hex = |name: &str| text(name).map(|t| t.trim_start_matches("0x").to_ascii_lowercase());
    let mut device = PciDevice {
        address: address.to_owned(),
        vendor_id: hex("vendor").unwrap_or_default(),
        device_id: hex("device").unwrap_or_default(),
        subsystem_vendor_id: hex("subsystem_vendor").filter(|v| v != "0000"),
        subsystem_device_id: hex("subsystem_device"),
        class_id: hex("class").unwrap_or_default(),
        revision: hex("revision"),
        driver: reader.link_name(&format!("{directory}/driver")),
        numa_node: place::numa_node(reader, &directory),
        iommu_group: reader.link_name(&format!("{directory}/iommu_group")).and_then(|g| g.parse().ok()),
        total_vfs: text("sriov_totalvfs").and_then(|t| t.parse().ok()),
        enabled: text("enable").map(|t| t != "0"),
        slot: slots.iter().find(|(at, _)| address.starts_with(at.as_str())).map(|(_, name)| name.clone()),
        ..PciDevice::default()
    };
    if device.vendor_id.is_empty() || device.class_id.is_empty() {
        // Dumps that have only the modalias still say it all.
        from_modalias(&text("modalias")?, &mut device)?;
    }
    device.gpu = device.class_id.starts_with("03") || device.class_id.starts_with("12");
    let speed = |name: &str| text(name).and_then(|t| link_speed(&t));
    let width = |name: &str| text(name).and_then(|t| t.parse().ok()).filter(|&w: &u64| w > 0 && w < 255);
    // Kernels before 4.13 do not write the link out; configuration space has it, for those who may read it.
    let config = reader.source().read(&format!("{directory}/config")).ok();
    let express = config.as_deref().and_then(pcie::express);
    let or = express.unwrap_or_default();
    device.port = or.port.map(str::to_owned);
    device.link_retrained = or.retrained;
    pcierrors::collect(reader, &directory, &mut device);
    let link = PciLink {
        speed: speed("current_link_speed").or(or.speed),
        max_speed: speed("max_link_speed").or(or.max_speed),
        width: width("current_link_width").or(or.width),
        max_width: width("max_link_width").or(or.max_width),
    };
    device.parent = directory.rsplit_once('/').and_then(|(up, _)| place::pci(up)).map(|(parent, _)| parent.to_owned());
    device.link = (link != PciLink::default()).then_some(link);
    Some(device)
}

/// `8.0 GT/s PCIe`: one transfer is one bit on one lane.
fn link_speed(text: &str) -> Option<u64> {
    let (number, rest) = text.split_once(' ')?;
    if !rest.starts_with("GT/s") {
        return None;
    }
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let tenths: u64 = tenths.get(..1)?.parse().ok()?;
    Some((whole.parse::<u64>().ok()?.checked_mul(10)? + tenths) * 100_000_000)
}

/// `pci:v00008086d00001533sv000015D9sd00001533bc02sc00i00`
fn from_modalias(text: &str, device: &mut PciDevice) -> Option<()> {
    let field = |from: usize, to: usize| text.get(from..to).map(str::to_ascii_lowercase);
    text.starts_with("pci:v").then_some(())?;
    device.vendor_id = field(9, 13)?;
    device.device_id = field(18, 22)?;
    device.subsystem_vendor_id = field(28, 32).filter(|v| v != "0000");
    device.subsystem_device_id = field(38, 42);
    device.class_id = format!("{}{}{}", field(44, 46)?, field(48, 50)?, field(51, 53)?);
    Some(())
}

/// Address without function, and name, of the slots that the firmware or hot-plug drivers name.
fn slots(reader: &Reader) -> Vec<(String, String)> {
    let base = "/sys/bus/pci/slots";
    let names = reader.source().list(base).unwrap_or_default();
    names
        .into_iter()
        .filter_map(|name| Some((format!("{}.", reader.quiet_text(&format!("{base}/{name}/address"))?), name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!(link_speed("2.5 GT/s PCIe"), Some(2_500_000_000));
        assert_eq!(link_speed("16 GT/s"), Some(16_000_000_000));
        assert_eq!(link_speed("Unknown"), None);
    }

    #[test]
    fn modalias() {
        let mut device = PciDevice::default();
        from_modalias("pci:v00008086d00001533sv000015D9sd00001533bc02sc00i00", &mut device).expect("whole");
        assert_eq!((device.vendor_id.as_str(), device.class_id.as_str()), ("8086", "020000"));
        assert_eq!(device.subsystem_vendor_id.as_deref(), Some("15d9"));
        assert_eq!(from_modalias("pci:v0000", &mut device), None);
    }
}

//! PCI functions, interfaces and disks as nodes of lshw's tree.

use super::lshw::Node;
use crate::model::{Disk, Inventory, Media, Nic, PciDevice, UsbDevice};

/// The class and id that lshw gives a PCI base class.
fn class(device: &PciDevice) -> (&'static str, &'static str) {
    match device.class_id.get(..2).unwrap_or_default() {
        "01" => match device.class_id.get(..4).unwrap_or_default() {
            "0104" => ("raid", "storage"),
            "0106" => ("sata", "storage"),
            "0107" => ("sas", "storage"),
            "0108" => ("nvme", "storage"),
            _ => ("storage", "storage"),
        },
        "02" => ("network", "network"),
        "03" => ("display", "display"),
        "04" => ("multimedia", "multimedia"),
        "05" => ("memory", "memory"),
        "06" => ("pci", "bridge"),
        "07" => ("communication", "communication"),
        "0c" => match device.class_id.get(..4).unwrap_or_default() {
            "0c03" => ("usb", "bus"),
            "0c05" => ("serial", "bus"),
            _ => ("bus", "bus"),
        },
        _ => ("generic", "generic"),
    }
}

/// One function, with the interface or the disks that it is for. A function with one interface is that interface, as in
/// lshw.
pub fn pci_node(device: &PciDevice, inventory: &Inventory, placed: &mut [bool]) -> Node {
    let nics: Vec<&Nic> =
        inventory.nics.data.iter().filter(|n| n.pci_address.as_ref() == Some(&device.address)).collect();
    let mut node = match nics.as_slice() {
        [one] => nic(one, Some(device)),
        _ => {
            let (id, class) = class(device);
            Node::new(id, class, device.class.as_deref().unwrap_or("device"))
        }
    };
    node.set("vendor", device.vendor.clone())
        .set("product", device.device.clone())
        .set("handle", Some(format!("PCI:{}", device.address)))
        .set("businfo", Some(format!("pci@{}", device.address)))
        .set("version", device.revision.clone())
        .set("claimed", Some(device.driver.is_some()))
        .configure("driver", device.driver.clone());
    if nics.len() > 1 {
        node.children.extend(nics.iter().map(|n| nic(n, None)));
    }
    for (d, placed) in inventory.disks.data.iter().zip(placed) {
        if !*placed && d.pci_address.as_ref() == Some(&device.address) {
            *placed = true;
            node.children.push(disk(d));
        }
    }
    node
}

pub fn nic(nic: &Nic, device: Option<&PciDevice>) -> Node {
    let mut node = Node::new("network", "network", "Ethernet interface");
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    let address = nic.addresses.iter().find(|a| !a.address.contains(':'));
    node.set("logicalname", Some(nic.name.clone()))
        .set("serial", nic.permanent_mac.clone().or_else(|| nic.mac.clone()))
        .set("size", nic.speed)
        .set("capacity", nic.max_speed)
        .set("units", nic.speed.or(nic.max_speed).map(|_| "bit/s"))
        .configure("driver", nic.driver.clone().or_else(|| device.and_then(|d| d.driver.clone())))
        .configure("driverversion", nic.driver_version.clone())
        .configure("firmware", nic.firmware.clone())
        .configure("autonegotiation", nic.autonegotiation.map(|on| if on { "on" } else { "off" }))
        .configure("duplex", nic.duplex.clone())
        .configure("port", nic.connector.clone())
        .configure("link", nic.carrier.map(yes))
        .configure("ip", address.and_then(|a| a.address.split('/').next()).map(str::to_owned))
        .configure("broadcast", Some("yes"))
        .configure("multicast", Some("yes"));
    node
}

pub fn disk(disk: &Disk) -> Node {
    let (id, description) = match disk.media {
        Media::Cdrom => ("cdrom", "DVD reader"),
        Media::Floppy => ("floppy", "Floppy disk"),
        Media::Disk => ("disk", "Disk"),
    };
    let mut node = Node::new(id, "disk", description);
    node.set("logicalname", Some(disk.path.clone()))
        .set("vendor", disk.vendor.clone())
        .set("product", disk.model.clone())
        .set("serial", disk.serial.clone())
        .set("version", disk.firmware.clone())
        .set("dev", disk.device_number.clone())
        .sized(Some(disk.size), "bytes")
        .configure("logicalsectorsize", disk.logical_block_size.map(|n| n.to_string()))
        .configure("sectorsize", disk.physical_block_size.map(|n| n.to_string()))
        .configure("wwid", disk.wwn.clone());
    // `host:channel:target:lun` is `scsi@host:channel.target.lun` to lshw.
    let place = disk.hctl.as_deref().and_then(|h| h.split_once(':'));
    node.set("businfo", place.map(|(host, rest)| format!("scsi@{host}:{}", rest.replace(':', "."))));
    node.children = disk
        .partitions
        .iter()
        .map(|p| {
            let first = p.signatures.iter().flatten().next();
            let kind = first.map_or("partition", |s| s.kind.as_str());
            let mut volume = Node::new(&format!("volume:{}", p.number), "volume", kind);
            volume
                .set("logicalname", Some(crate::collect::device_node(&p.name)))
                .set("physid", Some(p.number.to_string()))
                .set("serial", first.and_then(|s| s.uuid.clone()))
                .sized(Some(p.size), "bytes");
            volume
        })
        .collect();
    node
}

pub fn usb(device: &UsbDevice) -> Node {
    let name = device.product_name.as_deref().or(device.product.as_deref()).unwrap_or("USB device");
    let mut node = Node::new("usb", "generic", device.class.as_deref().unwrap_or("Generic USB device"));
    node.set("product", Some(name))
        .set("vendor", device.manufacturer.clone().or_else(|| device.vendor.clone()))
        .set("serial", device.serial.clone())
        .set("version", device.version.clone())
        .set("businfo", Some(format!("usb@{}", device.port)))
        .set("handle", Some(format!("USB:{}", device.port)))
        .configure("driver", device.drivers.first().cloned());
    node
}

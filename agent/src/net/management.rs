//! NICs that lead to the management controller and nowhere else: they hand out addresses, and must never be taken for a
//! provisioning network.

use super::netlink::Link;
use crate::config::Mac;
use hwinventory::model::HostInterface;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// USB NICs that management controllers show to their hosts, by vendor and product.
const KNOWN: [(&str, &str); 5] = [
    // AMI MegaRAC.
    ("046b", "ffb0"),
    // Dell iDRAC.
    ("413c", "a102"),
    // IBM IMM, Lenovo XClarity Controller.
    ("04b3", "4010"),
    // Insyde, on boards of Supermicro and others.
    ("0b1f", "03ee"),
    // HPE iLO.
    ("03f0", "2927"),
];

/// Remembers what it found: NICs do not change what they are.
#[derive(Debug)]
pub struct Management {
    root: PathBuf,
    interfaces: Vec<HostInterface>,
    known: HashMap<u32, bool>,
}

impl Management {
    /// Reads SMBIOS below `root`.
    pub fn read(root: &Path) -> Self {
        let table = std::fs::read(root.join("sys/firmware/dmi/tables/DMI")).unwrap_or_default();
        let interfaces = hwinventory::host_interfaces(&table);
        Self { root: root.to_owned(), interfaces, known: HashMap::new() }
    }

    /// True for the host's end of a wire to the management controller.
    pub fn is_one(&mut self, link: &Link) -> bool {
        if let Some(known) = self.known.get(&link.index) {
            return *known;
        }
        let usb = usb_ids(&self.root, &link.name);
        let one = link.is_nic() && leads_there(&self.interfaces, link.mac, usb.as_ref());
        if one {
            log::info!("{}: leads to the management controller, and is left alone", link.name);
        }
        self.known.insert(link.index, one);
        one
    }
}

fn leads_there(interfaces: &[HostInterface], mac: Option<Mac>, usb: Option<&(String, String)>) -> bool {
    let known = usb.is_some_and(|(vendor, product)| KNOWN.contains(&(vendor.as_str(), product.as_str())));
    let told = interfaces.iter().filter(|one| one.kind.as_deref() == Some("network")).any(|one| {
        let by_mac = mac.is_some() && one.mac.as_deref().and_then(Mac::parse) == mac;
        let by_ids = one.device.as_deref() == Some("usb")
            && usb.is_some_and(|(vendor, product)| {
                one.vendor_id.as_ref() == Some(vendor) && one.product_id.as_ref() == Some(product)
            });
        by_mac || by_ids
    });
    known || told
}

/// Of the USB device that the interface belongs to.
fn usb_ids(root: &Path, name: &str) -> Option<(String, String)> {
    let device = root.join("sys/class/net").join(name).join("device").canonicalize().ok()?;
    // The interface of the device, or the device itself; never a hub further up.
    device.ancestors().take(2).find_map(|place| {
        let read = |file: &str| Some(std::fs::read_to_string(place.join(file)).ok()?.trim().to_ascii_lowercase());
        Some((read("idVendor")?, read("idProduct")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ids(vendor: &str, product: &str) -> (String, String) {
        (vendor.to_owned(), product.to_owned())
    }

    #[test]
    fn smbios_and_ids_tell() {
        let mut told =
            HostInterface { kind: Some("network".into()), device: Some("usb".into()), ..HostInterface::default() };
        told.vendor_id = Some("1d6b".into());
        told.product_id = Some("0104".into());
        let told = [told];
        assert!(leads_there(&told, Some(OURS), Some(&ids("1d6b", "0104"))));
        assert!(!leads_there(&[], Some(OURS), Some(&ids("1d6b", "0104"))));
        assert!(!leads_there(&told, Some(OURS), None), "not a USB device");
        assert!(leads_there(&[], None, Some(&ids("046b", "ffb0"))), "known without SMBIOS");
        let kcs = [HostInterface { kind: Some("KCS".into()), mac: Some(OURS.to_string()), ..HostInterface::default() }];
        assert!(!leads_there(&kcs, Some(OURS), None));
        let by_mac =
            [HostInterface { kind: Some("network".into()), mac: Some(OURS.to_string()), ..HostInterface::default() }];
        assert!(leads_there(&by_mac, Some(OURS), None));
        assert!(!leads_there(&by_mac, Some(Mac([2; 6])), None));
    }

    #[test]
    fn ids_are_those_of_the_nic_and_not_of_its_hub() {
        let root = tempfile::tempdir().unwrap();
        let hub = root.path().join("sys/devices/pci0/usb1/1-1");
        let device = hub.join("1-1.2");
        std::fs::create_dir_all(device.join("1-1.2:1.0")).unwrap();
        for (place, product) in [(&hub, "ffb0"), (&device, "a4a2")] {
            std::fs::write(place.join("idVendor"), "046b\n").unwrap();
            std::fs::write(place.join("idProduct"), format!("{product}\n")).unwrap();
        }
        let nic = root.path().join("sys/class/net/usb0");
        std::fs::create_dir_all(&nic).unwrap();
        std::os::unix::fs::symlink(device.join("1-1.2:1.0"), nic.join("device")).unwrap();
        assert_eq!(usb_ids(root.path(), "usb0"), Some(ids("046b", "a4a2")));
        assert_eq!(usb_ids(root.path(), "eth0"), None);
    }
}

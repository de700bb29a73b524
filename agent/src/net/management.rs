//! NICs that lead only to the management controller. They hand out addresses, and must never be taken for a
//! provisioning network.

use super::netlink::Link;
use crate::config::Mac;
use hwinventory::model::HostInterface;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// USB NICs that management controllers present to their hosts, by vendor and product.
const NICS: [(&str, &str); 6] = [
    // AMI MegaRAC: ASRock Rack, ASUS, Gigabyte, Inspur, Tyan and others.
    ("046b", "ffb0"),
    // Dell iDRAC.
    ("413c", "a102"),
    // IBM IMM, Lenovo XClarity Controller.
    ("04b3", "4010"),
    // Insyde, on boards of Supermicro and others.
    ("0b1f", "03ee"),
    // HPE iLO.
    ("03f0", "2927"),
    // Oracle ILOM.
    ("0430", "a4a2"),
];

/// USB hubs that exist only in management controllers: everything behind one belongs to the controller, whichever ids
/// an OpenBMC gadget has.
const HUBS: [(&str, &str); 4] = [
    // ASPEED's, as used by Linux on the controller: OpenBMC, Insyde, newer AMI.
    ("1d6b", "0107"),
    // AMI MegaRAC.
    ("046b", "ff01"),
    // HPE iLO.
    ("03f0", "1327"),
    // Avocent: iDRAC, IMM, Cisco CIMC.
    ("0624", "0248"),
];

/// PCI functions that are a management controller's own USB host: HPE iLO and iLO 5.
const HOSTS: [(&str, &str); 2] = [("0x103c", "0x3300"), ("0x103c", "0x22f6")];

/// A NIC behind seven hubs, USB's maximum, with its interface, root hub and PCI function.
const DEPTH: usize = 10;

/// Caches its results: a NIC does not change its kind.
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

    /// Whether the link is the host's end of a connection to the management controller.
    pub fn is_one(&mut self, link: &Link) -> bool {
        if let Some(known) = self.known.get(&link.index) {
            return *known;
        }
        let place = Place::of(&self.root, &link.name);
        let one = link.is_nic() && leads_there(&self.interfaces, link.mac, &place);
        if one {
            log::info!("{}: leads to the management controller, and is not used", link.name);
        }
        self.known.insert(link.index, one);
        one
    }
}

fn leads_there(interfaces: &[HostInterface], mac: Option<Mac>, place: &Place) -> bool {
    let told = interfaces.iter().filter(|one| one.kind.as_deref() == Some("network")).any(|one| {
        let by_mac = mac.is_some() && one.mac.as_deref().and_then(Mac::parse) == mac;
        let by_ids = one.device.as_deref() == Some("usb")
            && place.nic.as_ref().is_some_and(|(vendor, product)| {
                one.vendor_id.as_ref() == Some(vendor) && one.product_id.as_ref() == Some(product)
            });
        by_mac || by_ids
    });
    told || place.is_known()
}

type Ids = (String, String);

/// The position of a USB NIC; empty for others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    nic: Option<Ids>,
    /// From the nearest hub up to the root hub.
    hubs: Vec<Ids>,
    /// The PCI function of the root hub.
    host: Option<Ids>,
}

impl Place {
    fn of(root: &Path, name: &str) -> Self {
        let mut place = Self::default();
        let Ok(device) = root.join("sys/class/net").join(name).join("device").canonicalize() else { return place };
        let ids = |place: &Path, vendor: &str, product: &str| {
            let read = |file: &str| Some(std::fs::read_to_string(place.join(file)).ok()?.trim().to_ascii_lowercase());
            Some((read(vendor)?, read(product)?))
        };
        for (step, above) in device.ancestors().take(DEPTH).enumerate() {
            match ids(above, "idVendor", "idProduct") {
                // The device, or the interface of it that is the NIC.
                Some(ids) if step < 2 && place.nic.is_none() => place.nic = Some(ids),
                Some(ids) if place.nic.is_some() => place.hubs.push(ids),
                // Not a USB device: PCI NICs are not considered.
                _ if step > 0 && place.nic.is_none() => break,
                _ => {}
            }
            if place.nic.is_some() && place.host.is_none() {
                place.host = ids(above, "vendor", "device");
            }
        }
        place
    }

    fn is_known(&self) -> bool {
        let of = |table: &[(&str, &str)], ids: &Ids| table.contains(&(ids.0.as_str(), ids.1.as_str()));
        self.nic.as_ref().is_some_and(|ids| of(&NICS, ids))
            || self.hubs.iter().any(|ids| of(&HUBS, ids))
            || self.host.as_ref().is_some_and(|ids| of(&HOSTS, ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);

    fn ids(vendor: &str, product: &str) -> Ids {
        (vendor.to_owned(), product.to_owned())
    }

    fn nic(vendor: &str, product: &str) -> Place {
        Place { nic: Some(ids(vendor, product)), ..Place::default() }
    }

    #[test]
    fn smbios_and_ids_tell() {
        let mut told =
            HostInterface { kind: Some("network".into()), device: Some("usb".into()), ..HostInterface::default() };
        told.vendor_id = Some("1d6b".into());
        told.product_id = Some("0104".into());
        let told = [told];
        assert!(leads_there(&told, Some(OURS), &nic("1d6b", "0104")));
        assert!(!leads_there(&[], Some(OURS), &nic("1d6b", "0104")));
        assert!(!leads_there(&told, Some(OURS), &Place::default()), "not a USB device");
        assert!(leads_there(&[], None, &nic("046b", "ffb0")), "known without SMBIOS");
        let kcs = [HostInterface { kind: Some("KCS".into()), mac: Some(OURS.to_string()), ..HostInterface::default() }];
        assert!(!leads_there(&kcs, Some(OURS), &Place::default()));
        let by_mac =
            [HostInterface { kind: Some("network".into()), mac: Some(OURS.to_string()), ..HostInterface::default() }];
        assert!(leads_there(&by_mac, Some(OURS), &Place::default()));
        assert!(!leads_there(&by_mac, Some(Mac([2; 6])), &Place::default()));
    }

    /// `usb0` behind a hub, a root hub and a PCI function.
    fn machine(nic: (&str, &str), hub: (&str, &str), host: (&str, &str)) -> Place {
        let root = tempfile::tempdir().unwrap();
        let function = root.path().join("sys/devices/pci0000:00/0000:00:14.0");
        let usb = function.join("usb1");
        let device = usb.join("1-1/1-1.2");
        std::fs::create_dir_all(device.join("1-1.2:1.0")).unwrap();
        for (place, files, ids) in [
            (&function, ["vendor", "device"], host),
            (&usb, ["idVendor", "idProduct"], ("1d6b", "0002")),
            (&usb.join("1-1"), ["idVendor", "idProduct"], hub),
            (&device, ["idVendor", "idProduct"], nic),
        ] {
            for (file, id) in files.iter().zip([ids.0, ids.1]) {
                std::fs::write(place.join(file), format!("{id}\n")).unwrap();
            }
        }
        let class = root.path().join("sys/class/net");
        for (name, device) in [("usb0", device.join("1-1.2:1.0")), ("eth0", function)] {
            std::fs::create_dir_all(class.join(name)).unwrap();
            symlink(device, class.join(name).join("device")).unwrap();
        }
        assert_eq!(Place::of(root.path(), "eth0"), Place::default(), "a NIC of PCI");
        assert_eq!(Place::of(root.path(), "eth1"), Place::default(), "none at all");
        Place::of(root.path(), "usb0")
    }

    const ADAPTER: (&str, &str) = ("0bda", "8153");
    const HUB: (&str, &str) = ("05e3", "0610");
    const XHCI: (&str, &str) = ("0x8086", "0xa36d");

    #[test]
    fn a_nic_is_where_its_hubs_are() {
        let place = machine(ADAPTER, HUB, XHCI);
        assert_eq!(place.nic, Some(ids(ADAPTER.0, ADAPTER.1)));
        assert_eq!(place.hubs, [ids(HUB.0, HUB.1), ids("1d6b", "0002")]);
        assert_eq!(place.host, Some(ids(XHCI.0, XHCI.1)));
        assert!(!place.is_known(), "an adapter that somebody has plugged in");
        assert!(!machine(ADAPTER, NICS[0], XHCI).is_known(), "the ids of a NIC on a hub");
    }

    #[test]
    fn whatever_is_in_a_management_controller_leads_there() {
        // OpenBMC gives its gadget generic ids.
        let gadget = ("1d6b", "0104");
        assert!(!machine(gadget, HUB, XHCI).is_known());
        for hub in HUBS {
            assert!(machine(gadget, hub, XHCI).is_known(), "{hub:?}");
        }
        for host in HOSTS {
            assert!(machine(gadget, HUB, host).is_known(), "{host:?}");
        }
        for nic in NICS {
            assert!(machine(nic, HUB, XHCI).is_known(), "{nic:?}");
        }
    }
}

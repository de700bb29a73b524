//! Tests of the predictable interface names.

use super::*;
use crate::source::{Query, Source};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Files and links by path.
#[derive(Default)]
struct Tree {
    files: BTreeMap<String, Vec<u8>>,
    links: BTreeMap<String, String>,
}

impl Source for Tree {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{path}/");
        let below =
            self.files.keys().chain(self.links.keys()).filter_map(|p| p.strip_prefix(&prefix)?.split('/').next());
        let mut names: Vec<String> = below.map(str::to_owned).collect();
        names.sort();
        names.dedup();
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.links.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn query(&self, _: &Query) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The names of an interface at `real`, with further files. A header type of a function with several is 0x80.
fn of(real: &str, files: &[(&str, &str)]) -> PredictableNames {
    of_tree(real, files, Tree::default())
}

fn of_tree(real: &str, files: &[(&str, &str)], mut tree: Tree) -> PredictableNames {
    for (name, text) in
        [("ifindex", "2"), ("iflink", "2"), ("type", "1"), ("address", "52:54:00:12:34:56"), ("addr_assign_type", "0")]
    {
        tree.files.insert(format!("{real}/{name}"), text.into());
    }
    for (path, text) in files {
        let path = if path.starts_with('/') { (*path).to_owned() } else { format!("{real}/{path}") };
        tree.files.insert(path, text.as_bytes().to_vec());
    }
    let reader = Reader::new(Arc::new(tree));
    let port = reader.quiet_number(&format!("{real}/dev_port"));
    let nic = Nic { name: "eth0".into(), port, ..Nic::default() };
    names(&reader, &nic, real).unwrap_or_default()
}

const CARD: &str = "/sys/devices/pci0000:00/0000:00:1c.0/0000:03:00.1";

#[test]
fn a_card_on_the_bus() {
    let names = of(&format!("{CARD}/net/eth0"), &[]);
    assert_eq!(names.path.as_deref(), Some("enp3s0f1"));
    assert_eq!(names.mac.as_deref(), Some("enx525400123456"));
    assert_eq!((names.name.as_deref(), names.slot, names.onboard), (Some("enp3s0f1"), None, None));
}

#[test]
fn domains_and_buses_are_decimal() {
    let names = of("/sys/devices/pci10000:e0/10000:e1:1f.0/net/eth0", &[]);
    assert_eq!(names.path.as_deref(), Some("enP65536p225s31"));
}

#[test]
fn devices_of_the_board() {
    let index = format!("{CARD}/index");
    let label = format!("{CARD}/label");
    let names = of(&format!("{CARD}/net/eth0"), &[(&index, "2"), (&label, "NIC2")]);
    assert_eq!((names.onboard.as_deref(), names.label.as_deref()), (Some("eno2"), Some("NIC2")));
    assert_eq!(names.name.as_deref(), Some("eno2"));
    // VMware reports nonsense.
    assert_eq!(of(&format!("{CARD}/net/eth0"), &[(&index, "16777215")]).onboard, None);
    // Firmware's own number beats the table's, zero included.
    let acpi = format!("{CARD}/acpi_index");
    assert_eq!(of(&format!("{CARD}/net/eth0"), &[(&index, "2"), (&acpi, "0")]).onboard.as_deref(), Some("eno0"));
}

#[test]
fn ports_of_one_function() {
    let names = of(&format!("{CARD}/net/eth0"), &[("dev_port", "1")]);
    assert_eq!(names.path.as_deref(), Some("enp3s0f1d1"));
    let names = of(&format!("{CARD}/net/eth0"), &[("dev_port", "1"), ("phys_port_name", "p0")]);
    assert_eq!(names.path.as_deref(), Some("enp3s0f1np0"));
    let names = of(&format!("{CARD}/net/eth0"), &[("type", "32"), ("dev_id", "1")]);
    assert_eq!((names.path.as_deref(), names.mac), (Some("ibp3s0f1d1"), None));
}

#[test]
fn slots() {
    let own = [("/sys/bus/pci/slots/4/address", "0000:03:00")];
    assert_eq!(of(&format!("{CARD}/net/eth0"), &own).slot.as_deref(), Some("ens4f1"));
    // The slot of a bridge counts for a function that is one of several, and not for one alone.
    let bridge = "/sys/devices/pci0000:00/0000:00:1c.0";
    let modalias = format!("{bridge}/modalias");
    let config = format!("{CARD}/config");
    let mut above = vec![
        ("/sys/bus/pci/slots/7/address", "0000:00:1c"),
        (modalias.as_str(), "pci:v00008086d00001C10sv00000000sd00000000bc06sc04i00"),
    ];
    assert_eq!(of(&format!("{CARD}/net/eth0"), &above).slot, None);
    let multi = "0123456789abcd\u{0}";
    above.push((config.as_str(), multi));
    assert_eq!(of(&format!("{CARD}/net/eth0"), &above).slot, None);
    let mut tree = Tree::default();
    let mut header = vec![0u8; 64];
    header[14] = 0x80;
    tree.files.insert(config.clone(), header);
    above.pop();
    assert_eq!(of_tree(&format!("{CARD}/net/eth0"), &above, tree).slot.as_deref(), Some("ens7f1"));
}

#[test]
fn a_virtual_function_is_called_after_the_physical_one() {
    let virtual_function = "/sys/devices/pci0000:00/0000:00:1c.0/0000:03:10.3";
    let mut tree = Tree::default();
    tree.links.insert(format!("{virtual_function}/physfn"), "../0000:03:00.1".into());
    tree.links.insert(format!("{CARD}/virtfn0"), "../0000:03:10.1".into());
    tree.links.insert(format!("{CARD}/virtfn1"), "../0000:03:10.3".into());
    let names = of_tree(&format!("{virtual_function}/net/eth4"), &[], tree);
    assert_eq!(names.path.as_deref(), Some("enp3s0f1v1"));
}

#[test]
fn virtio_usb_and_others() {
    let pci = "/sys/devices/pci0000:00/0000:00:03.0";
    assert_eq!(of(&format!("{pci}/virtio0/net/eth0"), &[]).path.as_deref(), Some("enp0s3"));
    let usb = format!("{pci}/usb1/1-1/1-1.4/1-1.4:2.1/net/eth0");
    assert_eq!(of(&usb, &[]).path.as_deref(), Some("enp0s3u1u4c2i1"));
    assert_eq!(of("/sys/devices/css0/0.0.0001/0.0.0600/virtio1/net/eth0", &[]).path.as_deref(), Some("enc600"));
    assert_eq!(of("/sys/devices/css0/0.0.0001/0.0.0000/net/eth0", &[]).path.as_deref(), Some("enc0"));
    assert_eq!(of("/sys/devices/vio/30000002/net/eth1", &[]).slot.as_deref(), Some("env2"));
    assert_eq!(of("/sys/devices/platform/HISI00C2:01/net/eth0", &[]).path.as_deref(), Some("enahisic2i1"));
    assert_eq!(of("/sys/devices/vif-3/net/eth0", &[]).slot.as_deref(), Some("enX3"));
}

#[test]
fn what_is_too_long_is_no_name() {
    let long = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-10/1-10.4/1-10.4.3/1-10.4.3:1.0/net/eth0";
    let names = of(long, &[]);
    assert_eq!((names.path.as_deref(), names.name), (Some("enp0s20u10u4u3"), Some("enp0s20u10u4u3".into())));
    let longer = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-10/1-10.4.3.2:1.0/net/eth0";
    let names = of(longer, &[]);
    assert_eq!((names.path.as_deref(), names.name), (Some("enp0s20u10u4u3u2"), None));
}

#[test]
fn stacked_and_foreign_interfaces_have_none() {
    assert_eq!(of(&format!("{CARD}/net/eth0"), &[("iflink", "3")]), PredictableNames::default());
    assert_eq!(of(&format!("{CARD}/net/eth0"), &[("type", "772")]), PredictableNames::default());
    let wireless = of(&format!("{CARD}/net/wlan0"), &[("uevent", "DEVTYPE=wlan\nINTERFACE=wlan0")]);
    assert_eq!(wireless.path.as_deref(), Some("wlp3s0f1"));
    assert_eq!(of(&format!("{CARD}/net/eth0"), &[("addr_assign_type", "3")]).mac, None);
}

//! Tests of lshw's format.

use super::lshw;
use crate::model::{Bios, CpuSocket, Dimm, Disk, Inventory, Nic, PciDevice};
use serde_json::Value;

fn machine() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.system.data.product_name = Some("Server".into());
    inventory.system.data.serial_number = Some("S1".into());
    inventory.system.data.bios =
        Some(Bios { version: Some("2.1".into()), date: Some("01/02/2025".into()), ..Bios::default() });
    inventory.cpu.data.packages = vec![CpuSocket { populated: true, cores: Some(8), ..CpuSocket::default() }; 2];
    let dimm = Dimm { populated: true, size: Some(32 << 30), locator: Some("A1".into()), ..Dimm::default() };
    inventory.memory.data.dimms = vec![dimm, Dimm { locator: Some("A2".into()), ..Dimm::default() }];
    let pci = |address: &str, class: &str, parent: Option<&str>| PciDevice {
        address: address.into(),
        class_id: class.into(),
        parent: parent.map(str::to_owned),
        driver: Some("x".into()),
        ..PciDevice::default()
    };
    inventory.pci.data = vec![
        pci("0000:00:01.0", "060400", None),
        pci("0000:01:00.0", "020000", Some("0000:00:01.0")),
        pci("0000:02:00.0", "010601", Some("0000:00:1c.0")),
    ];
    inventory.nics.data = vec![Nic {
        name: "eth0".into(),
        mac: Some("00:25:90:01:02:03".into()),
        pci_address: Some("0000:01:00.0".into()),
        max_speed: Some(10_000_000_000),
        ..Nic::default()
    }];
    let disk = |name: &str, place: Option<&str>| Disk {
        name: name.into(),
        path: format!("/dev/{name}"),
        size: 1 << 40,
        hctl: Some("0:0:1:0".into()),
        pci_address: place.map(str::to_owned),
        ..Disk::default()
    };
    inventory.disks.data = vec![disk("sda", Some("0000:02:00.0")), disk("sdb", None)];
    inventory
}

/// The nodes of a class, with how deep they stand.
fn of(node: &Value, class: &str, depth: usize, found: &mut Vec<(usize, Value)>) {
    if node["class"] == class {
        found.push((depth, node.clone()));
    }
    for child in node["children"].as_array().into_iter().flatten() {
        of(child, class, depth + 1, found);
    }
}

fn nodes(class: &str) -> Vec<(usize, Value)> {
    let mut found = Vec::new();
    of(&lshw(&machine()), class, 0, &mut found);
    found
}

#[test]
fn what_ipa_reads_of_lshw_is_there() {
    let tree = lshw(&machine());
    assert_eq!((&tree["product"], &tree["serial"]), (&Value::from("Server"), &Value::from("S1")));
    let core = &tree["children"][0];
    assert_eq!(core["id"], "core");
    let firmware = &core["children"][0];
    assert_eq!((&firmware["id"], &firmware["date"]), (&Value::from("firmware"), &Value::from("01/02/2025")));
    let memory = &core["children"][1];
    assert_eq!((&memory["id"], memory["children"].as_array().map(Vec::len)), (&Value::from("memory"), Some(2)));
    assert_eq!(memory["children"][0]["units"], "bytes");
    assert!(memory["children"][1].get("size").is_none(), "an empty slot");
    let ids: Vec<Value> = nodes("processor").into_iter().map(|(_, n)| n["id"].clone()).collect();
    assert_eq!(ids, ["cpu:0", "cpu:1"]);
}

#[test]
fn devices_hang_below_their_bridges() {
    let network = nodes("network");
    assert_eq!((network.len(), network[0].0), (1, 3), "the function is the interface");
    assert_eq!(network[0].1["capacity"], 10_000_000_000u64);
    assert_eq!(network[0].1["businfo"], "pci@0000:01:00.0");
    let disks = nodes("disk");
    assert_eq!(
        disks.iter().map(|(depth, d)| (*depth, d["logicalname"].as_str().unwrap_or_default())).collect::<Vec<_>>(),
        [(3, "/dev/sda"), (2, "/dev/sdb")]
    );
    assert_eq!(disks[0].1["businfo"], "scsi@0:0.1.0");
}

/// A device that names itself as its parent, or two each other, must not be walked for ever.
#[test]
fn a_circle_of_bridges_ends() {
    let mut machine = machine();
    let bridge = |address: &str, parent: &str| PciDevice {
        address: address.into(),
        parent: Some(parent.into()),
        class_id: "060400".into(),
        ..PciDevice::default()
    };
    machine.pci.data = vec![bridge("a", "a"), bridge("b", "c"), bridge("c", "b")];
    assert_eq!(lshw(&machine)["id"], "computer");
}

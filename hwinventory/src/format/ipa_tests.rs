//! Tests of the format of ironic-python-agent's inspection.

use super::{IpaOptions, ipa, ipa_inventory};
use crate::model::{
    Address, BmcAddress, BootMode, Cpu, CpuModel, CpuThread, Disk, Inventory, LldpNeighbour, LldpTlv, Media, Nic,
    NumaNode, NvmeNamespace, PciDevice, Transport,
};
use serde_json::{Value, json};

fn disk(name: &str, gib: u64) -> Disk {
    Disk { name: name.into(), path: format!("/dev/{name}"), size: gib << 30, ..Disk::default() }
}

fn machine() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.cpu.data = Cpu {
        architecture: Some("x86_64".into()),
        threads: Some(4),
        sockets: Some(1),
        flags: vec!["fpu".into()],
        models: vec![CpuModel { name: Some("Xeon".into()), max_frequency: Some(3_500_123_400), ..CpuModel::default() }],
        topology: vec![
            CpuThread { cpu: 0, core: Some(0), numa_node: Some(0), ..CpuThread::default() },
            CpuThread { cpu: 2, core: Some(0), numa_node: Some(0), ..CpuThread::default() },
        ],
        ..Cpu::default()
    };
    inventory.numa.data.nodes = vec![NumaNode { node: 0, memory: Some(1 << 30), ..NumaNode::default() }];
    inventory.memory.data.usable = Some(2_054_066_176);
    inventory.memory.data.physical = Some(2 << 30);
    inventory.firmware.data.boot_mode = BootMode::Uefi;
    inventory.firmware.data.bootif = Some("52:54:00:12:34:56".into());
    inventory.nics.data = vec![
        Nic {
            name: "eth0".into(),
            mac: Some("52:54:00:12:34:56".into()),
            carrier: Some(true),
            max_speed: Some(10_000_000_000),
            pci_id: Some("8086:1533".into()),
            pci_address: Some("0000:01:00.0".into()),
            driver: Some("igb".into()),
            numa_node: Some(0),
            addresses: vec![
                Address { address: "fe80::1/64".into(), scope: None },
                Address { address: "192.0.2.7/24".into(), scope: None },
            ],
            lldp: vec![LldpNeighbour {
                tlvs: vec![LldpTlv { kind: 5, value: "746f72".into() }],
                ..LldpNeighbour::default()
            }],
            ..Nic::default()
        },
        Nic { name: "usb0".into(), mac: Some("FA:16:3e:00:00:01".into()), ..Nic::default() },
        Nic { name: "none".into(), ..Nic::default() },
    ];
    inventory.pci.data =
        vec![PciDevice { address: "0000:01:00.0".into(), vendor_id: "8086".into(), ..PciDevice::default() }];
    inventory
}

#[test]
fn the_body_has_what_ironic_requires() {
    let body = ipa(&machine(), &IpaOptions::default());
    let inventory = &body["inventory"];
    assert_eq!(inventory["interfaces"].as_array().map(Vec::len), Some(1), "made-up addresses and none are left out");
    assert_eq!(
        inventory["interfaces"][0],
        json!({
            "name": "eth0", "mac_address": "52:54:00:12:34:56", "ipv4_address": "192.0.2.7", "ipv6_address": "fe80::1",
            "has_carrier": true, "lldp": [[5, "746f72"]], "vendor": "0x8086", "product": "0x1533", "client_id": null,
            "biosdevname": null, "speed_mbps": 10000, "pci_address": "0000:01:00.0", "driver": "igb",
        })
    );
    assert_eq!(inventory["cpu"]["frequency"], "3500.1234");
    assert_eq!(inventory["memory"], json!({"total": 2_054_066_176u64, "physical_mb": 2048}));
    assert_eq!(inventory["boot"]["current_boot_mode"], "uefi");
    assert_eq!(body["boot_interface"], "52:54:00:12:34:56");
    assert_eq!((&inventory["bmc_address"], &body["error"]), (&Value::Null, &Value::Null));
    assert_eq!(body["configuration"]["collectors"], json!(["default"]));
    assert!(body.get("root_disk").is_none() && body.get("logs").is_none());
}

/// Every field that IPA 13 writes is there, and no other: consumers go by `dict[key]`.
#[test]
fn the_keys_are_those_of_ipa() {
    let mut machine = machine();
    machine.disks.data = vec![disk("sda", 8)];
    let body = ipa(&machine, &IpaOptions { logs: Some("H4sI".into()), ..IpaOptions::default() });
    let keys = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let sorted = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        names.sort();
        names
    };
    let same = |value: &Value, names: &[&str]| {
        let mut found = keys(value);
        found.sort();
        assert_eq!(found, sorted(names));
    };
    same(&body, &["inventory", "root_disk", "boot_interface", "configuration", "error", "logs"]);
    same(
        &body["inventory"],
        &["interfaces", "cpu", "disks", "memory", "bmc_address", "bmc_v6address", "system_vendor", "boot", "hostname"],
    );
    same(
        &body["root_disk"],
        &[
            "name",
            "model",
            "size",
            "rotational",
            "wwn",
            "serial",
            "vendor",
            "wwn_with_extension",
            "wwn_vendor_extension",
            "hctl",
            "by_path",
            "logical_sectors",
            "physical_sectors",
            "tran",
        ],
    );
    same(&body["inventory"]["cpu"], &["model_name", "frequency", "count", "architecture", "flags", "socket_count"]);
    same(&body["inventory"]["system_vendor"], &["product_name", "serial_number", "manufacturer", "firmware"]);
}

#[test]
fn the_root_disk_is_the_smallest_of_four_gib() {
    let mut machine = machine();
    machine.disks.data = vec![disk("sdb", 8), disk("sda", 8), disk("sdc", 3), disk("sdd", 0)];
    machine.disks.data.push(Disk { media: Media::Cdrom, ..disk("sr0", 5) });
    machine.disks.data.push(Disk { multipath_member: true, ..disk("sde", 6) });
    let paths = vec![crate::model::DiskPath::default(); 2];
    machine.disks.data.push(Disk { multipath_member: true, paths, ..disk("sdf", 9) });
    let body = ipa(&machine, &IpaOptions::default());
    assert_eq!(body["root_disk"]["name"], "/dev/sda");
    let names: Vec<&str> =
        body["inventory"]["disks"].as_array().into_iter().flatten().filter_map(|d| d["name"].as_str()).collect();
    assert_eq!(names, ["/dev/sdb", "/dev/sda", "/dev/sdc", "/dev/sdf"], "one for all paths");
    let chosen = IpaOptions { root_disk: Some("sdb".into()), ..IpaOptions::default() };
    assert_eq!(ipa(&machine, &chosen)["root_disk"]["name"], "/dev/sdb");
}

#[test]
fn names_of_disks_are_udevs() {
    let mut machine = machine();
    let of =
        |wwn: &str| Disk { wwn: Some(wwn.into()), by_path: Some("pci-0000:00:17.0-ata-1.0".into()), ..disk("sda", 8) };
    let nvme = Disk { nvme: Some(NvmeNamespace::default()), transport: Transport::Nvme, ..of("eui.0025385b01234567") };
    machine.disks.data =
        vec![of("naa.5000c500a1b2c3d4"), of("naa.600508b1001c0123456789abcdef0123"), nvme, of("t10.ATA     QEMU")];
    let body = ipa(&machine, &IpaOptions::default());
    let of = |at: usize, key: &str| body["inventory"]["disks"][at][key].clone();
    assert_eq!(of(0, "wwn"), "0x5000c500a1b2c3d4");
    assert_eq!(of(0, "wwn_vendor_extension"), Value::Null);
    assert_eq!(of(0, "by_path"), "/dev/disk/by-path/pci-0000:00:17.0-ata-1.0");
    assert_eq!(of(1, "wwn_with_extension"), "0x600508b1001c0123456789abcdef0123");
    assert_eq!(of(1, "wwn_vendor_extension"), "0x456789abcdef0123");
    assert_eq!((of(2, "wwn"), of(2, "wwn_with_extension")), (json!("eui.0025385b01234567"), Value::Null));
    assert_eq!((of(2, "tran"), of(3, "wwn")), (json!("nvme"), Value::Null));
}

#[test]
fn a_bmc_without_an_address_is_not_no_bmc() {
    let mut machine = machine();
    machine.bmc.data.device = Some("/dev/ipmi0".into());
    machine.bmc.data.mac = Some("00:25:90:01:02:03".into());
    let inventory = ipa_inventory(&machine, false);
    assert_eq!((&inventory["bmc_address"], &inventory["bmc_v6address"]), (&json!("0.0.0.0"), &json!("::/0")));
    assert!(inventory.get("bmc_mac").is_none(), "an address that nothing answers at");
    let address =
        BmcAddress { address: "2001:db8::7/64".into(), status: Some("active".into()), ..BmcAddress::default() };
    machine.bmc.data.ipv6_addresses = vec![address];
    let inventory = ipa_inventory(&machine, false);
    assert_eq!(
        (&inventory["bmc_v6address"], &inventory["bmc_mac"]),
        (&json!("2001:db8::7"), &json!("00:25:90:01:02:03"))
    );
    assert_eq!(ipa_inventory(&machine, true)["bmc_address"], Value::Null);
}

#[test]
fn infiniband_of_nvidia() {
    let mut machine = machine();
    machine.nics.data = vec![Nic {
        name: "ib0".into(),
        pci_id: Some("15b3:1017".into()),
        mac: Some("a0:00:00:27:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:26:52".into()),
        ..Nic::default()
    }];
    let interface = &ipa_inventory(&machine, false)["interfaces"][0];
    assert_eq!(interface["mac_address"], "7c:fe:90:29:26:52");
    assert_eq!(interface["client_id"], "ff:00:00:00:00:00:02:00:00:02:c9:00:7c:fe:90:03:00:29:26:52");
}

#[test]
fn further_collectors() {
    let collectors = ["default", "pci-devices", "lldp", "numa-topology", "usb-devices", "dmi-decode", "extra-hardware"];
    let options = IpaOptions { collectors: collectors.map(str::to_owned).to_vec(), ..IpaOptions::default() };
    let body = ipa(&machine(), &options);
    assert_eq!(body["pci_devices"][0]["bus"], "0000:01:00.0");
    assert_eq!(body["pci_devices"][0]["numa_node_id"], "-1");
    assert_eq!(body["lldp_raw"]["eth0"], json!([[5, "746f72"]]));
    assert_eq!(
        body["numa_topology"],
        json!({
            "ram": [{"numa_node": 0, "size_kb": 1_048_576}],
            "cpus": [{"cpu": 0, "numa_node": 0, "thread_siblings": [0, 2]}],
            "nics": [{"name": "eth0", "numa_node": 0}],
        })
    );
    assert_eq!(body["dmi"]["memory"]["devices"], json!([]));
    assert!(body.get("data").is_none());
}

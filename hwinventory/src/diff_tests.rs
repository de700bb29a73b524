//! Tests of the comparison of two inventories.

use super::*;
use crate::model::{EndorsementKey, Identity, IdentityKind, LldpNeighbour, Strength, Tpm};

fn disk(identity: &str, by_path: &str, firmware: &str) -> Disk {
    Disk {
        name: "sdx".into(),
        size: 1 << 40,
        by_path: Some(by_path.into()),
        firmware: Some(firmware.into()),
        identity: Identity {
            kind: IdentityKind::Naa,
            value: identity.into(),
            strength: Strength::Strong,
            reason: None,
        },
        ..Disk::default()
    }
}

fn dimm(slot: &str, serial: Option<&str>) -> Dimm {
    Dimm {
        locator: Some(slot.into()),
        populated: serial.is_some(),
        size: serial.map(|_| 1 << 34),
        serial_number: serial.map(str::to_owned),
        ..Dimm::default()
    }
}

fn nic(port: &str) -> Nic {
    let neighbour =
        LldpNeighbour { system_name: Some("tor-1".into()), port_id: port.into(), ..LldpNeighbour::default() };
    Nic { mac: Some("02:00:00:00:00:01".into()), lldp: vec![neighbour], ..Nic::default() }
}

fn codes(expected: &Inventory, actual: &Inventory) -> Vec<(String, String)> {
    diff(expected, actual).into_iter().map(|d| (d.code, d.subject)).collect()
}

#[test]
fn the_same_machine_has_not_drifted() {
    let mut machine = Inventory::default();
    machine.disks.data.push(disk("5000", "ata-1", "1"));
    machine.memory.data.dimms.push(dimm("A1", Some("s1")));
    let mut renamed = machine.clone();
    renamed.disks.data[0].name = "sdq".into();
    assert_eq!(diff(&machine, &renamed), []);
}

#[test]
fn a_missing_dimm_is_named_by_its_slot() {
    let (mut expected, mut actual) = (Inventory::default(), Inventory::default());
    expected.memory.data.dimms = vec![dimm("A1", Some("s1")), dimm("A2", Some("s2")), dimm("B1", None)];
    actual.memory.data.dimms = vec![dimm("A1", Some("s9")), dimm("A2", None), dimm("B1", Some("s3"))];
    assert_eq!(
        codes(&expected, &actual),
        [
            ("memory.dimm.replaced".into(), "A1".into()),
            ("memory.dimm.missing".into(), "A2".to_owned()),
            ("memory.dimm.added".into(), "B1".into()),
        ]
    );
}

#[test]
fn disks_are_replaced_moved_and_reflashed() {
    let (mut expected, mut actual) = (Inventory::default(), Inventory::default());
    expected.disks.data = vec![disk("1", "ata-1", "1"), disk("2", "ata-2", "1"), disk("3", "ata-3", "1")];
    actual.disks.data = vec![disk("1", "ata-1", "2"), disk("9", "ata-2", "1"), disk("4", "ata-4", "1")];
    assert_eq!(
        codes(&expected, &actual),
        [
            ("disk.firmware".to_owned(), "1".to_owned()),
            ("disk.replaced".into(), "ata-2".into()),
            ("disk.missing".into(), "3".into()),
            ("disk.added".into(), "4".into()),
        ]
    );
}

#[test]
fn another_tpm() {
    let with = |hash: &str| {
        let key = EndorsementKey {
            algorithm: "ecc-p256".into(),
            public_sha256: Some(hash.into()),
            ..EndorsementKey::default()
        };
        let mut inventory = Inventory::default();
        inventory.tpm.data = vec![Tpm { endorsement_keys: vec![key], ..Tpm::default() }];
        inventory
    };
    assert_eq!(codes(&with("a"), &with("a")), []);
    assert_eq!(codes(&with("a"), &with("b")), [("tpm.endorsement-key".to_owned(), "ecc-p256".to_owned())]);
    assert_eq!(codes(&with("a"), &Inventory::default()), [], "what was not read is no drift");
}

#[test]
fn another_switch_port() {
    let (mut expected, mut actual) = (Inventory::default(), Inventory::default());
    expected.nics.data.push(nic("Ethernet1"));
    actual.nics.data.push(nic("Ethernet2"));
    let drift = diff(&expected, &actual);
    assert_eq!(drift[0].code, "nic.switch-port");
    assert_eq!(drift[0].actual.as_deref(), Some("tor-1 Ethernet2"));
    assert!(render(&drift, false).contains("tor-1 Ethernet1 -> tor-1 Ethernet2"));
}

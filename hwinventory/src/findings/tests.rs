//! Tests of the findings.

use super::{findings as all_findings, *};
use crate::model::{
    Conflict, CpuSocket, Dimm, Health, HealthState, Identity, IdentityKind, MdMember, MdMembership, Nic, PciDevice,
    PciLink, StorageController,
};
use std::time::Duration;

fn findings(inventory: &Inventory) -> Vec<Finding> {
    all_findings(inventory, Instant::now() + Duration::from_secs(600))
}

/// What there was no time for is not silently left out.
#[test]
fn there_is_a_deadline() {
    let found = all_findings(&Inventory::default(), Instant::now() - Duration::from_secs(1));
    assert_eq!(found.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["inventory.findings-cut"]);
}

fn codes(inventory: &Inventory) -> Vec<(String, String, Severity)> {
    findings(inventory).into_iter().map(|f| (f.code, f.subject, f.severity)).collect()
}

fn expect(inventory: &Inventory, expected: &[(&str, &str, Severity)]) {
    let expected: Vec<_> = expected.iter().map(|(c, s, v)| ((*c).to_owned(), (*s).to_owned(), *v)).collect();
    assert_eq!(codes(inventory), expected);
}

fn function(address: &str, parent: Option<&str>, class: &str, is: (u64, u64), can: (u64, u64)) -> PciDevice {
    PciDevice {
        address: address.into(),
        parent: parent.map(str::to_owned),
        class_id: class.into(),
        link: Some(PciLink {
            speed: Some(is.0 * 100_000_000),
            width: Some(is.1),
            max_speed: Some(can.0 * 100_000_000),
            max_width: Some(can.1),
        }),
        ..PciDevice::default()
    }
}

fn dimm(locator: &str, bank: Option<&str>, populated: bool) -> Dimm {
    Dimm { locator: Some(locator.into()), bank: bank.map(str::to_owned), populated, ..Dimm::default() }
}

fn strong(value: &str) -> Identity {
    Identity { kind: IdentityKind::Naa, value: value.into(), strength: Strength::Strong, reason: None }
}

#[test]
fn nothing_to_find() {
    assert_eq!(findings(&Inventory::default()), []);
}

#[test]
fn a_link_trained_below_what_both_ends_can() {
    let mut inventory = Inventory::default();
    inventory.pci.data = vec![
        function("0000:00:01.0", None, "060400", (80, 4), (160, 16)),
        function("0000:01:00.0", Some("0000:00:01.0"), "020000", (80, 4), (160, 8)),
        function("0000:01:00.1", Some("0000:00:01.0"), "020000", (80, 4), (160, 8)),
    ];
    let address = "0000:01:00.0";
    expect(
        &inventory,
        &[("pci.link-speed", address, Severity::Warning), ("pci.link-width", address, Severity::Warning)],
    );
    let found = findings(&inventory);
    assert_eq!((found[1].expected.as_deref(), found[1].actual.as_deref()), (Some("8"), Some("4")));
}

#[test]
fn a_port_that_offers_more_than_the_card_uses_is_no_anomaly() {
    let mut inventory = Inventory::default();
    inventory.pci.data = vec![
        function("0000:00:01.0", None, "060400", (80, 8), (160, 16)),
        function("0000:01:00.0", Some("0000:00:01.0"), "010802", (80, 8), (80, 8)),
    ];
    expect(&inventory, &[]);
}

#[test]
fn a_card_that_its_slot_holds_back_is_told_apart() {
    let mut inventory = Inventory::default();
    inventory.pci.data = vec![
        function("0000:00:01.0", None, "060400", (80, 4), (80, 4)),
        function("0000:01:00.0", Some("0000:00:01.0"), "020000", (80, 4), (160, 8)),
    ];
    let address = "0000:01:00.0";
    expect(&inventory, &[("pci.slot-speed", address, Severity::Info), ("pci.slot-width", address, Severity::Info)]);
}

#[test]
fn the_uplink_of_a_switch_counts_and_its_other_ports_do_not() {
    let mut inventory = Inventory::default();
    let mut upstream = function("0000:01:00.0", Some("0000:00:01.0"), "060400", (80, 4), (80, 8));
    upstream.port = Some("upstream".into());
    let mut downstream = function("0000:02:00.0", Some("0000:01:00.0"), "060400", (25, 1), (80, 8));
    downstream.port = Some("downstream".into());
    inventory.pci.data = vec![upstream, downstream];
    expect(&inventory, &[("pci.link-width", "0000:01:00.0", Severity::Warning)]);
}

#[test]
fn a_gpu_that_saves_power_is_a_note() {
    let mut inventory = Inventory::default();
    let mut gpu = function("0000:01:00.0", None, "030000", (25, 16), (160, 16));
    gpu.gpu = true;
    inventory.pci.data = vec![gpu];
    expect(&inventory, &[("pci.link-speed", "0000:01:00.0", Severity::Info)]);
    // With a switch of its own it is the switch's link that slows down.
    let mut upstream = function("0000:01:00.0", None, "060400", (25, 16), (160, 16));
    upstream.port = Some("upstream".into());
    let mut gpu = function("0000:03:00.0", Some("0000:01:00.0"), "030000", (160, 16), (160, 16));
    gpu.gpu = true;
    inventory.pci.data = vec![upstream, gpu];
    expect(&inventory, &[("pci.link-speed", "0000:01:00.0", Severity::Info)]);
}

/// A new disk at an old port has the link that it can have.
#[test]
fn a_disk_that_is_faster_than_its_port() {
    let mut inventory = Inventory::default();
    let disk = |port: Option<u64>| Disk {
        size: 1,
        identity: strong("5000c500a1b2c3d4"),
        link_speed: Some(3_000_000_000),
        max_link_speed: Some(6_000_000_000),
        port_link_speed: port,
        ..Disk::default()
    };
    for (port, severity) in
        [(Some(3_000_000_000), None), (Some(6_000_000_000), Some(Severity::Warning)), (None, Some(Severity::Info))]
    {
        inventory.disks.data = vec![disk(port)];
        let expected: Vec<_> = severity.map(|s| ("disk.link-speed", "5000c500a1b2c3d4", s)).into_iter().collect();
        expect(&inventory, &expected);
    }
}

/// Graphics on the processor take their memory from the machine's.
#[test]
fn memory_that_graphics_hold() {
    let mut inventory = Inventory::default();
    let module = Dimm { size: Some(8 << 30), ..dimm("A1", None, true) };
    inventory.memory.data.dimms = vec![module];
    (inventory.memory.data.physical, inventory.memory.data.usable) = (Some(8 << 30), Some(6 << 30));
    expect(&inventory, &[("memory.unusable", "memory", Severity::Warning)]);
    let gpu = PciDevice { address: "0000:04:00.0".into(), vendor_id: "1002".into(), gpu: true, ..PciDevice::default() };
    inventory.pci.data = vec![gpu];
    expect(&inventory, &[]);
    inventory.memory.data.usable = Some(3 << 30);
    expect(&inventory, &[("memory.unusable", "memory", Severity::Warning)]);
}

#[test]
fn a_dimm_slower_than_rated() {
    let mut inventory = Inventory::default();
    let slow =
        Dimm { rated_speed: Some(3_200_000_000), configured_speed: Some(2_933_000_000), ..dimm("A1", None, true) };
    inventory.memory.data.dimms = vec![slow];
    expect(&inventory, &[("memory.dimm-slow", "A1", Severity::Info)]);
    assert_eq!(findings(&inventory)[0].message, "DIMM A1 runs at 2933 of 3200 MT/s");
    // A server full of them has one finding.
    let all = (1..=24).map(|n| Dimm { locator: Some(format!("A{n}")), ..inventory.memory.data.dimms[0].clone() });
    inventory.memory.data.dimms = all.collect();
    expect(&inventory, &[("memory.dimm-slow", "memory", Severity::Info)]);
    let text = "24 DIMMs run at 2933 of 3200 MT/s (A1, A2, A3, A4, A5, A6, A7, A8, ...)";
    assert_eq!(findings(&inventory)[0].message, text);
}

#[test]
fn a_missing_dimm_in_a_populated_bank() {
    let mut inventory = Inventory::default();
    inventory.memory.data.dimms = vec![dimm("D0", Some("BANK 0"), true), dimm("D1", Some("BANK 0"), false)];
    expect(&inventory, &[("memory.dimm-missing", "D1", Severity::Info)]);
}

#[test]
fn a_bank_that_holds_less_than_the_others_lacks_a_dimm() {
    let mut inventory = Inventory::default();
    let bank = |name: char, second: bool| {
        [dimm(&format!("P1-DIMM{name}1"), None, true), dimm(&format!("P1-DIMM{name}2"), None, second)]
    };
    inventory.memory.data.dimms = ['A', 'B', 'C'].into_iter().flat_map(|c| bank(c, c != 'B')).collect();
    expect(&inventory, &[("memory.dimm-missing", "P1-DIMMB2", Severity::Warning)]);
    // One module in each channel is how such machines are sold.
    inventory.memory.data.dimms = ['A', 'B', 'C'].into_iter().flat_map(|c| bank(c, false)).collect();
    expect(&inventory, &[]);
}

#[test]
fn slots_that_are_banks_of_their_own_say_nothing() {
    let mut inventory = Inventory::default();
    inventory.memory.data.dimms =
        vec![dimm("ChannelA-DIMM0", Some("BANK 0"), true), dimm("ChannelB-DIMM0", Some("BANK 2"), true)];
    expect(&inventory, &[]);
}

#[test]
fn memory_errors() {
    let mut inventory = Inventory::default();
    let sick = Dimm { corrected_errors: Some(3), uncorrected_errors: Some(1), ..dimm("A1", None, true) };
    inventory.memory.data.dimms = vec![sick];
    expect(
        &inventory,
        &[
            ("memory.uncorrected-errors", "A1", Severity::Critical),
            ("memory.corrected-errors", "A1", Severity::Warning),
        ],
    );
}

#[test]
fn a_disk_that_predicts_its_failure() {
    let mut inventory = Inventory::default();
    let health = Health {
        state: HealthState::Failing,
        reasons: vec!["the drive predicts its failure".into()],
        ..Health::default()
    };
    let disk = Disk { size: 1, identity: strong("5000c500a1b2c3d4"), health: Some(health), ..Disk::default() };
    inventory.disks.data = vec![disk];
    expect(&inventory, &[("disk.failing", "5000c500a1b2c3d4", Severity::Critical)]);
}

#[test]
fn a_weak_identity() {
    let mut inventory = Inventory::default();
    let identity = Identity { reason: Some("duplicate".into()), ..Identity::default() };
    let disk = Disk { size: 1, by_path: Some("pci-0000:00:1f.2-ata-1.0".into()), identity, ..Disk::default() };
    inventory.disks.data = vec![disk];
    expect(&inventory, &[("disk.weak-identity", "pci-0000:00:1f.2-ata-1.0", Severity::Info)]);
}

#[test]
fn sources_that_disagree_say_which_one_counts_and_why() {
    let mut inventory = Inventory::default();
    let conflict = Conflict {
        field: "serial".into(),
        kept: "ZA1".into(),
        kept_source: "ATA IDENTIFY".into(),
        other: "ZA2".into(),
        other_source: "SCSI page 80h".into(),
        reason: "the drive's own word".into(),
    };
    inventory.disks.data =
        vec![Disk { size: 1, identity: strong("5000"), conflicts: vec![conflict], ..Disk::default() }];
    inventory.memory.data.dimms = vec![dimm("A1", None, true)];
    (inventory.memory.data.physical, inventory.memory.data.usable) = (Some(1 << 30), Some(2 << 30));
    inventory.cpu.data.packages = vec![CpuSocket { populated: true, enabled_cores: Some(8), ..CpuSocket::default() }];
    (inventory.cpu.data.sockets, inventory.cpu.data.cores) = (Some(2), Some(8));
    let nic = Nic {
        mac: Some("02:00:00:00:00:01".into()),
        permanent_mac: Some("00:11:22:33:44:55".into()),
        ..Nic::default()
    };
    inventory.nics.data = vec![nic];
    expect(
        &inventory,
        &[
            ("cpu.sources-disagree", "sockets", Severity::Warning),
            ("disk.sources-disagree", "5000", Severity::Warning),
            ("memory.sources-disagree", "memory", Severity::Warning),
            ("nic.mac-changed", "00:11:22:33:44:55", Severity::Info),
        ],
    );
    let found = findings(&inventory);
    let trusted: Vec<_> = found.iter().map(|f| f.trusted.as_deref().unwrap_or_default()).collect();
    assert_eq!(trusted, ["kernel", "ATA IDENTIFY", "kernel", "permanent address"]);
    assert!(found[1].message.ends_with("the former is kept: the drive's own word"), "{}", found[1].message);
}

#[test]
fn a_processor_that_the_firmware_switched_off() {
    let mut inventory = Inventory::default();
    let socket = |name: &str, status: &str| CpuSocket {
        designation: Some(name.into()),
        populated: true,
        status: Some(status.into()),
        ..CpuSocket::default()
    };
    inventory.cpu.data.packages = vec![socket("CPU1", "Enabled"), socket("CPU2", "Disabled By BIOS")];
    inventory.cpu.data.sockets = Some(1);
    expect(&inventory, &[("cpu.disabled", "CPU2", Severity::Warning)]);
}

#[test]
fn a_degraded_array_and_its_failed_member() {
    let mut inventory = Inventory::default();
    let member =
        |device: &str, role: &str| MdMember { device: device.into(), role: Some(role.into()), ..MdMember::default() };
    let md = MdMembership {
        array: Some("md0".into()),
        uuid: Some("u".into()),
        degraded: Some(1),
        members: vec![member("sda1", "active"), member("sdb1", "faulty")],
        ..MdMembership::default()
    };
    inventory.volumes.data = vec![Disk { name: "md0".into(), md: Some(md), ..Disk::default() }];
    expect(&inventory, &[("raid.degraded", "u", Severity::Critical), ("raid.member-faulty", "u", Severity::Critical)]);
}

#[test]
fn a_controller_that_hides_drives() {
    let mut inventory = Inventory::default();
    inventory.storage_controllers.data = vec![StorageController {
        pci_address: Some("0000:03:00.0".into()),
        hides_drives: true,
        hidden_drive_count: Some(4),
        ..StorageController::default()
    }];
    expect(&inventory, &[("storage.hidden-drives", "0000:03:00.0", Severity::Info)]);
}

#[test]
fn an_lldp_agent_in_the_card() {
    let mut inventory = Inventory::default();
    inventory.nics.data = vec![Nic { mac: Some("02:00:00:00:00:01".into()), lldp_agent: Some(true), ..Nic::default() }];
    expect(&inventory, &[("nic.lldp-agent", "02:00:00:00:00:01", Severity::Info)]);
}

//! Tests of the findings about the platform.

use super::*;
use crate::model::{
    BmcSensor, Disk, Enclosure, EnclosureElement, EnclosureSlot, EsrtEntry, Nic, Nvdimm, PciErrors, Rtc, Sensor,
    SensorChip, Transceiver, UnclaimedDevice,
};

fn codes(inventory: &Inventory) -> Vec<(String, Severity)> {
    let mut found = Vec::new();
    findings(inventory, &mut found);
    found.into_iter().map(|f| (f.code, f.severity)).collect()
}

fn errors(counts: &[(&str, u64)], correctable: u64, non_fatal: u64, fatal: u64) -> Inventory {
    let kinds = counts.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect();
    let errors = PciErrors { correctable, non_fatal, fatal, kinds };
    let mut inventory = Inventory::default();
    inventory.pci.data = vec![PciDevice { errors: Some(errors), ..PciDevice::default() }];
    inventory
}

#[test]
fn pci_errors() {
    assert_eq!(codes(&errors(&[("RxErr", 3)], 3, 0, 0)), []);
    assert_eq!(codes(&errors(&[("UnsupReq", 2)], 0, 2, 0)), [], "the kernel's search");
    let many = [("pci.corrected-errors".to_owned(), Severity::Warning)];
    assert_eq!(codes(&errors(&[("BadTLP", 500)], 500, 0, 0)), many);
    assert_eq!(codes(&errors(&[("Rollover", 2)], 2, 0, 0)), [("pci.link-retrained".to_owned(), Severity::Warning)]);
    assert_eq!(codes(&errors(&[("DLP", 1)], 0, 0, 1)), [("pci.fatal-errors".to_owned(), Severity::Critical)]);
    let mut retrained = errors(&[("RxErr", 1)], 1, 0, 0);
    retrained.pci.data[0].link_retrained = Some(true);
    assert_eq!(codes(&retrained), [("pci.link-retrained".to_owned(), Severity::Info)]);
    retrained.pci.data[0].errors = Some(PciErrors::default());
    assert_eq!(codes(&retrained), [], "firmware trains links at boot, too");
}

/// A machine with everything, all of it well.
fn healthy() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.volumes.data = vec![Disk { path_state: Some("optimal".into()), ..Disk::default() }];
    inventory.enclosures.data = vec![Enclosure {
        slots: vec![EnclosureSlot {
            status: Some("not installed".into()),
            fault: Some(false),
            ..EnclosureSlot::default()
        }],
        elements: vec![EnclosureElement { status: Some("OK".into()), ..EnclosureElement::default() }],
        ..Enclosure::default()
    }];
    let sensor = Sensor {
        kind: SensorKind::Temperature,
        value: Some(60.0),
        critical: Some(100.0),
        alarm: true,
        ..Sensor::default()
    };
    inventory.sensors.data.chips = vec![SensorChip { sensors: vec![sensor], ..SensorChip::default() }];
    inventory.bmc_records.data.sensors =
        vec![BmcSensor { state: Some("ok".into()), states: vec!["presence detected".into()], ..BmcSensor::default() }];
    let module = Transceiver { alarms: vec!["rx power low warning".into()], ..Transceiver::default() };
    inventory.nics.data = vec![Nic { carrier: Some(true), transceiver: Some(module), ..Nic::default() }];
    inventory.clock.data.rtcs = vec![Rtc { seconds: Some(1_790_000_000), offset: Some(-7200), ..Rtc::default() }];
    inventory.memory_devices.data.nvdimms = vec![Nvdimm::default()];
    inventory.firmware.data.resources =
        vec![EsrtEntry { last_attempt: Some("success".into()), ..EsrtEntry::default() }];
    inventory.pci.data = vec![PciDevice { driver: Some("ahci".into()), ..PciDevice::default() }];
    inventory.unclaimed.data =
        vec![UnclaimedDevice { bus: "pci".into(), class_id: Some("030000".into()), ..UnclaimedDevice::default() }];
    inventory
}

#[test]
fn nothing_is_said_of_what_is_well() {
    assert_eq!(codes(&healthy()), []);
    // A copy of a machine that left the drivers out.
    let mut bare = healthy();
    bare.pci.data[0].driver = None;
    bare.unclaimed.data[0].class_id = Some("020000".into());
    assert_eq!(codes(&bare), []);
}

#[test]
fn each_fault_is_told() {
    let one = |change: &dyn Fn(&mut Inventory)| {
        let mut inventory = healthy();
        change(&mut inventory);
        let found = codes(&inventory);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let is = |code: &str, severity: Severity| (code.to_owned(), severity);
    use Severity::{Critical, Warning};
    assert_eq!(one(&|i| i.volumes.data[0].path_state = Some("degraded".into())), is("disk.path-failed", Warning));
    assert_eq!(one(&|i| i.volumes.data[0].path_state = Some("failed".into())), is("disk.path-failed", Critical));
    assert_eq!(one(&|i| i.enclosures.data[0].slots[0].fault = Some(true)), is("enclosure.element", Critical));
    let worn = |i: &mut Inventory| i.enclosures.data[0].elements[0].status = Some("non-critical".into());
    assert_eq!(one(&worn), is("enclosure.element", Warning));
    assert_eq!(one(&|i| i.sensors.data.chips[0].sensors[0].value = Some(101.0)), is("sensor.hot", Critical));
    let lost = |i: &mut Inventory| i.bmc_records.data.sensors[0].states.push("input lost".into());
    assert_eq!(one(&lost), is("bmc.sensor", Warning));
    assert_eq!(one(&|i| i.bmc_records.data.sensors[0].state = Some("critical".into())), is("bmc.sensor", Critical));
    let dark = |i: &mut Inventory| {
        if let Some(module) = &mut i.nics.data[0].transceiver {
            module.alarms = vec!["rx power low alarm".into()];
        }
    };
    assert_eq!(one(&dark), is("nic.transceiver", Warning));
    assert_eq!(one(&|i| i.clock.data.rtcs[0].seconds = Some(1_000_000_000)), is("clock.wrong", Warning));
    assert_eq!(one(&|i| i.clock.data.rtcs[0].offset = Some(-100_000)), is("clock.wrong", Warning));
    assert_eq!(
        one(&|i| i.memory_devices.data.nvdimms[0].flags = vec!["save_fail".into()]),
        is("memory.nvdimm", Warning)
    );
    assert_eq!(one(&|i| i.unclaimed.data[0].class_id = Some("010601".into())), is("device.no-driver", Warning));
    let update = |i: &mut Inventory| {
        i.firmware.data.resources[0].last_attempt = Some("authentication error".into());
        i.firmware.data.resources[0].last_attempt_version = Some(7);
    };
    assert_eq!(one(&update), is("firmware.update-failed", Warning));
}

//! A storage server with everything that controllers ask for, and how much of it a redacted snapshot gives away.

mod server;

use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::source::{Query, Recorder, Recording, redact};
use server::machine;
use std::sync::Arc;

const SECRETS: &[&[u8]] = &[
    b"5000c500a1b2c3d5",
    &[0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd5],
    b"500304800102033f",
    &[0x50, 0x03, 0x04, 0x80, 0x01, 0x02, 0x03, 0x3f],
    b"20000024ff7a1b2c",
    b"21000024ff7a1b2c",
    b"50060e801032a410",
    b"AFD1846N03123",
    b"7cfe:9003:0029:2652",
    b"iqn.1993-08.org.debian:01:ab12cd34ef",
    b"ab12cd34ef",
    b"IL740311AB001234",
    b"FF-OF-MAKER-0012",
    b"8089-a2-1748-00001c7e",
    b"WM214S001234",
    b"A412345X5678",
    b"AVE1234X",
    b"hush-hush-hush",
];

fn inventory() -> Inventory {
    support::collect(Arc::new(machine()))
}

#[test]
fn a_disk_is_in_its_slot() {
    let inventory = inventory();
    let enclosure = &inventory.enclosures.data[0];
    assert_eq!((enclosure.source.as_str(), enclosure.model.as_deref()), ("ses-pages", Some("SC846P")));
    assert_eq!((enclosure.status.as_deref(), enclosure.slots.len()), (Some("ok"), 2));
    assert_eq!((enclosure.slots[0].disk.as_deref(), enclosure.slots[1].disk.as_deref()), (Some("sda"), None));
    assert_eq!(enclosure.slots[1].status.as_deref(), Some("not installed"));
    let bay = inventory.disks.data[0].bay.clone().expect("a bay");
    assert_eq!(
        (bay.enclosure.as_deref(), bay.slot, bay.name.as_deref()),
        (Some("500304800102033f"), Some(1), Some("Slot 01"))
    );
    assert_eq!((bay.locate, bay.fault), (Some(true), Some(false)));
    assert_eq!(inventory.disks.data[0].sas_address.as_deref(), Some("5000c500a1b2c3d5"));
    let codes: Vec<&str> = inventory.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(codes.contains(&"enclosure.element"), "the power supply: {codes:?}");
}

#[test]
fn ways_to_storage() {
    let inventory = inventory();
    let port = &inventory.fibre_channel.data[0];
    assert_eq!(
        (port.port_name.as_deref(), port.pci_address.as_deref()),
        (Some("0x21000024ff7a1b2c"), Some("0000:02:00.0"))
    );
    assert_eq!((port.speed, port.supported_speeds.len(), port.fabric_name.as_deref()), (Some(16_000_000_000), 3, None));
    assert_eq!((port.model.as_deref(), port.serial.as_deref()), (Some("QLE2692"), Some("AFD1846N03123")));
    assert_eq!((port.remote_ports.len(), port.remote_ports[0].roles.as_slice()), (1, &["FCP Target".to_owned()][..]));
    let device = &inventory.rdma.data[0];
    assert_eq!((device.kind.as_deref(), device.firmware.as_deref()), (Some("channel-adapter"), Some("16.35.2000")));
    let port = &device.ports[0];
    assert_eq!(
        (port.state.as_deref(), port.rate, port.width, port.lid),
        (Some("ACTIVE"), Some(100_000_000_000), Some(4), Some(26))
    );
    assert!(device.interfaces.is_empty(), "an adapter without an interface");
    let fabrics = &inventory.fabrics.data;
    let initiator = fabrics.iscsi_initiator.as_ref().expect("a name");
    assert_eq!(initiator.name, "iqn.1993-08.org.debian:01:ab12cd34ef");
    assert_eq!(fabrics.ibft.as_ref().map(|t| t.targets.len()), Some(1));
}

#[test]
fn cards_and_what_is_plugged_into_them() {
    let inventory = inventory();
    let card = inventory.pci.data.iter().find(|d| d.address == "0000:04:00.0").expect("a card");
    let vpd = card.vpd.as_ref().expect("data");
    assert_eq!(
        (vpd.part_number.as_deref(), vpd.serial_number.as_deref()),
        (Some("540-BBUK"), Some("IL740311AB001234"))
    );
    assert_eq!((card.onboard_index, card.onboard_label.as_deref()), (Some(1), Some("NIC1")));
    assert_eq!(card.errors.as_ref().map(|e| (e.correctable, e.kinds.get("Rollover").copied())), Some((5, Some(3))));
    let nic = &inventory.nics.data[0];
    let names = nic.names.as_ref().expect("names");
    assert_eq!((names.name.as_deref(), names.path.as_deref()), (Some("eno1"), Some("enp4s0")));
    let module = nic.transceiver.as_ref().expect("a module");
    assert_eq!((module.vendor.as_deref(), module.serial.as_deref()), (Some("FINISAR CORP."), Some("AVE1234X")));
    let unclaimed = &inventory.unclaimed.data[0];
    assert_eq!(
        (unclaimed.device.as_str(), unclaimed.modules.as_slice()),
        ("0000:05:00.0", &["mpt3sas".to_owned()][..])
    );
    let codes: Vec<&str> = inventory.findings.iter().map(|f| f.code.as_str()).collect();
    assert!(codes.contains(&"device.no-driver") && codes.contains(&"pci.link-retrained"), "{codes:?}");
}

#[test]
fn sensors_memory_clock_and_firmware() {
    let inventory = inventory();
    let chip = &inventory.sensors.data.chips[0];
    assert_eq!((chip.name.as_str(), chip.device.as_deref()), ("coretemp", Some("coretemp.0")));
    let sensor = &chip.sensors[0];
    assert_eq!(
        (sensor.value, sensor.critical, sensor.label.as_deref()),
        (Some(42.5), Some(100.0), Some("Package id 0"))
    );
    let zones = &inventory.sensors.data.power_zones;
    assert_eq!((zones[0].energy, zones[0].limits[0].limit), (Some(12.5), Some(150.0)));
    assert_eq!((zones[1].name.as_str(), zones[1].parent.as_deref()), ("dram", Some("package-0")));
    let memory = &inventory.memory_devices.data;
    assert_eq!(memory.nvdimms[0].flags, ["not_armed"]);
    assert_eq!(
        (memory.nvdimm_regions[0].kind.as_deref(), memory.nvdimm_regions[0].nvdimms.as_slice()),
        (Some("pmem"), &["nmem0".to_owned()][..])
    );
    assert_eq!(
        (memory.cxl_memories[0].volatile_size, memory.cxl_memories[0].serial.as_deref()),
        (Some(256 << 30), None)
    );
    assert_eq!((memory.dax[0].size, memory.dax[0].target_node), (Some(256 << 30), Some(2)));
    assert_eq!(inventory.clock.data.rtcs[0].offset, Some(7));
    let firmware = &inventory.firmware.data;
    assert_eq!((firmware.resources[0].version, firmware.resources[0].kind.as_deref()), (Some(65_586), Some("system")));
    assert_eq!(firmware.console.as_ref().and_then(|c| c.console.as_deref()), Some("ttyS0,115200n8"));
    assert_eq!(inventory.tpm.data[0].event_log, Some(true));
}

#[test]
fn what_the_bmc_keeps() {
    let records = inventory().bmc_records.data;
    assert_eq!(records.event_log.as_ref().map(|l| (l.entries, l.overflow)), Some((2, false)));
    assert_eq!(records.events.len(), 2);
    let last = &records.events[1];
    assert_eq!((last.event.as_deref(), last.sensor_name.as_deref()), (Some("uncorrectable ECC"), Some("CPU1 Temp")));
    assert_eq!((records.sensors[0].name.as_str(), records.sensors[0].value), ("CPU1 Temp", Some(41.0)));
    let board = &records.frus[0];
    assert_eq!(
        (board.board_product.as_deref(), board.board_serial_number.as_deref()),
        (Some("X12DPi-N6"), Some("WM214S001234"))
    );
    assert_eq!(board.product_serial_number.as_deref(), Some("A412345X5678"));
}

/// A log of more than a hundred: ids are guessed, and the whole is read where the guess is wrong.
#[test]
fn only_the_last_hundred_events_are_kept() {
    for gap in [0u16, 1000] {
        let mut machine = Machine::default();
        machine.file("/sys/class/ipmi/ipmi0/dev", "240:0\n");
        let mut ask = |command: u8, data: &[u8], answer: &[u8]| {
            let query = Query::Ipmi { device: "/dev/ipmi0".into(), netfn: 0x0a, command, data: data.to_vec() };
            machine.answer(&query, &[&[0u8][..], answer].concat());
        };
        ask(0x40, &[], &[0x51, 250, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        // With a gap the last record's id is far from the others.
        let id = |n: u16| if n == 250 { n + gap } else { n };
        for n in 1..=250u16 {
            let [low, high] = id(n).to_le_bytes();
            let next = if n == 250 { 0xffff } else { id(n + 1) }.to_le_bytes();
            let record = [low, high, 2, 0, 0x10, 0x54, 0x65, 0x20, 0, 4, 1, 0x30, 1, 0x59, 0, 0];
            let answer = [&next[..], &record].concat();
            ask(0x43, &[0, 0, low, high, 0, 0xff], &answer);
            if n == 1 {
                ask(0x43, &[0, 0, 0, 0, 0, 0xff], &answer);
            }
            if n == 250 {
                ask(0x43, &[0, 0, 0xff, 0xff, 0, 0xff], &answer);
            }
        }
        let events = support::collect(Arc::new(machine)).bmc_records.data.events;
        assert_eq!(
            (events.len(), events.first().map(|e| e.id), events.last().map(|e| e.id)),
            (100, Some(151), Some(u64::from(250 + gap)))
        );
    }
}

#[test]
fn a_redacted_snapshot_keeps_the_machine_and_loses_its_names() {
    let recorder = Arc::new(Recorder::new(Arc::new(machine()), "test"));
    let inventory = support::collect(recorder.clone());
    let mut recording = recorder.recording();
    redact(&mut recording, &inventory, b"a key");
    let mut archive = Vec::new();
    recording.save(&mut archive).expect("memory takes everything");
    let unpacked = zstd::decode_all(archive.as_slice()).expect("it is zstd");
    for secret in SECRETS {
        let found = unpacked.windows(secret.len()).any(|w| w.eq_ignore_ascii_case(secret));
        assert!(!found, "{} is in the archive", String::from_utf8_lossy(secret));
    }
    let replayed = support::collect(Arc::new(Recording::load(archive.as_slice()).expect("it loads")));
    let bay = replayed.disks.data[0].bay.clone().expect("still in its bay");
    assert_eq!((bay.slot, bay.source.as_str()), (Some(1), "ses-pages"));
    assert_eq!(bay.enclosure, replayed.enclosures.data[0].logical_id);
    let (was, is) = (&inventory.bmc_records.data.frus[0], &replayed.bmc_records.data.frus[0]);
    assert_eq!(was.board_product, is.board_product);
    assert_ne!(was.board_serial_number, is.board_serial_number);
    assert_eq!(was.board_serial_number.as_ref().map(String::len), is.board_serial_number.as_ref().map(String::len));
    // Places and zeros are no names: a slot's address, and the serial number of a CXL device that has none.
    assert_eq!(replayed.nics.data[0].names, inventory.nics.data[0].names);
    assert_eq!(replayed.pci.data.iter().map(|d| &d.address).collect::<Vec<_>>(), ["0000:04:00.0", "0000:05:00.0"]);
    assert_eq!(replayed.memory_devices.data.cxl_memories, inventory.memory_devices.data.cxl_memories);
    let initiator = replayed.fabrics.data.iscsi_initiator.expect("a name");
    assert!(initiator.name.starts_with("iqn.1993-08.org.debian:"), "{}", initiator.name);
    assert_eq!(replayed.rdma.data[0].ports, {
        let mut ports = inventory.rdma.data[0].ports.clone();
        ports[0].gid.clone_from(&replayed.rdma.data[0].ports[0].gid);
        ports
    });
}

/// Secrets of a boot from iSCSI are in no recording, not even in one that is not redacted.
#[test]
fn a_recording_holds_no_secrets() {
    let recorder = Arc::new(Recorder::new(Arc::new(machine()), "test"));
    support::collect(recorder.clone());
    let mut archive = Vec::new();
    recorder.recording().save(&mut archive).expect("memory takes everything");
    let unpacked = zstd::decode_all(archive.as_slice()).expect("it is zstd");
    assert!(!unpacked.windows(4).any(|w| w == b"hush"));
}

/// A module with the common management interface behind a driver that has no ioctl for it: half pages by netlink.
#[test]
fn a_module_whose_lanes_are_on_pages_of_their_own() {
    let mut machine = Machine::default();
    let card = "/sys/devices/pci0000:00/0000:00:05.0";
    for (name, text) in [("ifindex", "2"), ("iflink", "2"), ("type", "1"), ("address", "3c:fd:fe:01:02:03")] {
        machine.file(&format!("{card}/net/eth0/{name}"), &format!("{text}\n"));
    }
    machine.link("/sys/class/net/eth0", &format!("{card}/net/eth0"));
    machine.link(&format!("{card}/net/eth0/device"), card);
    let mut half = |upper: bool, page: u8, set: &[(usize, &[u8])]| {
        let mut bytes = vec![0u8; 128];
        set.iter().for_each(|(at, value)| bytes[*at % 128..*at % 128 + value.len()].copy_from_slice(value));
        machine.answer(&Query::ModulePage { interface: "eth0".into(), upper, page, bank: 0 }, &bytes);
    };
    // 400GBASE-DR4: four lanes on the fibre.
    half(false, 0, &[(0, &[0x18]), (14, &[40, 128]), (85, &[2]), (88, &[0x84])]);
    half(true, 0, &[(129, b"Example Optics  "), (166, b"SERIAL0000000017")]);
    half(true, 0x01, &[(138, &26_200u16.to_be_bytes()), (160, &[0x07])]);
    half(true, 0x11, &[(150, &[0b0100]), (154, &[0x27, 0x10]), (170, &[0x27, 0x10]), (186, &[0x1f, 0x40])]);
    let inventory = support::collect(Arc::new(machine));
    let module = inventory.nics.data[0].transceiver.as_ref().expect("a module");
    assert_eq!((module.kind.as_deref(), module.serial.as_deref()), (Some("QSFP-DD"), Some("SERIAL0000000017")));
    assert_eq!((module.wavelength, module.temperature), (Some(1310.0), Some(40.5)));
    let first = &module.lanes[0];
    assert_eq!(
        (module.lanes.len(), first.tx_power, first.bias, first.rx_power),
        (4, Some(1000.0), Some(20.0), Some(800.0))
    );
    assert_eq!(module.alarms, ["rx power low alarm, lane 3"]);
}

//! A storage server with everything that controllers ask for, and how much of it a redacted snapshot gives away.

use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::source::{Query, Recorder, Recording, redact};
use std::sync::Arc;

const HBA: &str = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/host0";
const SERVICES: &str = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/host0/port-0:1/expander-0:0/port-0:0:8/end_device-0:0:8/target0:0:8/0:0:8:0";
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

fn scsi(machine: &mut Machine, page: u8, body: &[u8]) {
    let mut answer = vec![page, 0];
    answer.extend((body.len() as u16).to_be_bytes());
    answer.extend(body);
    let query = Query::Scsi { device: "/dev/sg3".into(), cdb: vec![0x1c, 1, page, 0xff, 0xfc, 0], length: 0xfffc };
    machine.answer(&query, &answer);
}

/// A SAS disk behind an expander, in the first of two slots of an enclosure that the kernel has no driver for.
fn enclosure(machine: &mut Machine) {
    let end = format!("{HBA}/port-0:1/expander-0:0/port-0:0:0/end_device-0:0:0");
    let device = format!("{end}/target0:0:0/0:0:0:0");
    let disk = format!("{device}/block/sda");
    machine.link("/sys/block/sda", &disk.replace("/sys/", "../"));
    machine.link(&format!("{disk}/device"), "../../../0:0:0:0");
    machine.file(&format!("{disk}/size"), "2000409264\n").file(&format!("{disk}/dev"), "8:0\n");
    machine.file(&format!("{end}/sas_device/end_device-0:0:0/sas_address"), "0x5000c500a1b2c3d5\n");
    machine.file(&format!("{end}/sas_device/end_device-0:0:0/bay_identifier"), "0\n");
    machine.link("/sys/bus/scsi/devices/0:0:8:0", &SERVICES.replace("/sys/", "../../../"));
    machine.file("/sys/bus/scsi/devices/0:0:8:0/type", "13\n");
    machine.file("/sys/bus/scsi/devices/0:0:8:0/scsi_generic/sg3/dev", "21:3\n");
    let mut configuration = vec![0, 0, 0, 1, 0x11, 0, 2, 36];
    configuration.extend([0x50, 0x03, 0x04, 0x80, 0x01, 0x02, 0x03, 0x3f]);
    configuration.extend(b"SMC     SC846P          1.0 ");
    configuration.extend([0x17, 2, 0, 0, 0x02, 1, 0, 0]);
    scsi(machine, 1, &configuration);
    scsi(machine, 2, &[0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 2, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
    let mut names = vec![0, 0, 0, 1];
    for name in ["", "Slot 01", "Slot 02", "", "PSU 1"] {
        names.extend([0, 0, 0, name.len() as u8]);
        names.extend(name.bytes());
    }
    scsi(machine, 7, &names);
    let mut phy = [0u8; 28];
    phy[12..20].copy_from_slice(&[0x50, 0x00, 0xc5, 0x00, 0xa1, 0xb2, 0xc3, 0xd5]);
    scsi(machine, 0x0a, &[&[0, 0, 0, 1, 0x16, 34, 1, 1, 1, 0, 0, 1][..], &phy].concat());
}

fn fabrics(machine: &mut Machine) {
    let host = "/sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/host7/fc_host/host7";
    machine.link("/sys/class/fc_host/host7", &host.replace("/sys/", "../../"));
    for (name, text) in [
        ("node_name", "0x20000024ff7a1b2c"),
        ("port_name", "0x21000024ff7a1b2c"),
        ("port_id", "0x010203"),
        ("port_state", "Online"),
        ("port_type", "NPort (fabric via point-to-point)"),
        ("speed", "16 Gbit"),
        ("supported_speeds", "4 Gbit, 8 Gbit, 16 Gbit"),
        ("fabric_name", "0xffffffffffffffff"),
    ] {
        machine.file(&format!("{host}/{name}"), &format!("{text}\n"));
    }
    machine.file("/sys/class/scsi_host/host7/model_name", "QLE2692\n");
    machine.file("/sys/class/scsi_host/host7/serial_num", "AFD1846N03123\n");
    let remote = "/sys/class/fc_remote_ports/rport-7:0-0";
    machine.file(&format!("{remote}/port_name"), "0x50060e801032a410\n");
    machine.file(&format!("{remote}/roles"), "FCP Target\n").file(&format!("{remote}/port_state"), "Online\n");
    let rdma = "/sys/devices/pci0000:00/0000:00:03.0/0000:03:00.0/infiniband/mlx5_0";
    machine.link("/sys/class/infiniband/mlx5_0", &rdma.replace("/sys/", "../../"));
    for (name, text) in [
        ("node_guid", "7cfe:9003:0029:2652"),
        ("node_type", "1: CA"),
        ("fw_ver", "16.35.2000"),
        ("board_id", "MT_0000000080"),
        ("ports/1/state", "4: ACTIVE"),
        ("ports/1/phys_state", "5: LinkUp"),
        ("ports/1/link_layer", "InfiniBand"),
        ("ports/1/rate", "100 Gb/sec (4X EDR)"),
        ("ports/1/lid", "0x1a"),
        ("ports/1/gids/0", "fe80:0000:0000:0000:7cfe:9003:0029:2652"),
    ] {
        machine.file(&format!("{rdma}/{name}"), &format!("{text}\n"));
    }
    machine.file("/etc/iscsi/initiatorname.iscsi", "## comment\nInitiatorName=iqn.1993-08.org.debian:01:ab12cd34ef\n");
    let mut table = vec![0u8; 0x200];
    table[..8].copy_from_slice(b"iBFT\x00\x02\x00\x00");
    (table[48], table[60]) = (1, 0x80);
    table[0x80..0x86].copy_from_slice(&[4, 0, 0, 0, 0, 3]);
    table[0x80 + 42..0x80 + 46].copy_from_slice(&[14, 0, 0, 1]);
    table[0x100..0x10e].copy_from_slice(b"hush-hush-hush");
    machine.files.insert("/sys/firmware/acpi/tables/iBFT".into(), table);
}

fn cards(machine: &mut Machine) {
    machine.file("/sys/bus/pci/slots/4/address", "0000:04:00\n");
    let card = "/sys/devices/pci0000:00/0000:00:04.0/0000:04:00.0";
    machine.link("/sys/bus/pci/devices/0000:04:00.0", &card.replace("/sys/", "../../../"));
    machine.link("/sys/bus/pci/devices/0000:05:00.0", "../../../devices/pci0000:00/0000:05:00.0");
    for (name, text) in [
        ("vendor", "0x8086"),
        ("device", "0x1572"),
        ("class", "0x020000"),
        ("label", "NIC1"),
        ("acpi_index", "1"),
        ("aer_dev_correctable", "RxErr 0\nBadTLP 2\nRollover 3\nTOTAL_ERR_COR 5"),
        ("aer_dev_fatal", "TOTAL_ERR_FATAL 0"),
        ("aer_dev_nonfatal", "TOTAL_ERR_NONFATAL 0"),
    ] {
        machine.file(&format!("{card}/{name}"), &format!("{text}\n"));
    }
    machine.link(&format!("{card}/driver"), "../../../bus/pci/drivers/i40e");
    let mut keywords = Vec::new();
    for (keyword, value) in [("PN", "540-BBUK"), ("SN", "IL740311AB001234"), ("V0", "FF-OF-MAKER-0012")] {
        keywords.extend(keyword.bytes().chain([value.len() as u8]).chain(value.bytes()));
    }
    let vpd = [&[0x90, keywords.len() as u8, 0][..], &keywords, &[0x78]].concat();
    machine.files.insert(format!("{card}/vpd"), vpd);
    let raid = "/sys/devices/pci0000:00/0000:05:00.0";
    for (name, text) in [
        ("vendor", "0x1000"),
        ("device", "0x0097"),
        ("class", "0x010700"),
        ("modalias", "pci:v00001000d00000097sv00001000sd00003090bc01sc07i00"),
    ] {
        machine.file(&format!("{raid}/{name}"), &format!("{text}\n"));
    }
    machine.file("/proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
    machine.file("/lib/modules/6.1.0-18-amd64/modules.alias", "alias pci:v00001000d00000097sv*sd*bc*sc*i* mpt3sas\n");
    let interface = format!("{card}/net/eth0");
    machine.link("/sys/class/net/eth0", &interface.replace("/sys/", "../../"));
    machine.link(&format!("{interface}/device"), "../../../0000:04:00.0");
    for (name, text) in
        [("ifindex", "2"), ("iflink", "2"), ("type", "1"), ("address", "3c:fd:fe:01:02:03"), ("carrier", "1")]
    {
        machine.file(&format!("{interface}/{name}"), &format!("{text}\n"));
    }
    let ethtool = |command: u32, length: u32| Query::Ethtool { interface: "eth0".into(), command, length };
    let mut info = vec![0u8; 44];
    info[4..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 0, 0]);
    machine.answer(&ethtool(0x42, 44), &info);
    let mut eeprom = vec![0u8; 16 + 512];
    (eeprom[16], eeprom[16 + 92]) = (0x03, 0x40);
    eeprom[16 + 20..16 + 36].copy_from_slice(b"FINISAR CORP.   ");
    eeprom[16 + 68..16 + 84].copy_from_slice(b"AVE1234X        ");
    machine.answer(&ethtool(0x43, 16 + 512), &eeprom);
}

fn platform(machine: &mut Machine) {
    let chip = "/sys/devices/platform/coretemp.0/hwmon/hwmon1";
    machine.link("/sys/class/hwmon/hwmon1", &chip.replace("/sys/", "../../"));
    machine.link(&format!("{chip}/device"), "../../../coretemp.0");
    machine.file(&format!("{chip}/device/uevent"), "").file("/sys/devices/platform/coretemp.0/uevent", "");
    for (name, text) in [
        ("name", "coretemp"),
        ("temp1_input", "42500"),
        ("temp1_label", "Package id 0"),
        ("temp1_crit", "100000"),
        ("temp1_max", "85000"),
    ] {
        machine.file(&format!("{chip}/{name}"), &format!("{text}\n"));
    }
    let zone = "/sys/class/powercap/intel-rapl:0";
    for (name, text) in [
        ("name", "package-0"),
        ("energy_uj", "12500000"),
        ("constraint_0_name", "long_term"),
        ("constraint_0_power_limit_uw", "150000000"),
    ] {
        machine.file(&format!("{zone}/{name}"), &format!("{text}\n"));
    }
    machine.file("/sys/class/powercap/intel-rapl:0:0/name", "dram\n");
    machine.link("/sys/bus/nd/devices/nmem0", "../../../devices/LNXSYSTM:00/ndbus0/nmem0");
    let nvdimm = "/sys/devices/LNXSYSTM:00/ndbus0/nmem0";
    machine.file(&format!("{nvdimm}/nfit/id"), "8089-a2-1748-00001c7e\n");
    machine.file(&format!("{nvdimm}/nfit/flags"), "not_armed \n");
    machine.link("/sys/bus/nd/devices/region0", "../../../devices/LNXSYSTM:00/ndbus0/region0");
    let region = "/sys/devices/LNXSYSTM:00/ndbus0/region0";
    machine.file(&format!("{region}/size"), "135291469824\n").file(&format!("{region}/devtype"), "nd_pmem\n");
    machine.file(&format!("{region}/mappings"), "1\n").file(&format!("{region}/mapping0"), "nmem0,0,135291469824,0\n");
    machine.link("/sys/bus/cxl/devices/mem0", "../../../devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem0");
    let memory = "/sys/devices/pci0000:0c/0000:0c:00.0/0000:0d:00.0/mem0";
    machine.file(&format!("{memory}/ram/size"), "0x4000000000\n").file(&format!("{memory}/serial"), "0x0\n");
    machine.link("/sys/bus/dax/devices/dax0.0", "../../../devices/platform/hmem.0/dax0.0");
    machine.file("/sys/devices/platform/hmem.0/dax0.0/size", "274877906944\n");
    machine.file("/sys/devices/platform/hmem.0/dax0.0/target_node", "2\n");
    machine.file("/sys/class/rtc/rtc0/since_epoch", "1700000007\n").file("/sys/class/rtc/rtc0/name", "rtc_cmos\n");
    machine.file("/proc/stat", "cpu 1 2 3\nbtime 1699999900\n").file("/proc/uptime", "100.25 90.0\n");
    let entry = "/sys/firmware/efi/esrt/entries/entry0";
    machine.file(&format!("{entry}/fw_class"), "ddc0ee61-e7f0-4e7d-acc5-c070a398838e\n");
    machine.file(&format!("{entry}/fw_type"), "1\n").file(&format!("{entry}/fw_version"), "65586\n");
    machine.file("/sys/class/tpm/tpm0/tpm_version_major", "2\n");
    machine.file("/sys/kernel/security/tpm0/binary_bios_measurements", "\n");
    let mut spcr = vec![0u8; 80];
    spcr[..4].copy_from_slice(b"SPCR");
    (spcr[4], spcr[40], spcr[44], spcr[45], spcr[58]) = (80, 1, 0xf8, 0x03, 7);
    machine.files.insert("/sys/firmware/acpi/tables/SPCR".into(), spcr);
}

/// Two events, a temperature, and a board whose serial numbers lie across the parts in which they are read.
fn bmc(machine: &mut Machine) {
    machine.file("/sys/class/ipmi/ipmi0/dev", "240:0\n");
    let mut ask = |netfn: u8, command: u8, data: &[u8], answer: &[u8]| {
        let query = Query::Ipmi { device: "/dev/ipmi0".into(), netfn, command, data: data.to_vec() };
        machine.answer(&query, &[&[0u8][..], answer].concat());
    };
    ask(0x0a, 0x40, &[], &[0x51, 2, 0, 0, 16, 0, 0x10, 0x54, 0x65, 0, 0, 0, 0, 2]);
    let event =
        |id: u8, kind: u8, state: u8| [id, 0, 2, 0, 0x10, 0x54, 0x65, 0x20, 0, 4, kind, 0x30, 0x6f, state, 0xff, 0xff];
    ask(0x0a, 0x43, &[0, 0, 0, 0, 0, 0xff], &[&[2, 0][..], &event(1, 0x12, 1)].concat());
    ask(0x0a, 0x43, &[0, 0, 2, 0, 0, 0xff], &[&[0xff, 0xff][..], &event(2, 0x0c, 1)].concat());
    let mut sensor = vec![0u8; 48];
    sensor[..5].copy_from_slice(&[1, 0, 0x51, 1, 52]);
    (sensor[5], sensor[7], sensor[8], sensor[9], sensor[12], sensor[13]) = (0x20, 0x30, 3, 1, 1, 1);
    (sensor[20], sensor[21], sensor[24], sensor[47]) = (0x80, 1, 1, 0xc9);
    sensor.extend(b"CPU1 Temp");
    ask(0x0a, 0x23, &[0, 0, 0, 0, 0, 0xff], &[&[0xff, 0xff][..], &sensor].concat());
    ask(4, 0x2d, &[0x30], &[41, 0xc0, 0xc0, 0]);
    let mut board = vec![1, 0, 25, 0, 0, 0];
    for text in ["Supermicro", "X12DPi-N6", "WM214S001234"] {
        board.push(0xc0 | text.len() as u8);
        board.extend(text.bytes());
    }
    board.push(0xc1);
    board.resize(48, 0);
    board[1] = 6;
    let mut product = vec![1, 5, 25, 0xc0, 0xc0, 0xc0, 0xc0, 0xcc];
    product.extend(b"A412345X5678\xc1");
    product.resize(40, 0);
    let all = [&[1, 0, 0, 1, 7, 0, 0, 0][..], &board, &product].concat();
    ask(0x0a, 0x10, &[0], &[all.len() as u8, 0, 0]);
    for (at, part) in all.chunks(32).enumerate() {
        let (offset, count) = (at as u8 * 32, part.len() as u8);
        ask(0x0a, 0x11, &[0, offset, 0, count], &[&[count][..], part].concat());
    }
}

fn machine() -> Machine {
    let mut machine = Machine::default();
    enclosure(&mut machine);
    fabrics(&mut machine);
    cards(&mut machine);
    platform(&mut machine);
    bmc(&mut machine);
    machine
}

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

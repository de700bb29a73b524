//! A storage server made of files and answers: enclosure, fabrics, cards, platform and BMC.

use crate::support::Machine;
use hwinventory::source::Query;

const HBA: &str = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/host0";
const SERVICES: &str = "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/host0/port-0:1/expander-0:0/port-0:0:8/end_device-0:0:8/target0:0:8/0:0:8:0";

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

pub fn machine() -> Machine {
    let mut machine = Machine::default();
    enclosure(&mut machine);
    fabrics(&mut machine);
    cards(&mut machine);
    platform(&mut machine);
    bmc(&mut machine);
    machine
}

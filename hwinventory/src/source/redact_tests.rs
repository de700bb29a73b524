//! Tests of the redaction.

use super::forms::hexadecimal;
use super::forms::swapped;
use super::*;
use crate::model::{Disk, Nic};

fn recording() -> (Recording, Inventory) {
    let mut recording = Recording::default();
    let mut put = |path: &str, bytes: &[u8]| drop(recording.files.insert(path.to_owned(), Ok(bytes.to_vec())));
    put("/sys/class/net/eth0/address", b"52:54:00:12:34:56\n");
    put(
        "/proc/cmdline",
        b"BOOTIF=01-52-54-00-12-34-56 burin.token=hush root=UUID=00112233-4455-6677-8899-aabbccddeeff",
    );
    put("/raw", &[0, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0]);
    put("/identify", &swapped(b"        S4EVNF0M1234"));
    put("/sys/bus/usb/devices/usb1/serial", b"0000:00:06.0\n");
    put("/short/serial", b"AB12\n");
    put("/short/removable", b"1\n");
    put("/size", b"31234687\n");
    put("/modalias", b"pci:v00008086d00001234");
    put("/device/vpd_pg80", b"\0\x80\0\x08    AB12");
    put("/short-identify", &swapped(b"                AB12"));
    put("/chance", b"xAB12x");
    let mut inventory = Inventory::default();
    inventory.nics.data.push(Nic { mac: Some("52:54:00:12:34:56".into()), ..Nic::default() });
    inventory.disks.data.push(Disk { serial: Some("S4EVNF0M1234".into()), ..Disk::default() });
    inventory.disks.data.push(Disk { serial: Some("AB12".into()), ..Disk::default() });
    for serial in ["1", "123468", "00001234"] {
        inventory.disks.data.push(Disk { serial: Some(serial.into()), ..Disk::default() });
    }
    inventory.disks.data.push(Disk { serial: Some("QM00001".into()), ..Disk::default() });
    inventory.disks.data.push(Disk { serial: Some("0000:00:06.0".into()), ..Disk::default() });
    (recording, inventory)
}

#[test]
fn no_form_of_a_value_survives() {
    let (mut recording, inventory) = recording();
    redact(&mut recording, &inventory, b"key");
    let file = |path: &str| recording.files[path].clone().unwrap_or_default();
    let mac = String::from_utf8_lossy(&file("/sys/class/net/eth0/address")).trim().to_owned();
    assert_eq!(mac, mac.to_lowercase());
    assert!(mac.starts_with("52:") && mac.len() == 17 && mac != "52:54:00:12:34:56", "{mac}");
    let line = String::from_utf8_lossy(&file("/proc/cmdline")).into_owned();
    assert!(line.contains(&format!("BOOTIF=01-{}", mac.replace(':', "-"))), "{line}");
    assert!(!line.contains("hush") && !line.contains("00112233-4455"), "{line}");
    assert_eq!(hexadecimal(&mac).as_deref(), file("/raw").get(1..7), "text and binary agree");
    let serial = String::from_utf8(swapped(&file("/identify"))).unwrap_or_default();
    assert!(serial.starts_with("        ") && !serial.contains("S4EV"), "{serial}");
    assert_ne!(file("/short/serial"), b"AB12\n");
    assert_eq!(file("/short/removable"), b"1\n", "a number is no name, though a slot has it for its asset tag");
    assert_eq!(file("/size"), b"31234687\n");
    assert_eq!(file("/modalias"), b"pci:v00008086d00001234");
    assert!(!file("/device/vpd_pg80").ends_with(b"AB12"));
    assert!(!swapped(&file("/short-identify")).ends_with(b"AB12"));
    assert_eq!(file("/chance"), b"xAB12x");
    assert_eq!(file("/sys/bus/usb/devices/usb1/serial"), b"0000:00:06.0\n", "places stay");
    assert!(recording.manifest.redacted);
}

#[test]
fn keys_and_serial_numbers_of_cards_are_left_out() {
    use crate::parse::tpm;
    use crate::source::Query;
    let (mut recording, inventory) = recording();
    recording.files.insert("/sys/devices/pci0000:00/0000:00:02.0/config".into(), Ok(vec![7; 4096]));
    let commands = [
        (tpm::get_properties(), true),
        (tpm::nv_read_public(0x01c0_0002), true),
        (tpm::nv_read(0x01c0_0002, false, 512, 0), false),
        (tpm::read_public(0x8101_0001), false),
        (tpm::create_primary(&tpm::ek_template(true, &[])), false),
    ];
    let keys = commands.map(|(command, kept)| (Query::Tpm { device: "/dev/tpmrm0".into(), command }.key(), kept));
    for (key, _) in &keys {
        recording.queries.insert(key.clone(), Ok(vec![1]));
    }
    redact(&mut recording, &inventory, b"key");
    assert_eq!(recording.files["/sys/devices/pci0000:00/0000:00:02.0/config"].as_ref().map(Vec::len), Ok(256));
    for (key, kept) in keys {
        assert_eq!(recording.queries.contains_key(&key), kept, "{key}");
    }
}

/// The ways in which a name hides: UEFI's wide strings, IPv6 addresses, neighbours of a SAS address, frames, tables.
#[test]
fn hidden_forms_are_found() {
    let (mut recording, mut inventory) = recording();
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut put = |path: &str, bytes: Vec<u8>| drop(recording.files.insert(path.to_owned(), Ok(bytes)));
    put("/boot", [wide("UEFI Samsung S4EVNF0M1234"), wide("MAC:525400123456")].concat());
    put("/sas", b"0x5000c500a1b2c3d5\n".to_vec());
    put("/page83", vec![0x50, 0, 0xc5, 0, 0xa1, 0xb2, 0xc3, 0xd6]);
    put("/expander", b"0x500056b3a1b2c3ff\n".to_vec());
    let table = [&[22u8, 4, 1, 0][..], b"BATTERY-SERIAL\0\0", &[200, 6, 2, 0, 7, 7], b"SERVICETAG\0\0"].concat();
    put("/sys/firmware/dmi/tables/DMI", table);
    let mut frame = vec![0, 14, 1, 0x80, 0xc2, 0, 0, 0x0e, 0, 0x1c, 0x73, 1, 2, 3, 0x88, 0xcc];
    recording.queries.insert("lldp_eth0".into(), Ok(std::mem::take(&mut frame)));
    // A bridge, which is no NIC of the inventory.
    let mut bridge = vec![44u8, 0, 0, 0, 16];
    bridge.resize(32, 0);
    bridge.extend([10, 0, 1, 0, 0x82, 0x5b, 0x78, 0x68, 0x18, 0x70, 0, 0]);
    recording.queries.insert("links".into(), Ok(bridge));
    let link_local = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0x50, 0x54, 0, 0xff, 0xfe, 0x12, 0x34, 0x56];
    recording.queries.insert("addresses".into(), Ok(link_local.to_vec()));
    inventory.disks.data.push(Disk {
        wwn: Some("naa.5000c500a1b2c3d4".into()),
        by_path: Some("pci-0000:01:00.0-sas-exp0x500056b3a1b2c3ff-phy3-lun-0".into()),
        ..Disk::default()
    });
    redact(&mut recording, &inventory, b"key");
    let file = |path: &str| recording.files[path].clone().unwrap_or_default();
    let has = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    assert!(!has(&file("/boot"), &wide("S4EVNF0M1234")) && !has(&file("/boot"), &wide("525400123456")));
    assert!(has(&file("/boot"), &wide("UEFI Samsung ")));
    assert!(!has(&file("/sas"), b"c500a1b2") && file("/sas").ends_with(b"5\n"), "the last digit stays");
    assert_eq!(file("/page83").last().map(|b| b & 0x0f), Some(6));
    assert!(!has(&file("/page83"), &[0xc5, 0, 0xa1, 0xb2]));
    assert!(!has(&file("/expander"), b"56b3a1b2"));
    let table = file("/sys/firmware/dmi/tables/DMI");
    assert!(!has(&table, b"BATTERY") && !has(&table, b"SERVICETAG"), "{table:?}");
    assert_eq!(smbios::Table::parse(None, &table).structures.len(), 2, "the table is still one");
    let query = |key: &str| recording.queries[key].clone().unwrap_or_default();
    assert!(!has(&query("lldp_eth0"), &[0x1c, 0x73, 1, 2, 3]));
    assert!(!has(&query("links"), &[0x5b, 0x78, 0x68]));
    assert!(!has(&query("addresses"), &[0x54, 0, 0xff, 0xfe]), "{:x?}", query("addresses"));
}

#[test]
fn another_key_gives_other_values() {
    let ((mut a, inventory), (mut b, _)) = (recording(), recording());
    redact(&mut a, &inventory, b"one");
    redact(&mut b, &inventory, b"two");
    assert_ne!(a.files["/identify"], b.files["/identify"]);
}

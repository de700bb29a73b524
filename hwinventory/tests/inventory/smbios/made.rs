//! Tables that are made here: every word of every enumeration, numbers at the ends of their ranges.

use super::compare::compare;
use super::printed::printed;
use super::{collect, dmidecode};
use crate::support;

/// Type, what stands behind the header, and strings.
type Made = (u8, Vec<u8>, &'static [&'static str]);

/// A file of made structures, numbered from 1.
fn dump(version: (u8, u8), structures: &[Made]) -> Vec<u8> {
    let mut table = Vec::new();
    let end: Made = (127, Vec::new(), &[]);
    for ((kind, body, strings), handle) in structures.iter().chain([&end]).zip(1u16..) {
        table.extend([*kind, body.len() as u8 + 4]);
        table.extend(handle.to_le_bytes());
        table.extend(body);
        for text in *strings {
            table.extend(text.as_bytes());
            table.push(0);
        }
        if strings.is_empty() {
            table.push(0);
        }
        table.push(0);
    }
    let mut entry = b"_SM3_\0\x18".to_vec();
    entry.extend([version.0, version.1, 0, 1, 0]);
    entry.extend((table.len() as u32).to_le_bytes());
    entry.extend(32u64.to_le_bytes());
    entry[5] = entry.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b));
    entry.resize(32, 0);
    [entry, table].concat()
}

/// A body of `length` bytes of a structure, with bytes at their offsets in the structure.
fn body(length: usize, values: &[(usize, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; length - 4];
    values.iter().for_each(|(at, value)| bytes[at - 4] = *value);
    bytes
}

/// Type, length of the structure, offset of the field, and what makes dmidecode show the field at all.
type Enumeration = (u8, usize, usize, &'static [(usize, u8)]);

const ENUMERATIONS: &[Enumeration] = &[
    (2, 0x0f, 0x0d, &[]),
    (3, 0x16, 0x05, &[]),
    (4, 0x30, 0x05, &[(0x18, 0x41)]),
    (4, 0x30, 0x06, &[(0x18, 0x41), (0x04, 1), (0x07, 2)]),
    (4, 0x30, 0x11, &[(0x18, 0x41)]),
    (4, 0x30, 0x18, &[]),
    (4, 0x30, 0x19, &[(0x18, 0x41)]),
    (4, 0x30, 0x26, &[(0x18, 0x41)]),
    (9, 0x11, 0x05, &[(0x06, 2)]),
    (9, 0x11, 0x06, &[(0x05, 0xa5)]),
    (9, 0x11, 0x07, &[(0x05, 0xa5), (0x06, 2)]),
    (9, 0x11, 0x08, &[(0x05, 0xa5), (0x06, 2)]),
    (16, 0x17, 0x04, &[]),
    (16, 0x17, 0x05, &[]),
    (16, 0x17, 0x06, &[]),
    (17, 0x5c, 0x0e, &[(0x0d, 4)]),
    (17, 0x5c, 0x12, &[(0x0d, 4)]),
    (17, 0x5c, 0x1b, &[(0x0d, 4)]),
    (17, 0x5c, 0x28, &[(0x0d, 4)]),
    (41, 0x0b, 0x05, &[]),
];

#[test]
fn every_word_is_as_dmidecode_has_it() {
    if !support::has("dmidecode") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    let check = |context: &str, bytes: &[u8]| {
        std::fs::write(&file, bytes).expect("a file");
        compare(context, &dmidecode(&file), &collect(bytes))
    };
    for (kind, length, at, others) in ENUMERATIONS {
        let structure =
            |value: u8| -> Made { (*kind, body(*length, &[others, &[(*at, value)][..]].concat()), &["name", "Intel"]) };
        // 0xfe of a processor's family refers to another field.
        let values = (0..=255).filter(|v| (*kind, *at, *v) != (4, 0x06, 0xfe));
        let structures: Vec<Made> = values.map(structure).collect();
        let compared = check(&format!("offset 0x{at:02x}"), &dump((3, 5), &structures));
        assert!(compared >= structures.len(), "type {kind}");
    }
    // Families of two bytes.
    let wide = |value: u16| -> Made {
        let [low, high] = value.to_le_bytes();
        let values = [(0x18, 0x41), (0x04, 1), (0x06, 0xfe), (0x28, low), (0x29, high)];
        (4, body(0x30, &values), &["name", "Intel"])
    };
    check("wide family", &dump((3, 5), &(0x100..0x280).map(wide).collect::<Vec<_>>()));
    // There is one system.
    for value in 0..12 {
        check("wake-up", &dump((3, 5), &[(1, body(0x1b, &[(0x18, value)]), &[])]));
    }
    for value in 0..8 {
        check("ipmi", &dump((3, 5), &[(38, body(0x12, &[(0x04, value), (0x05, 0x20)]), &[])]));
    }
}

/// Numbers at the ends of their ranges, and those that refer to wider fields.
#[test]
fn numbers_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    let dimm = |values: &[(usize, u8)]| -> Made { (17, body(0x5c, values), &["DIMM_A1", "BANK 0"]) };
    let structures: [Made; 14] = [
        (
            0,
            body(0x1a, &[(0x09, 0xff), (0x18, 0x20), (0x14, 1), (0x15, 9), (0x16, 0xff), (0x17, 0xff)]),
            &[] as &[&str],
        ),
        (1, body(0x1b, &(0..16).map(|i| (0x08 + i, i as u8 * i as u8 + 1)).collect::<Vec<_>>()), &[]),
        (3, body(0x19, &[(0x05, 0x97), (0x11, 2), (0x13, 1), (0x14, 3), (0x18, 1)]), &["SKU7"]),
        // 64 GiB by the extended size, 5600 MT/s by the extended speed.
        dimm(&[(0x0c, 0xff), (0x0d, 0x7f), (0x1d, 0), (0x1e, 1), (0x10, 1), (0x11, 2)]),
        dimm(&[(0x0d, 4), (0x15, 0xff), (0x16, 0xff), (0x54, 0xe0), (0x55, 0x15), (0x20, 0xc0), (0x21, 0x12)]),
        dimm(&[(0x0c, 0x00), (0x0d, 0x82), (0x08, 72), (0x0a, 64), (0x1b, 2), (0x26, 0xb0), (0x27, 4)]),
        dimm(&[(0x0c, 0xff), (0x0d, 0xff)]),
        dimm(&[(0x10, 1)]),
        (16, body(0x17, &[(0x04, 3), (0x05, 3), (0x0a, 0x80), (0x14, 1), (0x0d, 8)]), &[]),
        (
            4,
            body(
                0x30,
                &[
                    (0x18, 0x41),
                    (0x23, 0xff),
                    (0x24, 0xff),
                    (0x25, 0xff),
                    (0x2b, 1),
                    (0x2c, 96),
                    (0x2e, 192),
                    (0x12, 100),
                ],
            ),
            &[],
        ),
        (39, body(0x16, &[(0x05, 1), (0x06, 2), (0x0c, 0x20), (0x0d, 3), (0x0e, 2)]), &["left", "PSU800"]),
        (41, body(0x0b, &[(0x05, 0x85), (0x06, 2), (0x09, 4), (0x0a, 0x09)]), &[]),
        (41, body(0x0b, &[(0x05, 0x05), (0x07, 0xff), (0x08, 0xff), (0x09, 0xff), (0x0a, 0xff)]), &[]),
        (11, body(0x05, &[(0x04, 2)]), &["one", "two"]),
    ];
    let bytes = dump((3, 5), &structures);
    std::fs::write(&file, &bytes).expect("a file");
    let inventory = collect(&bytes);
    compare("numbers", &dmidecode(&file), &inventory);
    let memory = &inventory.memory.data;
    assert_eq!(memory.dimms[0].size, Some(64 << 30));
    assert_eq!(memory.dimms[1].rated_speed, Some(5_600_000_000));
    assert_eq!(inventory.cpu.data.packages[0].cores, Some(256));
    assert_eq!(inventory.system.data.bios.as_ref().and_then(|b| b.rom_size), Some(32 << 20));
    assert_eq!(inventory.system.data.power_supplies[0].max_power, Some(800_000));
}

/// A BMC's network interface for the host, with Redfish behind it (DSP0270).
#[test]
fn host_interfaces_are_as_dmidecode_reads_them() {
    if !support::has("dmidecode") {
        return;
    }
    let address = |bytes: [u8; 4]| {
        let mut wide = bytes.to_vec();
        wide.resize(16, 0);
        wide
    };
    let mut redfish: Vec<u8> = (1..=16).map(|n: u8| n.wrapping_mul(n)).collect();
    redfish.extend([1, 1]);
    redfish.extend(address([169, 254, 0, 2]));
    redfish.extend(address([255, 255, 0, 0]));
    redfish.extend([1, 1]);
    redfish.extend(address([169, 254, 0, 1]));
    redfish.extend(address([255, 255, 0, 0]));
    redfish.extend(443u16.to_le_bytes());
    redfish.extend(0u32.to_le_bytes());
    redfish.extend(b"\x04bmc1");
    let interface = |device: &[u8]| -> Made {
        let mut body = vec![0x40, device.len() as u8];
        body.extend(device);
        body.extend([1, 4, redfish.len() as u8]);
        body.extend(&redfish);
        (42, body, &[])
    };
    let structures: [Made; 4] = [
        interface(&[2, 0x6b, 0x04, 0x01, 0xff, 6, 1, b'A', 0, b'B', 0]),
        interface(&[3, 0x86, 0x80, 0x33, 0x15, 0xd9, 0x15, 0x33, 0x15]),
        interface(&[5, 16, 0x86, 0x80, 0x33, 0x15, 0xd9, 0x15, 0x33, 0x15, 2, 0, 0, 0, 0, 1]),
        (42, vec![2, 0, 1, 2, 0], &[]),
    ];
    let bytes = dump((3, 5), &structures);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("dump");
    std::fs::write(&file, &bytes).expect("a file");
    let inventory = collect(&bytes);
    let text = dmidecode(&file);
    compare("host interfaces", &text, &inventory);
    let found = &inventory.bmc.data.host_interfaces;
    let theirs = printed("", &text, 42);
    assert_eq!((theirs[0].get("idVendor"), theirs[0].get("idProduct")), (Some("0x046b"), Some("0xff01")));
    let ids = |at: usize| (found[at].vendor_id.as_deref(), found[at].product_id.as_deref());
    assert_eq!((found[0].device.as_deref(), ids(0)), (Some("usb"), (Some("046b"), Some("ff01"))));
    assert_eq!((found[1].device.as_deref(), ids(1)), (Some("pci"), (Some("8086"), Some("1533"))));
    // Of the later kinds dmidecode 3.4 knows nothing.
    assert_eq!((found[2].device.as_deref(), ids(2)), (Some("pci"), (Some("8086"), Some("1533"))));
    assert_eq!(found[2].mac.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!((found[3].kind.as_deref(), found[3].protocols.as_slice()), (Some("KCS"), &["IPMI".to_owned()][..]));
    let service = found[0].redfish.as_ref().expect("Redfish");
    assert_eq!((service.address.as_deref(), service.port), (Some("169.254.0.1"), Some(443)));
    assert_eq!((service.host_address_source.as_deref(), service.hostname.as_deref()), (Some("static"), Some("bmc1")));
}

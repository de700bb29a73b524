//! Tests of the SMBIOS decoder.

use super::*;
use proptest::prelude::*;

fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
    let mut bytes = vec![kind, body.len() as u8 + 4, kind, 0];
    bytes.extend(body);
    for s in strings {
        bytes.extend(s.as_bytes());
        bytes.push(0);
    }
    if strings.is_empty() {
        bytes.push(0);
    }
    bytes.push(0);
    bytes
}

const ENTRY: &[u8] = b"_SM3_\x00\x18\x03\x04\x00\x01\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00";

#[test]
fn reads_the_system_and_leaves_placeholders_out() {
    let mut body = vec![1, 2, 0, 3];
    body.extend([0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 8, 9, 10, 11, 12, 13, 14, 15]);
    body.extend([6, 0, 0]);
    let table = structure(1, &body, &["Dell Inc.", "PowerEdge R640", "To Be Filled By O.E.M."]);
    let system = system(&Table::parse(Some(ENTRY), &table));
    assert_eq!(system.manufacturer.as_deref(), Some("Dell Inc."));
    assert_eq!(system.product_name.as_deref(), Some("PowerEdge R640"));
    assert_eq!(system.serial_number, None);
    assert_eq!(system.uuid.as_deref(), Some("00112233-4455-6677-0809-0a0b0c0d0e0f"));
    assert_eq!(system.smbios_version.as_deref(), Some("3.4"));
    assert_eq!(system.wake_up_type.as_deref(), Some("Power Switch"));
}

#[test]
fn dimm_sizes_and_empty_slots() {
    let mut body = vec![0u8; 0x5c - 4];
    let put16 = |body: &mut Vec<u8>, at: usize, v: u16| body[at - 4..at - 2].copy_from_slice(&v.to_le_bytes());
    let put32 = |body: &mut Vec<u8>, at: usize, v: u32| body[at - 4..at].copy_from_slice(&v.to_le_bytes());
    put16(&mut body, 0x08, 72);
    put16(&mut body, 0x0a, 64);
    put16(&mut body, 0x0c, 0x7fff);
    put32(&mut body, 0x1c, 65536);
    put16(&mut body, 0x15, 0xffff);
    put32(&mut body, 0x54, 5600);
    put16(&mut body, 0x20, 4800);
    body[0x10 - 4] = 1;
    let mut table = structure(17, &body, &["DIMM_A1"]);
    put16(&mut body, 0x0c, 0);
    table.extend(structure(17, &body, &["DIMM_A2"]));
    let (_, dimms) = memory(&Table::parse(None, &table));
    assert_eq!(dimms.len(), 2);
    assert_eq!(dimms[0].size, Some(64 << 30));
    assert_eq!(dimms[0].rated_speed, Some(5_600_000_000));
    assert_eq!(dimms[0].configured_speed, Some(4_800_000_000));
    assert_eq!(dimms[0].ecc, Some(true));
    assert!(!dimms[1].populated);
    assert_eq!((dimms[1].locator.as_deref(), dimms[1].size), (Some("DIMM_A2"), None));
}

#[test]
fn a_structure_of_length_zero_ends_the_table() {
    let mut bytes = structure(11, &[1], &["kept"]);
    bytes.extend([17, 0, 0, 0, 0, 0]);
    let table = Table::parse(None, &bytes);
    assert_eq!(table.structures.len(), 1);
    assert_eq!(system(&table).oem_strings, ["kept"]);
}

#[test]
fn a_table_cut_inside_the_strings_keeps_the_structure() {
    let bytes = structure(2, &[1, 2, 0, 0, 0], &["ASUS", "Z9PE"]);
    let table = Table::parse(None, &bytes[..bytes.len() - 3]);
    assert_eq!(table.structures.len(), 1);
    assert_eq!(system(&table).baseboards[0].manufacturer.as_deref(), Some("ASUS"));
}

proptest! {
    #[test]
    fn no_table_panics(entry in proptest::collection::vec(any::<u8>(), 0..40), bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let table = Table::parse(Some(&entry), &bytes);
        system(&table);
        memory(&table);
        bmc_interface(&table);
        Table::parse_dump(&bytes);
    }

    /// Structures with every declared length, so that each field is cut somewhere.
    #[test]
    fn no_short_structure_panics(kind in 0u8..48, body in proptest::collection::vec(any::<u8>(), 0..120)) {
        let bytes = structure(kind, &body, &["a", "b"]);
        let table = Table::parse(Some(ENTRY), &bytes);
        system(&table);
        memory(&table);
        bmc_interface(&table);
    }
}

//! Memory modules of made-up machines: what is main memory, and what is worth a finding.

use crate::builder::{self, Structure, codes, dimm, smbios, system};
use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::model::Severity;
use std::sync::Arc;

const GIB: u64 = 1 << 30;

fn collect(version: (u8, u8), structures: &[Structure], kib: u64) -> Inventory {
    let mut machine = Machine::default();
    smbios(&mut machine, version, structures);
    builder::memory(&mut machine, kib);
    support::collect(Arc::new(machine))
}

/// A module whose size stands in the extended field, in GiB, with what is volatile of it and what is not.
fn persistent(gib: u32, locator: &str, volatile: u64, non_volatile: u64) -> Structure {
    let module = dimm(0x7fff, 0x1f, 9, locator).set(0x1c, &(gib << 10).to_le_bytes()).set(0x28, &[7]);
    module.set(0x34, &non_volatile.to_le_bytes()).set(0x3c, &volatile.to_le_bytes())
}

/// The BIOS's flash chip stands in the table as a memory device: by its kind, or by the use of its array.
#[test]
fn a_flash_chip_is_no_memory() {
    let table = [dimm(8192, 0x18, 9, "DIMM1"), dimm(8192, 0x18, 9, "DIMM2"), dimm(2, 0x09, 5, "SYSTEM ROM")];
    let inventory = collect((3, 1), &table, 16_400_000);
    assert_eq!(inventory.memory.data.physical, Some(16 * GIB));
    assert!(codes(&inventory).is_empty(), "{:?}", inventory.findings);

    let array = |usage: u8| Structure::new(16, 0x17, &[]).set(5, &[usage]);
    let of_array = |n: u16, kind: u8, locator: &str| dimm(8192, kind, 9, locator).set(4, &n.to_le_bytes());
    let table = [array(3), array(5), array(4), of_array(0, 0x1a, "A1"), of_array(1, 2, "SPI"), of_array(2, 2, "VGA")];
    let inventory = collect((3, 1), &table, 8_200_000);
    assert_eq!(inventory.memory.data.physical, Some(8 * GIB));
    let usage: Vec<_> = inventory.memory.data.dimms.iter().map(|d| d.usage.as_deref()).collect();
    assert_eq!(usage, [Some("System Memory"), Some("Flash Memory"), Some("Video Memory")]);
    assert!(codes(&inventory).is_empty(), "{:?}", inventory.findings);
}

/// App Direct: nothing of it is RAM that the kernel fails to use. Memory mode: it is the RAM, and the DRAM its cache.
#[test]
fn persistent_memory() {
    let dram = || [dimm(16384, 0x1a, 9, "A1"), dimm(16384, 0x1a, 9, "A2")];
    let table: Vec<_> =
        dram().into_iter().chain(["A3", "A4"].map(|slot| persistent(128, slot, 0, 128 * GIB))).collect();
    let inventory = collect((3, 2), &table, 32_700_000);
    let memory = &inventory.memory.data;
    assert_eq!((memory.physical, memory.persistent), (Some(32 * GIB), Some(256 * GIB)));
    assert_eq!(memory.dimms[2].size, Some(128 * GIB));
    assert!(codes(&inventory).is_empty(), "{:?}", inventory.findings);

    // The same in a table that leaves the portions at zero.
    let table: Vec<_> = dram().into_iter().chain([persistent(126, "A3", 0, 0)]).collect();
    let memory = collect((3, 3), &table, 32_700_000).memory.data;
    assert_eq!((memory.physical, memory.persistent), (Some(32 * GIB), Some(126 * GIB)));

    let table: Vec<_> = dram().into_iter().chain([persistent(128, "A3", 128 * GIB, 0)]).collect();
    let inventory = collect((3, 2), &table, 130_000_000);
    assert!(!codes(&inventory).contains(&"memory.unusable"), "{:?}", inventory.findings);
    assert_eq!(inventory.memory.data.persistent, None);

    // Half and half, as such modules can be set up.
    let table = [persistent(128, "A3", 64 * GIB, 64 * GIB)];
    let memory = collect((3, 2), &table, 65_000_000).memory.data;
    assert_eq!((memory.physical, memory.persistent), (Some(64 * GIB), Some(64 * GIB)));
}

/// Before version 2.7 there is no extended size, and 0x7fff is a number like others.
#[test]
fn sizes_of_old_tables() {
    let old = Structure::new(17, 0x1b, &["A1"]).set(0x0c, &[0xff, 0x7f]).set(0x10, &[1]);
    let memory = collect((2, 6), &[old], 33_000_000).memory.data;
    assert_eq!(memory.physical, Some(0x7fff << 20));
    let small = Structure::new(17, 0x15, &["A1"]).set(0x0c, &[0x00, 0x82]).set(0x10, &[1]);
    assert_eq!(collect((2, 1), &[small], 500).memory.data.physical, Some(512 << 10), "KiB");
}

fn missing(inventory: &Inventory) -> Vec<(Severity, &str)> {
    let found = inventory.findings.iter().filter(|f| f.code == "memory.dimm-missing");
    found.map(|f| (f.severity, f.subject.as_str())).collect()
}

/// VMware has 64 slots for memory, and 64 for persistent memory; a guest with one module lacks none.
#[test]
fn slots_of_a_guest() {
    let mut table = vec![system(&["VMware, Inc.", "VMware20,1"], [9; 16]), dimm(8192, 3, 9, "RAM slot #0")];
    table.extend((1..64).map(|n| dimm(0, 2, 2, &format!("RAM slot #{n}"))));
    table.extend((0..64).map(|n| dimm(0, 2, 2, &format!("NVD #{n}"))));
    let inventory = collect((2, 7), &table, 8_100_000);
    assert_eq!(missing(&inventory), [(Severity::Info, "memory")]);
    assert!(inventory.findings.iter().all(|f| f.severity == Severity::Info), "{:?}", inventory.findings);
}

/// Dell's slots A1 to A12 and B1 to B12, with one processor: nothing is wrong with the slots of the other.
#[test]
fn slots_of_an_empty_socket() {
    let slots = |bank: char, filled: bool| {
        (1..=12).map(move |n| dimm(if filled { 16384 } else { 0 }, 0x1a, 9, &format!("{bank}{n}")))
    };
    let table = |second: u8| -> Vec<Structure> {
        let sockets = [builder::socket(0x41, 8, "CPU1"), builder::socket(second, 8, "CPU2")];
        sockets.into_iter().chain(slots('A', true)).chain(slots('B', false)).collect()
    };
    let kib = (12 * 16) << 20;
    assert_eq!(missing(&collect((3, 1), &table(0), kib)), [(Severity::Info, "memory")]);
    // With a processor in it they are missing: one finding, not twelve.
    let inventory = collect((3, 1), &table(0x41), kib);
    assert_eq!(missing(&inventory), [(Severity::Warning, "memory")]);
    let text = &inventory.findings.iter().find(|f| f.code == "memory.dimm-missing").expect("there").message;
    assert!(text.contains("12 slots are empty (B1, B2,") && text.contains("B (0)"), "{text}");
}

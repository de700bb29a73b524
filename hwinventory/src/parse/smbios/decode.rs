//! Decodes the structures about the machine as a whole: firmware, system, boards, chassis, slots, power supplies.

use super::table::{Structure, Table};
use super::words;
use crate::model::{Baseboard, Bios, Chassis, PowerSupply, System, SystemSlot};
use crate::parse::names::{real, real_uuid};

/// Types 0, 1, 2, 3, 9, 11, 39 and 41.
pub fn system(table: &Table<'_>) -> System {
    let mut system = System {
        smbios_version: Some(format!("{}.{}", table.version.0, table.version.1)),
        bios: table.of(0).next().map(bios),
        baseboards: table.of(2).map(baseboard).collect(),
        chassis: table.of(3).map(chassis).collect(),
        slots: table.of(9).map(slot).collect(),
        oem_strings: table.of(11).flat_map(|s| s.strings().collect::<Vec<_>>()).collect(),
        onboard_devices: super::devices::onboard(table),
        power_supplies: table.of(39).map(power_supply).collect(),
        ..System::default()
    };
    if let Some(one) = table.of(1).next() {
        system.manufacturer = one.string(0x04);
        system.product_name = one.string(0x05);
        system.version = one.string(0x06);
        system.serial_number = one.string(0x07);
        system.uuid = one.bytes(0x08, 16).and_then(|bytes| uuid(bytes, table.at_least(2, 6)));
        system.wake_up_type = one.byte(0x18).and_then(words::wake_up);
        system.sku_number = one.string(0x19);
        system.family = one.string(0x1a);
    }
    system
}

/// 7.2.1: from version 2.6 on, the first three fields are little-endian. All zeros: not set; all ones: not present.
fn uuid(bytes: &[u8], little_endian: bool) -> Option<String> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    if bytes.iter().all(|&b| b == 0) || bytes.iter().all(|&b| b == 0xff) {
        return None;
    }
    let uuid = if little_endian { uuid::Uuid::from_bytes_le(bytes) } else { uuid::Uuid::from_bytes(bytes) };
    real_uuid(Some(uuid.to_string()))
}

fn bios(s: &Structure<'_>) -> Bios {
    let characteristics = s.qword(0x0a);
    // 7.1.1: bit 3 says that the characteristics are not supported.
    let known = characteristics.is_some_and(|c| c & 0x08 == 0);
    Bios {
        vendor: s.string(0x04),
        version: s.string(0x05),
        date: s.string(0x08),
        release: release(s.byte(0x14), s.byte(0x15)),
        embedded_controller_release: release(s.byte(0x16), s.byte(0x17)),
        rom_size: rom_size(s),
        uefi: s.byte(0x13).filter(|_| known).map(|b| b & 0x08 != 0),
        virtual_machine: s.byte(0x13).filter(|_| known).map(|b| b & 0x10 != 0),
    }
}

fn release(major: Option<u8>, minor: Option<u8>) -> Option<String> {
    let (major, minor) = (major?, minor?);
    (major != 0xff || minor != 0xff).then(|| format!("{major}.{minor}"))
}

fn rom_size(s: &Structure<'_>) -> Option<u64> {
    match (s.byte(0x09)?, s.word(0x18)) {
        (0xff, Some(extended)) => {
            let unit = match extended >> 14 {
                0 => 1 << 20,
                1 => 1 << 30,
                _ => return None,
            };
            Some(u64::from(extended & 0x3fff) * unit)
        }
        (0xff, None) => Some(16 << 20),
        (n, _) => Some((u64::from(n) + 1) << 16),
    }
}

fn baseboard(s: &Structure<'_>) -> Baseboard {
    Baseboard {
        manufacturer: s.string(0x04),
        product_name: s.string(0x05),
        version: s.string(0x06),
        serial_number: s.string(0x07),
        asset_tag: s.string(0x08),
        location: s.string(0x0a),
        kind: s.byte(0x0d).and_then(words::board),
    }
}

fn chassis(s: &Structure<'_>) -> Chassis {
    // 7.4: the SKU number stands behind the contained elements, count at 0x13 and record length at 0x14.
    let sku_number = match (s.byte(0x13), s.byte(0x14)) {
        (Some(count), Some(length)) => s.string(0x15 + usize::from(count) * usize::from(length)),
        _ => None,
    };
    Chassis {
        manufacturer: s.string(0x04),
        kind: s.byte(0x05).and_then(words::chassis),
        version: s.string(0x06),
        serial_number: s.string(0x07),
        asset_tag: s.string(0x08),
        sku_number,
        height: s.byte(0x11).filter(|&h| h != 0).map(u64::from),
    }
}

/// Segment, bus, device and function; all ones where the firmware knows no address.
pub fn pci_address(segment: Option<u16>, bus: Option<u8>, function: Option<u8>) -> Option<String> {
    match (segment?, bus?, function?) {
        (0xffff, 0xff, 0xff) => None,
        (segment, bus, function) => Some(format!("{segment:04x}:{bus:02x}:{:02x}.{}", function >> 3, function & 7)),
    }
}

fn slot(s: &Structure<'_>) -> SystemSlot {
    SystemSlot {
        designation: s.string(0x04),
        kind: s.byte(0x05).and_then(words::slot_kind),
        width: s.byte(0x06).and_then(words::slot_width),
        usage: s.byte(0x07).and_then(words::slot_use),
        length: s.byte(0x08).and_then(words::slot_length),
        id: s.word(0x09).map(u64::from),
        pci_address: pci_address(s.word(0x0d), s.byte(0x0f), s.byte(0x10)),
    }
}

fn power_supply(s: &Structure<'_>) -> PowerSupply {
    PowerSupply {
        location: s.string(0x05),
        name: s.string(0x06),
        manufacturer: s.string(0x07),
        serial_number: s.string(0x08),
        asset_tag: s.string(0x09),
        part_number: s.string(0x0a),
        // In watts.
        max_power: s.word(0x0c).filter(|&w| w != 0x8000 && w != 0).map(|w| u64::from(w) * 1000),
        present: s.word(0x0e).map(|c| c & 0x02 != 0),
    }
}

/// Type 38: how the BMC is reached.
pub fn bmc_interface(table: &Table<'_>) -> Option<(Option<String>, Option<String>)> {
    let s = table.of(38).next()?;
    let version = s.byte(0x05).map(|v| format!("{}.{}", v >> 4, v & 0x0f));
    Some((s.byte(0x04).and_then(words::bmc_interface), real(version)))
}

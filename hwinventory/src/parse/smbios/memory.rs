use super::table::{Structure, Table};
use super::words;
use crate::model::{Dimm, MemoryArray};

/// Types 16 and 17, in the order of the table.
pub fn memory(table: &Table<'_>) -> (Vec<MemoryArray>, Vec<Dimm>) {
    (table.of(16).map(array).collect(), table.of(17).map(dimm).collect())
}

fn array(s: &Structure<'_>) -> MemoryArray {
    // 7.17: 0x8000_0000 KiB means that the extended field, in bytes, holds it.
    let max_capacity = match s.dword(0x07) {
        Some(0x8000_0000) => s.qword(0x0f),
        Some(kib) => Some(u64::from(kib) << 10),
        None => None,
    };
    MemoryArray {
        location: s.byte(0x04).and_then(words::array_location),
        usage: s.byte(0x05).and_then(words::array_use),
        error_correction: s.byte(0x06).and_then(words::error_correction),
        max_capacity: max_capacity.filter(|&c| c != 0),
        slots: s.word(0x0d).map(u64::from),
    }
}

fn dimm(s: &Structure<'_>) -> Dimm {
    let size = size(s);
    // A slot whose size is unknown (0xffff) is populated; only zero means that nothing is in it.
    let populated = s.word(0x0c).is_some_and(|raw| raw != 0);
    let data_width = s.word(0x0a).filter(|&w| w != 0 && w != 0xffff).map(u64::from);
    let total_width = s.word(0x08).filter(|&w| w != 0 && w != 0xffff).map(u64::from);
    let mut dimm = Dimm { locator: s.raw_string(0x10), bank: s.raw_string(0x11), populated, ..Dimm::default() };
    if !populated {
        return dimm;
    }
    dimm.size = size;
    dimm.kind = s.byte(0x12).and_then(words::memory_kind);
    dimm.form_factor = s.byte(0x0e).and_then(words::form_factor);
    dimm.detail = s.word(0x13).map(words::memory_detail).unwrap_or_default();
    dimm.rated_speed = speed(s, 0x15, 0x54);
    dimm.configured_speed = speed(s, 0x20, 0x58);
    dimm.ranks = s.byte(0x1b).map(|b| u64::from(b & 0x0f)).filter(|&r| r != 0);
    dimm.manufacturer = s.string(0x17);
    dimm.serial_number = s.string(0x18);
    dimm.asset_tag = s.string(0x19);
    dimm.part_number = s.string(0x1a);
    dimm.data_width = data_width;
    dimm.total_width = total_width;
    dimm.ecc = data_width.zip(total_width).map(|(data, total)| total > data);
    dimm.configured_voltage = s.word(0x26).filter(|&v| v != 0).map(u64::from);
    dimm.technology = s.byte(0x28).and_then(words::memory_technology);
    dimm
}

/// 7.18.4: MiB, or KiB with bit 15; 0x7fff refers to the extended size, in MiB.
fn size(s: &Structure<'_>) -> Option<u64> {
    match s.word(0x0c)? {
        0 | 0xffff => None,
        0x7fff => s.dword(0x1c).map(|mib| u64::from(mib & 0x7fff_ffff) << 20),
        kib if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) << 10),
        mib => Some(u64::from(mib) << 20),
    }
}

/// MT/s; 0xffff refers to the extended field.
fn speed(s: &Structure<'_>, at: usize, extended: usize) -> Option<u64> {
    let megatransfers = match s.word(at)? {
        0 => return None,
        0xffff => u64::from(s.dword(extended)? & 0x7fff_ffff),
        n => u64::from(n),
    };
    (megatransfers != 0).then_some(megatransfers * 1_000_000)
}

//! Decodes memory arrays and memory modules.

use super::table::{Structure, Table};
use super::words;
use crate::model::{Dimm, MemoryArray};

/// Types 16 and 17, in the order of the table.
pub fn memory(table: &Table<'_>) -> (Vec<MemoryArray>, Vec<Dimm>) {
    let dimms = table.of(17).map(|s| {
        let array = s.word(0x04).and_then(|handle| table.of(16).find(|array| array.word(0x02) == Some(handle)));
        dimm(s, array.and_then(|array| array.byte(0x05)))
    });
    (table.of(16).map(array).collect(), dimms.collect())
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

fn dimm(s: &Structure<'_>, array_use: Option<u8>) -> Dimm {
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
    (dimm.volatile_size, dimm.non_volatile_size) = portions(s, size, array_use);
    dimm.usage = array_use.and_then(words::array_use);
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

/// What of a module is main memory, and what keeps its content. Tables from 3.2 on may say so (7.18.11, 7.18.12); before,
/// and where both are left at zero, kind and technology and the use of the array decide.
fn portions(s: &Structure<'_>, size: Option<u64>, array_use: Option<u8>) -> (Option<u64>, Option<u64>) {
    let Some(size) = size else { return (None, None) };
    let told = |at: usize| s.qword(at).filter(|&n| n != u64::MAX && n <= size);
    let (non_volatile, volatile) = (told(0x34), told(0x3c));
    // Video, flash, non-volatile RAM and cache: all but system memory and what is not known.
    let other_use = array_use.is_some_and(|array_use| matches!(array_use, 4..=7));
    // VRAM, SRAM, ROM, flash and the like.
    let other_kind = s.byte(0x12).is_some_and(|kind| matches!(kind, 0x05 | 0x06 | 0x08..=0x0c));
    // "Logical non-volatile device", or a technology of NVDIMM-N, -F, -P and Optane.
    let persistent = s.byte(0x12) == Some(0x1f) || s.byte(0x28).is_some_and(|technology| matches!(technology, 4..=7));
    if other_use || other_kind {
        (Some(0), non_volatile.filter(|&n| n > 0))
    } else if volatile.is_some_and(|n| n > 0) {
        (volatile, non_volatile.filter(|&n| n > 0))
    } else if persistent || non_volatile.is_some_and(|n| n > 0) {
        (Some(0), non_volatile.filter(|&n| n > 0).or(Some(size)))
    } else {
        (Some(size), None)
    }
}

/// 7.18.4: MiB, or KiB with bit 15; 0x7fff refers to the extended size, in MiB, where the table is of 2.7 or later.
fn size(s: &Structure<'_>) -> Option<u64> {
    match s.word(0x0c)? {
        0 | 0xffff => None,
        0x7fff => {
            let extended = s.dword(0x1c).map(|mib| u64::from(mib & 0x7fff_ffff)).filter(|&mib| mib != 0);
            Some(extended.unwrap_or(0x7fff) << 20)
        }
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

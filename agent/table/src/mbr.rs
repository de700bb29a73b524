//! Master boot record: the protective one of a GPT, and plain ones with primary partitions. Bytes only, no I/O.

/// Offset of the four 16-byte entries.
const ENTRIES: usize = 446;
const ENTRY_LEN: usize = 16;
const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// "Beyond what cylinders can say" (UEFI 2.10 table 5.4 has all ones for the protective entry).
const CHS_END: [u8; 3] = [0xff, 0xff, 0xff];

/// One used entry of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Primary {
    /// From 1.
    pub number: u32,
    pub kind: u8,
    pub first_lba: u32,
    pub sectors: u32,
}

/// What sector 0 holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mbr {
    /// No 0x55AA, or no entries.
    Empty,
    /// One 0xEE entry and nothing else.
    Protective,
    /// An 0xEE entry beside others: what a boot loader or hypervisor wanted; not ours to tidy.
    Hybrid,
    Plain(Vec<Primary>),
}

pub fn parse(sector: &[u8]) -> Mbr {
    if sector.get(510..512) != Some(&[0x55, 0xaa]) {
        return Mbr::Empty;
    }
    let entries: Vec<Primary> = (1..=4).filter_map(|number| entry(sector, number)).collect();
    match (entries.len(), entries.iter().any(|entry| entry.kind == PROTECTIVE)) {
        (0, _) => Mbr::Empty,
        (1, true) => Mbr::Protective,
        (_, true) => Mbr::Hybrid,
        (_, false) => Mbr::Plain(entries),
    }
}

/// Whether logical partitions hide behind an entry.
pub fn is_extended(entry: &Primary) -> bool {
    EXTENDED.contains(&entry.kind)
}

/// Sets the protective entry of `sector` to the disk's length, or makes one; boot code and boot flag stay.
pub fn protect(sector: &mut [u8], disk_sectors: u64) {
    let existing = (1..=4).find(|&number| entry(sector, number).is_some_and(|entry| entry.kind == PROTECTIVE));
    let number = existing.unwrap_or(1);
    let length = u32::try_from(disk_sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    let Some(slot) = slot(number).and_then(|range| sector.get_mut(range)) else { return };
    if existing.is_none() {
        slot.copy_from_slice(&[0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0]);
    }
    if let Some(field) = slot.get_mut(12..16) {
        field.copy_from_slice(&length.to_le_bytes());
    }
    if let Some(signature) = sector.get_mut(510..512) {
        signature.copy_from_slice(&[0x55, 0xaa]);
    }
}

/// Sets the length of a primary partition.
pub fn resize(sector: &mut [u8], number: u32, sectors: u32) {
    let Some(slot) = slot(number).and_then(|range| sector.get_mut(range)) else { return };
    for (offset, value) in [(5, CHS_END.as_slice()), (12, sectors.to_le_bytes().as_slice())] {
        if let Some(field) = slot.get_mut(offset..offset + value.len()) {
            field.copy_from_slice(value);
        }
    }
}

/// Makes a primary partition in a slot that is free.
pub fn put(sector: &mut [u8], entry: &Primary) {
    let Some(slot) = slot(entry.number).and_then(|range| sector.get_mut(range)) else { return };
    let [a, b, c, d] = entry.first_lba.to_le_bytes();
    let [e, f, g, h] = entry.sectors.to_le_bytes();
    // As those that reach beyond what cylinders can say.
    let [x, y, z] = CHS_END;
    slot.copy_from_slice(&[0, x, y, z, entry.kind, x, y, z, a, b, c, d, e, f, g, h]);
}

fn slot(number: u32) -> Option<std::ops::Range<usize>> {
    let index = number.checked_sub(1).filter(|&index| index < 4)? as usize;
    let start = ENTRIES + index * ENTRY_LEN;
    Some(start..start + ENTRY_LEN)
}

fn entry(sector: &[u8], number: u32) -> Option<Primary> {
    let bytes: &[u8; ENTRY_LEN] = sector.get(slot(number)?)?.try_into().ok()?;
    let [_, _, _, _, kind, _, _, _, a, b, c, d, e, f, g, h] = *bytes;
    let (first_lba, sectors) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    (kind != 0 && sectors != 0).then_some(Primary { number, kind, first_lba, sectors })
}

//! Master boot record: the protective one of a GPT, and plain ones with primary and logical partitions. Bytes only, no I/O.

/// Offset of the four 16-byte entries.
const ENTRIES: usize = 446;
const ENTRY_LEN: usize = 16;
const PROTECTIVE: u8 = 0xee;
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// "Beyond what cylinders can say" (UEFI 2.10 table 5.4 has all ones for the protective entry).
const CHS_END: [u8; 3] = [0xff, 0xff, 0xff];

/// One used entry of the four, or a logical partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Primary {
    /// From 1; logical partitions from 5.
    pub number: u32,
    pub kind: u8,
    pub first_lba: u32,
    pub sectors: u32,
    /// The sector whose table has it: 0, or that of an extended boot record.
    pub table_lba: u32,
    /// Which of the four entries there.
    pub slot: u32,
}

impl Primary {
    /// One past its last sector.
    pub fn end(&self) -> u64 {
        u64::from(self.first_lba) + u64::from(self.sectors)
    }

    pub fn is_logical(&self) -> bool {
        self.table_lba != 0
    }
}

/// What an extended boot record says: its partition, and where the next record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// Its number is to be counted.
    pub partition: Option<Primary>,
    pub next: Option<u32>,
}

/// Reads the record in the sector `lba` of an extended partition that begins at `begin`. `None`: there is none.
pub fn extended(sector: &[u8], lba: u32, begin: u32) -> Option<Extended> {
    if sector.get(510..512) != Some(&[0x55, 0xaa]) {
        return None;
    }
    let mut record = Extended { partition: None, next: None };
    for slot in 1..=2 {
        let Some(found) = entry(sector, slot) else { continue };
        if is_extended(&found) {
            record.next = record.next.or(begin.checked_add(found.first_lba));
        } else if let Some(first_lba) = lba.checked_add(found.first_lba) {
            record.partition = record.partition.or(Some(Primary { first_lba, table_lba: lba, ..found }));
        }
    }
    Some(record)
}

/// The one that ends last on the disk and can hold something.
pub fn last(entries: &[Primary]) -> Option<&Primary> {
    entries.iter().filter(|entry| !is_extended(entry)).max_by_key(|entry| entry.end())
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

/// Sets the length of the partition in one of the four entries.
pub fn resize(sector: &mut [u8], place: u32, sectors: u32) {
    let Some(slot) = slot(place).and_then(|range| sector.get_mut(range)) else { return };
    for (offset, value) in [(5, CHS_END.as_slice()), (12, sectors.to_le_bytes().as_slice())] {
        if let Some(field) = slot.get_mut(offset..offset + value.len()) {
            field.copy_from_slice(value);
        }
    }
}

/// Puts a partition into one of the four entries: no boot flag, and no cylinders, which nobody counts.
pub fn put(sector: &mut [u8], new: &Primary) {
    let Some(slot) = slot(new.slot).and_then(|range| sector.get_mut(range)) else { return };
    let [a, b, c, d] = new.first_lba.to_le_bytes();
    let [e, f, g, h] = new.sectors.to_le_bytes();
    let [x, y, z] = CHS_END;
    slot.copy_from_slice(&[0, x, y, z, new.kind, x, y, z, a, b, c, d, e, f, g, h]);
}

/// Where the entry that leads to the extended boot record at `lba` lies in this sector, and its length.
pub fn link(sector: &[u8], lba: u32, begin: u32) -> Option<Primary> {
    let leads = |entry: &Primary| is_extended(entry) && begin.checked_add(entry.first_lba) == Some(lba);
    (1..=4).filter_map(|slot| entry(sector, slot)).find(leads)
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
    (kind != 0 && sectors != 0).then_some(Primary { number, kind, first_lba, sectors, table_lba: 0, slot: number })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_put_is_what_is_read() {
        let mut sector = vec![0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        let new = Primary { number: 3, kind: 0x83, first_lba: 2048, sectors: 4096, table_lba: 0, slot: 3 };
        put(&mut sector, &new);
        assert_eq!(parse(&sector), Mbr::Plain(vec![new]));
        resize(&mut sector, 3, 8192);
        assert_eq!(parse(&sector), Mbr::Plain(vec![Primary { sectors: 8192, ..new }]));
    }

    proptest! {
        #[test]
        fn junk_never_panics(mut sector in proptest::collection::vec(any::<u8>(), 0..600), lba: u32, begin: u32) {
            if sector.len() >= 512 {
                sector[510..512].copy_from_slice(&[0x55, 0xaa]);
            }
            parse(&sector);
            extended(&sector, lba, begin);
            link(&sector, lba, begin);
        }
    }
}

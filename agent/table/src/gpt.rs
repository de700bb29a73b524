//! GUID partition table, bytes to values and back (UEFI 2.10 section 5.3). No I/O.
//!
//! Entries are edited in place in the array as it was read: numbers, order, attributes, and bytes that this version of
//! the specification does not define are preserved.

use super::guid::UNUSED;
use uuid::Uuid;

pub const SIGNATURE: &[u8; 8] = b"EFI PART";
/// The fields that the specification defines; a header may be longer.
const HEADER_LEN: usize = 92;
const ENTRY_LEN: usize = 128;
/// The minimum that the specification reserves for the array.
pub const ENTRY_COUNT: u32 = 128;
/// More than any real table; limits allocations caused by an invalid header.
const MAX_ARRAY: u64 = 1 << 20;
const NAME: std::ops::Range<usize> = 56..128;

/// Why a header or its array is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("no GPT signature")]
    Signature,
    #[error("the header is truncated or claims an impossible length")]
    Length,
    #[error("the header's checksum does not match")]
    HeaderCrc,
    #[error("the header belongs to another position")]
    Misplaced,
    #[error("the header describes an impossible table")]
    Geometry,
    #[error("the checksum of the partition array does not match")]
    ArrayCrc,
}

/// One of the two headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub revision: u32,
    /// The LBA of this header.
    pub this_lba: u64,
    /// The LBA of the other one.
    pub other_lba: u64,
    pub first_usable: u64,
    pub last_usable: u64,
    pub disk_guid: Uuid,
    pub array_lba: u64,
    pub entry_count: u32,
    pub entry_size: u32,
    pub array_crc: u32,
    /// Bytes past the defined fields that the checksum covers.
    pub extra: Vec<u8>,
}

impl Header {
    /// Parses the header's sector; its own checksum is verified, the array's is not.
    pub fn parse(sector: &[u8]) -> Result<Self, Fault> {
        if sector.get(..8) != Some(SIGNATURE.as_slice()) {
            return Err(Fault::Signature);
        }
        let length = u32_at(sector, 12).ok_or(Fault::Length)? as usize;
        if !(HEADER_LEN..=sector.len()).contains(&length) {
            return Err(Fault::Length);
        }
        let mut covered = sector.get(..length).ok_or(Fault::Length)?.to_vec();
        put(&mut covered, 16, &[0; 4]);
        if u32_at(sector, 16) != Some(crc32fast::hash(&covered)) {
            return Err(Fault::HeaderCrc);
        }
        let read = || {
            Some(Self {
                revision: u32_at(sector, 8)?,
                this_lba: u64_at(sector, 24)?,
                other_lba: u64_at(sector, 32)?,
                first_usable: u64_at(sector, 40)?,
                last_usable: u64_at(sector, 48)?,
                disk_guid: guid_at(sector, 56)?,
                array_lba: u64_at(sector, 72)?,
                entry_count: u32_at(sector, 80)?,
                entry_size: u32_at(sector, 84)?,
                array_crc: u32_at(sector, 88)?,
                extra: sector.get(HEADER_LEN..length)?.to_vec(),
            })
        };
        let header = read().ok_or(Fault::Length)?;
        let size = header.entry_size as usize;
        // 128 x 2^n (section 5.3.2).
        if size < ENTRY_LEN || !size.is_power_of_two() || header.entry_count == 0 || header.array_bytes() > MAX_ARRAY {
            return Err(Fault::Geometry);
        }
        if header.first_usable > header.last_usable {
            return Err(Fault::Geometry);
        }
        Ok(header)
    }

    /// The sector, zero-padded, with its checksum set.
    pub fn encode(&self, sector_size: u32) -> Vec<u8> {
        let mut sector = vec![0; sector_size as usize];
        let length = HEADER_LEN + self.extra.len();
        put(&mut sector, 0, SIGNATURE);
        put(&mut sector, 8, &self.revision.to_le_bytes());
        put(&mut sector, 12, &(length as u32).to_le_bytes());
        put(&mut sector, 24, &self.this_lba.to_le_bytes());
        put(&mut sector, 32, &self.other_lba.to_le_bytes());
        put(&mut sector, 40, &self.first_usable.to_le_bytes());
        put(&mut sector, 48, &self.last_usable.to_le_bytes());
        put(&mut sector, 56, &self.disk_guid.to_bytes_le());
        put(&mut sector, 72, &self.array_lba.to_le_bytes());
        put(&mut sector, 80, &self.entry_count.to_le_bytes());
        put(&mut sector, 84, &self.entry_size.to_le_bytes());
        put(&mut sector, 88, &self.array_crc.to_le_bytes());
        put(&mut sector, HEADER_LEN, &self.extra);
        let crc = crc32fast::hash(sector.get(..length).unwrap_or_default());
        put(&mut sector, 16, &crc.to_le_bytes());
        sector
    }

    pub fn array_bytes(&self) -> u64 {
        u64::from(self.entry_count) * u64::from(self.entry_size)
    }

    pub fn array_sectors(&self, sector_size: u32) -> u64 {
        self.array_bytes().div_ceil(u64::from(sector_size))
    }
}

/// Sectors of an array of `entries` entries of the usual size.
pub fn array_sectors(entries: u32, sector_size: u32) -> u64 {
    (u64::from(entries) * ENTRY_LEN as u64).div_ceil(u64::from(sector_size))
}

/// One used entry. LBAs inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Position in the array, from 1; the kernel's partition number.
    pub number: u32,
    pub type_guid: Uuid,
    pub guid: Uuid,
    pub first_lba: u64,
    pub last_lba: u64,
    pub attributes: u64,
    /// Unpaired surrogates are shown as U+FFFD; the bytes on disk are preserved.
    pub name: String,
}

impl Partition {
    pub fn sectors(&self) -> u64 {
        self.last_lba - self.first_lba + 1
    }
}

/// The partition array, padded to whole sectors as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    bytes: Vec<u8>,
    entry_size: usize,
    entry_count: u32,
}

impl Array {
    /// `bytes` are the array's sectors; the checksum in `header` is verified.
    pub fn parse(header: &Header, bytes: Vec<u8>) -> Result<Self, Fault> {
        let covered = usize::try_from(header.array_bytes()).ok().and_then(|n| bytes.get(..n)).ok_or(Fault::Length)?;
        if crc32fast::hash(covered) != header.array_crc {
            return Err(Fault::ArrayCrc);
        }
        Ok(Self { bytes, entry_size: header.entry_size as usize, entry_count: header.entry_count })
    }

    pub fn empty(sector_size: u32) -> Self {
        let length = (ENTRY_COUNT as usize * ENTRY_LEN).next_multiple_of(sector_size as usize);
        Self { bytes: vec![0; length], entry_size: ENTRY_LEN, entry_count: ENTRY_COUNT }
    }

    /// Whole sectors.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn entry_count(&self) -> u32 {
        self.entry_count
    }

    pub fn crc(&self) -> u32 {
        crc32fast::hash(self.bytes.get(..self.entry_count as usize * self.entry_size).unwrap_or_default())
    }

    /// Used entries in the order of their numbers. An entry that ends before it starts is skipped.
    pub fn partitions(&self) -> Vec<Partition> {
        (1..=self.entry_count).filter_map(|number| self.get(number)).collect()
    }

    pub fn get(&self, number: u32) -> Option<Partition> {
        let entry = self.bytes.get(self.range(number)?)?;
        let type_guid = guid_at(entry, 0)?;
        let (first_lba, last_lba) = (u64_at(entry, 32)?, u64_at(entry, 40)?);
        if type_guid == UNUSED || last_lba < first_lba || last_lba == u64::MAX {
            return None;
        }
        let (pairs, _) = entry.get(NAME)?.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect();
        let end = units.iter().position(|&unit| unit == 0).unwrap_or(units.len());
        Some(Partition {
            number,
            type_guid,
            guid: guid_at(entry, 16)?,
            first_lba,
            last_lba,
            attributes: u64_at(entry, 48)?,
            name: String::from_utf16_lossy(units.get(..end)?),
        })
    }

    pub fn set_last_lba(&mut self, number: u32, last_lba: u64) {
        self.edit(number, 40, &last_lba.to_le_bytes());
    }

    pub fn set_guid(&mut self, number: u32, guid: Uuid) {
        self.edit(number, 16, &guid.to_bytes_le());
    }

    /// Writes a complete new entry. A name longer than 36 UTF-16 units must be refused before, with [`name_fits`].
    pub fn put(&mut self, partition: &Partition) {
        let number = partition.number;
        self.edit(number, 0, &partition.type_guid.to_bytes_le());
        self.edit(number, 16, &partition.guid.to_bytes_le());
        self.edit(number, 32, &partition.first_lba.to_le_bytes());
        self.edit(number, 40, &partition.last_lba.to_le_bytes());
        self.edit(number, 48, &partition.attributes.to_le_bytes());
        let mut name: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        name.resize(NAME.len(), 0);
        self.edit(number, NAME.start, &name);
    }

    fn range(&self, number: u32) -> Option<std::ops::Range<usize>> {
        if number == 0 || number > self.entry_count {
            return None;
        }
        let start = (number as usize - 1) * self.entry_size;
        Some(start..start + self.entry_size)
    }

    fn edit(&mut self, number: u32, offset: usize, value: &[u8]) {
        if let Some(entry) = self.range(number).and_then(|range| self.bytes.get_mut(range)) {
            put(entry, offset, value);
        }
    }
}

/// GPT names hold 36 UTF-16 units.
pub fn name_fits(name: &str) -> bool {
    name.encode_utf16().count() <= NAME.len() / 2 && !name.contains('\0')
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(slot) = bytes.get_mut(offset..offset + value.len()) {
        slot.copy_from_slice(value);
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

fn guid_at(bytes: &[u8], offset: usize) -> Option<Uuid> {
    Some(Uuid::from_bytes_le(bytes.get(offset..offset + 16)?.try_into().ok()?))
}

//! Interprets the first bytes of a whole-disk image: its table and the sector size that it was made for, its
//! partitions, or the filesystem that it consists of. Bytes in, values out: callers use it before they touch a disk.

use super::gpt::{self, Array, Fault, Header};
use super::layout::SECTOR_SIZES;
use super::mbr::{self, Mbr};
use super::{signature, types};
use std::ops::Range;
use uuid::Uuid;

/// Offset of the end of a boot sector's code; the disk signature and the MBR's entries follow.
const BOOT_CODE: usize = 440;
const MBR_SWAP: u8 = 0x82;
const MBR_LVM: u8 = 0x8e;
const MBR_ESP: u8 = 0xef;
const MBR_RAID: u8 = 0xfd;

/// The kind of partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    None,
    Gpt,
    /// Primary partitions; logical ones are not in the first bytes.
    Mbr,
}

/// The purpose of a partition according to its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Esp,
    /// Read by the boot loader of a BIOS machine, or by other kinds of firmware.
    BootLoader,
    Swap,
    Root,
    /// A member of an array, volume group or encrypted volume.
    Member,
    /// Contains logical partitions.
    Extended,
    Other,
}

/// A partition in the table. Bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPartition {
    pub number: u32,
    /// `None` on an MBR.
    pub type_guid: Option<Uuid>,
    /// `None` on an MBR.
    pub guid: Option<Uuid>,
    /// Empty on an MBR.
    pub name: String,
    pub purpose: Purpose,
    pub start: u64,
    pub size: u64,
}

impl HeadPartition {
    /// One past its last byte.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

/// The parsed first bytes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub table: TableKind,
    /// Sector size that the table was made for, if it can be determined. An MBR does not contain it: it is known if a
    /// recognised filesystem starts within the bytes.
    pub sector_size: Option<u32>,
    /// Why a GPT with a valid signature cannot be used. [`Fault::Length`]: its array is not within the bytes.
    pub fault: Option<Fault>,
    /// In the order of their numbers. Those of an MBR are in sectors of [`Head::sector_size`], or of 512 bytes.
    pub partitions: Vec<HeadPartition>,
    /// The contents of an image without a table, by libblkid's name: `ext4`, `iso9660`, ...
    pub filesystem: Option<&'static str>,
    /// The first sector may be bootable: it has the signature, and code that is not all zero.
    pub boot_code: bool,
    /// The image's bytes occupied by its GPT's backup, according to the primary header.
    backup: Option<Range<u64>>,
    bytes: Vec<u8>,
}

impl Head {
    /// Parses the bytes. The first MiB is enough for every ordinary image.
    pub fn parse(bytes: Vec<u8>) -> Self {
        let signed = bytes.get(510..512) == Some(&[0x55, 0xaa]);
        let code = bytes.get(..BOOT_CODE).is_some_and(|code| code.iter().any(|&byte| byte != 0));
        let mut head = Self {
            table: TableKind::None,
            sector_size: None,
            fault: None,
            partitions: Vec::new(),
            filesystem: None,
            boot_code: signed && code,
            backup: None,
            bytes,
        };
        // A FAT or NTFS boot sector has the signature of an MBR, and text where the entries would be.
        let filesystem = signature::find(&head.bytes);
        match mbr::parse(head.bytes.get(..512).unwrap_or_default()) {
            Mbr::Plain(entries) if filesystem.is_none_or(|name| name == "iso9660") => head.read_mbr(&entries),
            Mbr::Plain(_) => {}
            _ => head.read_gpt(),
        }
        if head.table == TableKind::None || filesystem == Some("iso9660") {
            head.filesystem = filesystem;
        }
        head
    }

    /// The bytes that were parsed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The image's bytes with the backup of its GPT.
    pub fn backup(&self) -> Option<Range<u64>> {
        self.backup.clone()
    }

    /// The end of the last partition in bytes: a shorter image was truncated. `None` without partitions.
    pub fn reach(&self) -> Option<u64> {
        self.partitions.iter().map(HeadPartition::end).max()
    }

    pub fn get(&self, number: u32) -> Option<&HeadPartition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    /// The partition that ends last.
    pub fn last(&self) -> Option<&HeadPartition> {
        self.partitions.iter().max_by_key(|partition| partition.end())
    }

    /// Partitions that may hold the root filesystem: the one with such a type, or all whose type does not rule it out.
    pub fn roots(&self) -> Vec<&HeadPartition> {
        let of = |purpose| self.partitions.iter().filter(move |one| one.purpose == purpose);
        let typed: Vec<&HeadPartition> = of(Purpose::Root).collect();
        if typed.is_empty() { of(Purpose::Other).chain(of(Purpose::Member)).collect() } else { typed }
    }

    /// Whether there are logical partitions, which the first bytes do not describe.
    pub fn has_logical(&self) -> bool {
        self.partitions.iter().any(|partition| partition.purpose == Purpose::Extended)
    }

    fn read_mbr(&mut self, entries: &[mbr::Primary]) {
        self.table = TableKind::Mbr;
        let starts = |size: u32| {
            let start = |entry: &mbr::Primary| usize::try_from(u64::from(entry.first_lba) * u64::from(size)).ok();
            let there = |entry| start(entry).and_then(|at| self.bytes.get(at..)).and_then(signature::find).is_some();
            entries.iter().any(there)
        };
        self.sector_size = SECTOR_SIZES.into_iter().find(|&size| starts(size));
        let sector = u64::from(self.sector_size.unwrap_or(512));
        let partition = |entry: &mbr::Primary| HeadPartition {
            number: entry.number,
            type_guid: None,
            guid: None,
            name: String::new(),
            purpose: match entry.kind {
                MBR_ESP => Purpose::Esp,
                MBR_SWAP => Purpose::Swap,
                MBR_LVM | MBR_RAID => Purpose::Member,
                _ if mbr::is_extended(entry) => Purpose::Extended,
                _ => Purpose::Other,
            },
            start: u64::from(entry.first_lba) * sector,
            size: u64::from(entry.sectors) * sector,
        };
        self.partitions = entries.iter().map(partition).collect();
    }

    fn read_gpt(&mut self) {
        for size in SECTOR_SIZES {
            match read_array(&self.bytes, size) {
                // No header, or a leftover of another table in the middle of this one.
                Err(Fault::Signature | Fault::Misplaced) => {}
                Err(fault) => {
                    self.fault.get_or_insert(fault);
                    self.sector_size.get_or_insert(size);
                    self.table = TableKind::Gpt;
                }
                Ok((header, array)) => {
                    let sector = u64::from(size);
                    let start = header.other_lba.saturating_sub(header.array_sectors(size));
                    let end = header.other_lba.saturating_add(1);
                    self.backup = Some(start.saturating_mul(sector)..end.saturating_mul(sector));
                    (self.table, self.sector_size, self.fault) = (TableKind::Gpt, Some(size), None);
                    self.partitions = array.partitions().into_iter().map(|one| partition(one, size)).collect();
                    return;
                }
            }
        }
    }
}

fn read_array(bytes: &[u8], sector_size: u32) -> Result<(Header, Array), Fault> {
    let sector = sector_size as usize;
    let header = Header::parse(bytes.get(sector..sector * 2).unwrap_or_default())?;
    if header.this_lba != 1 {
        return Err(Fault::Misplaced);
    }
    let length = usize::try_from(header.array_sectors(sector_size) * u64::from(sector_size)).ok();
    let start = header.array_lba.checked_mul(u64::from(sector_size)).and_then(|start| usize::try_from(start).ok());
    let range = start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let array = range.and_then(|range| bytes.get(range)).ok_or(Fault::Length)?;
    let array = Array::parse(&header, array.to_vec())?;
    Ok((header, array))
}

fn partition(one: gpt::Partition, sector_size: u32) -> HeadPartition {
    let sector = u64::from(sector_size);
    HeadPartition {
        number: one.number,
        type_guid: Some(one.type_guid),
        guid: Some(one.guid),
        purpose: types::purpose(one.type_guid),
        start: one.first_lba.saturating_mul(sector),
        size: one.sectors().saturating_mul(sector),
        name: one.name,
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

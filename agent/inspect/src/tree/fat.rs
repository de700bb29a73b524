//! FAT12, FAT16 and FAT32 with long names (Microsoft, "FAT: General Overview of On-Disk Format", 1.03), for reading.
//!
//! `fatfs`, which knows FAT too, wants to write to what it opens, and trusts chains of clusters that lead in a circle.

use super::bytes::{le16, le32, u8_at};
use super::walk::{Child, Inodes, Walk};
use super::{FsError, Metadata, NodeType};
use crate::disk::Disk;

const ENTRY: usize = 32;
const DIRECTORY: u8 = 0x10;
const VOLUME: u8 = 0x08;
const LONG: u8 = 0x0f;
/// Limit for directories, from the specification.
const LARGEST_DIRECTORY: usize = 65_536 * ENTRY;

#[derive(Debug)]
pub struct Fat {
    disk: Disk,
    cluster: u64,
    fat_start: u64,
    data_start: u64,
    clusters: u32,
    width: Width,
    /// The root of FAT12 and FAT16: offset and length. For FAT32 the first cluster is in `root_cluster`.
    root: (u64, usize),
    root_cluster: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fat12,
    Fat16,
    Fat32,
}

#[derive(Debug, Clone)]
pub struct FatNode {
    first: u32,
    size: u64,
    directory: bool,
    /// The root of FAT12 and FAT16, which is not a chain of clusters.
    fixed_root: bool,
}

pub fn open(disk: &Disk) -> Result<Walk<Fat>, FsError> {
    let sector = disk.read(0, 512)?;
    Fat::parse(disk, &sector).map(Walk).ok_or_else(|| FsError::damaged("the boot sector makes no sense"))
}

impl Fat {
    fn parse(disk: &Disk, sector: &[u8]) -> Option<Self> {
        let bytes = u64::from(le16(sector, 11)?);
        let per_cluster = u64::from(u8_at(sector, 13)?);
        let reserved = u64::from(le16(sector, 14)?);
        let fats = u64::from(u8_at(sector, 16)?);
        let root_entries = u64::from(le16(sector, 17)?);
        let total = match le16(sector, 19)? {
            0 => u64::from(le32(sector, 32)?),
            total => u64::from(total),
        };
        let fat_sectors = match le16(sector, 22)? {
            0 => u64::from(le32(sector, 36)?),
            sectors => u64::from(sectors),
        };
        let sane = matches!(bytes, 512 | 1024 | 2048 | 4096) && per_cluster.is_power_of_two() && matches!(fats, 1 | 2);
        let root_bytes = root_entries * ENTRY as u64;
        let data = reserved + fats * fat_sectors + root_bytes.div_ceil(bytes.max(1));
        let clusters = u32::try_from(total.checked_sub(data)? / per_cluster.max(1)).ok()?;
        let width = match clusters {
            0..=4084 => Width::Fat12,
            4085..=65_524 => Width::Fat16,
            _ => Width::Fat32,
        };
        // mkfs.vfat -F 32 also makes small volumes, which only this field identifies.
        let width = if le16(sector, 22)? == 0 { Width::Fat32 } else { width };
        if !sane {
            return None;
        }
        Some(Self {
            disk: disk.clone(),
            cluster: per_cluster * bytes,
            fat_start: reserved * bytes,
            data_start: data * bytes,
            clusters,
            width,
            root: ((reserved + fats * fat_sectors) * bytes, usize::try_from(root_bytes).ok()?),
            root_cluster: if width == Width::Fat32 { le32(sector, 44)? } else { 0 },
        })
    }

    /// The cluster after `cluster`; `None` at the end of a chain.
    fn next(&self, cluster: u32) -> Result<Option<u32>, FsError> {
        let number = u64::from(cluster);
        let (offset, len) = match self.width {
            Width::Fat12 => (number + number / 2, 2),
            Width::Fat16 => (number * 2, 2),
            Width::Fat32 => (number * 4, 4),
        };
        let bytes = self.disk.read(self.fat_start + offset, len)?;
        let (value, end) = match self.width {
            Width::Fat12 => {
                let both = u32::from(le16(&bytes, 0).unwrap_or(0));
                (if cluster % 2 == 1 { both >> 4 } else { both & 0xfff }, 0xff7)
            }
            Width::Fat16 => (u32::from(le16(&bytes, 0).unwrap_or(0)), 0xfff7),
            Width::Fat32 => (le32(&bytes, 0).unwrap_or(0) & 0x0fff_ffff, 0x0fff_fff7),
        };
        Ok((value < end).then_some(value))
    }

    /// At most `most` bytes of a chain.
    fn chain(&self, first: u32, most: usize) -> Result<Vec<u8>, FsError> {
        let (mut out, mut cluster, mut left) = (Vec::new(), first, self.clusters);
        while out.len() < most {
            let index = cluster.checked_sub(2).filter(|index| *index < self.clusters);
            let index = index.ok_or_else(|| FsError::damaged("a chain leaves the filesystem"))?;
            left = left.checked_sub(1).ok_or_else(|| FsError::damaged("a chain of clusters is a circle"))?;
            let count = (most - out.len()).min(usize::try_from(self.cluster).unwrap_or(usize::MAX));
            out.extend(self.disk.read(self.data_start + u64::from(index) * self.cluster, count)?);
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => break,
            }
        }
        Ok(out)
    }
}

impl Inodes for Fat {
    type Inode = FatNode;

    fn root(&self) -> FatNode {
        let fixed_root = self.width != Width::Fat32;
        FatNode { first: self.root_cluster, size: 0, directory: true, fixed_root }
    }

    fn children(&self, inode: &FatNode) -> Result<Vec<Child<FatNode>>, FsError> {
        let bytes = match inode.fixed_root {
            true => self.disk.read(self.root.0, self.root.1)?,
            false => self.chain(inode.first, LARGEST_DIRECTORY)?,
        };
        let (mut found, mut long) = (Vec::new(), Vec::<(u8, Vec<u16>)>::new());
        for entry in bytes.chunks_exact(ENTRY) {
            let (first, attributes) = (u8_at(entry, 0).unwrap_or(0), u8_at(entry, 11).unwrap_or(0));
            match first {
                0 => break,
                0xe5 => long.clear(),
                _ if attributes & 0x3f == LONG => long.push((first & 0x3f, units(entry))),
                _ if attributes & VOLUME != 0 => long.clear(),
                _ => {
                    let name = name(entry, &mut long);
                    if name != b"." && name != b".." {
                        let high = if self.width == Width::Fat32 { le16(entry, 20).unwrap_or(0) } else { 0 };
                        let first = u32::from(high) << 16 | u32::from(le16(entry, 26).unwrap_or(0));
                        let size = u64::from(le32(entry, 28).unwrap_or(0));
                        let directory = attributes & DIRECTORY != 0;
                        found.push(Child { name, inode: FatNode { first, size, directory, fixed_root: false } });
                    }
                }
            }
        }
        Ok(found)
    }

    fn metadata(&self, inode: &FatNode) -> Result<Metadata, FsError> {
        let node = if inode.directory { NodeType::Directory } else { NodeType::File };
        Ok(Metadata { node, size: inode.size, mode: 0o755, uid: 0 })
    }

    fn data(&self, inode: &FatNode, size: u64) -> Result<Vec<u8>, FsError> {
        let size = usize::try_from(size).map_err(|_| FsError::damaged("a size"))?;
        let bytes = if size == 0 { Vec::new() } else { self.chain(inode.first, size)? };
        if bytes.len() == size { Ok(bytes) } else { Err(FsError::damaged("a file ends before its size")) }
    }

    fn same(&self, name: &[u8], wanted: &[u8]) -> bool {
        name.eq_ignore_ascii_case(wanted)
    }
}

/// The UTF-16 of one entry of a long name.
fn units(entry: &[u8]) -> Vec<u16> {
    let at = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
    let all = at.into_iter().filter_map(|at| le16(entry, at));
    all.take_while(|unit| *unit != 0 && *unit != 0xffff).collect()
}

/// The long name collected before `entry`, otherwise its short one.
fn name(entry: &[u8], long: &mut Vec<(u8, Vec<u16>)>) -> Vec<u8> {
    if !long.is_empty() {
        long.sort_by_key(|(order, _)| *order);
        let all: Vec<u16> = std::mem::take(long).into_iter().flat_map(|(_, units)| units).collect();
        return String::from_utf16_lossy(&all).into_bytes();
    }
    let part = |range: std::ops::Range<usize>, lower: bool| {
        let text = entry.get(range).unwrap_or_default().trim_ascii_end();
        if lower { text.to_ascii_lowercase() } else { text.to_vec() }
    };
    // Windows NT's case bits.
    let case = u8_at(entry, 12).unwrap_or(0);
    let mut name = part(0..8, case & 8 != 0);
    if let Some(first @ 5) = name.first_mut() {
        *first = 0xe5;
    }
    let extension = part(8..11, case & 16 != 0);
    if !extension.is_empty() {
        name.push(b'.');
        name.extend(extension);
    }
    name
}

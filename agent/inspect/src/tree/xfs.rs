//! XFS, versions 4 and 5, for reading (kernel, fs/xfs/libxfs/xfs_format.h and xfs_da_format.h; "XFS Algorithms & Data
//! Structures", 3rd edition). No crate reads it; a log that was not replayed is not replayed here.

use super::bytes::{be16, be32, be64, u8_at};
use super::walk::{Child, Inodes, Walk};
use super::xfs_dir;
use super::{FsError, Metadata, NodeType};
use crate::disk::Disk;

/// Incompatible features that do not affect reading, or are supported: ftype, sparse inodes, metadata UUID, big
/// timestamps, needs repair, large extent counts, exchange range, parent pointers, metadata directories.
const KNOWN: u32 = 0x1ff;
const FTYPE: u32 = 1;
const FTYPE_V4: u32 = 0x200;
const LARGE_COUNTS: u64 = 1 << 4;
const LOCAL: u8 = 1;
const EXTENTS: u8 = 2;
const BTREE: u8 = 3;
/// Directory blocks beyond this offset are indexes, not entries.
const DIRECTORY_DATA: u64 = 32 << 30;
/// Limit for directories.
const LARGEST_DIRECTORY: u64 = 64 << 20;
const MOST_EXTENTS: usize = 1 << 20;
/// Limit for levels of an extent tree; the kernel's is 9.
const DEEPEST: u16 = 9;

#[derive(Debug)]
pub struct Xfs {
    disk: Disk,
    block: u64,
    inode_size: usize,
    ag_blocks: u64,
    ag_bits: u32,
    inode_bits: u32,
    directory_block: u64,
    root: u64,
    v5: bool,
    ftype: bool,
}

/// A range of a file: its first block in the file, its location, and its length.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    block: u64,
    count: u64,
    unwritten: bool,
}

pub fn open(disk: &Disk) -> Result<Walk<Xfs>, FsError> {
    let sector = disk.read(0, 512)?;
    let xfs = Xfs::parse(disk, &sector).ok_or_else(|| FsError::damaged("the superblock makes no sense"))?;
    let incompatible = be32(&sector, 216).unwrap_or(0);
    if xfs.v5 && incompatible & !KNOWN != 0 {
        return Err(FsError::unsupported(format!("XFS features {:#x}", incompatible & !KNOWN)));
    }
    Ok(Walk(xfs))
}

impl Xfs {
    fn parse(disk: &Disk, sector: &[u8]) -> Option<Self> {
        let block = u64::from(be32(sector, 4)?);
        let version = be16(sector, 100)? & 0xf;
        let v5 = version == 5;
        let ftype = if v5 { be32(sector, 216)? & FTYPE != 0 } else { be32(sector, 200)? & FTYPE_V4 != 0 };
        let (ag_bits, inode_bits) = (u32::from(u8_at(sector, 124)?), u32::from(u8_at(sector, 123)?));
        let directory_bits = u32::from(u8_at(sector, 192)?);
        let inode_size = usize::from(be16(sector, 104)?);
        let ag_blocks = u64::from(be32(sector, 84)?);
        let sane = block.is_power_of_two()
            && (512..=65_536).contains(&block)
            && (256..=2048).contains(&inode_size)
            && matches!(version, 4 | 5)
            && ag_bits < 32
            && inode_bits < 9
            && directory_bits < 8
            && ag_blocks > 0;
        if !sane {
            return None;
        }
        Some(Self {
            disk: disk.clone(),
            block,
            inode_size,
            ag_blocks,
            ag_bits,
            inode_bits,
            directory_block: block << directory_bits,
            root: be64(sector, 56)?,
            v5,
            ftype,
        })
    }

    fn block_offset(&self, block: u64) -> Option<u64> {
        let (group, within) = (block >> self.ag_bits, block & ((1 << self.ag_bits) - 1));
        group.checked_mul(self.ag_blocks)?.checked_add(within)?.checked_mul(self.block)
    }

    fn inode(&self, number: u64) -> Result<Inode, FsError> {
        let within = number & ((1 << self.inode_bits) - 1);
        let block = self.block_offset(number >> self.inode_bits);
        let offset = block.and_then(|block| block.checked_add(within * self.inode_size as u64));
        let wrong = || FsError::damaged(format!("inode {number}"));
        let bytes = self.disk.read(offset.ok_or_else(wrong)?, self.inode_size)?;
        if be16(&bytes, 0) != Some(0x494e) {
            return Err(wrong());
        }
        Inode::parse(bytes).ok_or_else(wrong)
    }

    fn extents(&self, inode: &Inode) -> Result<Vec<Extent>, FsError> {
        let mut found = Vec::new();
        match inode.format {
            EXTENTS => {
                let count = usize::try_from(inode.extents).unwrap_or(usize::MAX).min(inode.fork.len() / 16);
                found.extend(inode.fork.chunks_exact(16).take(count).filter_map(extent));
            }
            BTREE => {
                let (level, count) = (be16(&inode.fork, 0).unwrap_or(0), be16(&inode.fork, 2).unwrap_or(0));
                let most = inode.fork.len().saturating_sub(4) / 16;
                if level == 0 || level > DEEPEST || usize::from(count) > most {
                    return Err(FsError::damaged("the root of a tree of extents"));
                }
                for index in 0..usize::from(count) {
                    let block = be64(&inode.fork, 4 + most * 8 + index * 8);
                    self.extent_tree(block.unwrap_or(0), level - 1, &mut found)?;
                }
            }
            _ => return Err(FsError::OtherType),
        }
        Ok(found)
    }

    fn extent_tree(&self, block: u64, level: u16, found: &mut Vec<Extent>) -> Result<(), FsError> {
        let wrong = || FsError::damaged(format!("extent block {block}"));
        let offset = self.block_offset(block).ok_or_else(wrong)?;
        let bytes = self.disk.read(offset, self.block as usize)?;
        let known = matches!(bytes.get(..4), Some(b"BMAP" | b"BMA3"));
        if !known || be16(&bytes, 4) != Some(level) || found.len() > MOST_EXTENTS {
            return Err(wrong());
        }
        let count = usize::from(be16(&bytes, 6).unwrap_or(0));
        let rest = bytes.get(if self.v5 { 72 } else { 24 }..).unwrap_or_default();
        let most = rest.len() / 16;
        if count > most {
            return Err(wrong());
        }
        if level == 0 {
            found.extend(rest.chunks_exact(16).take(count).filter_map(extent));
            return Ok(());
        }
        for index in 0..count {
            let child = be64(rest, most * 8 + index * 8).ok_or_else(wrong)?;
            self.extent_tree(child, level - 1, found)?;
        }
        Ok(())
    }

    /// `size` bytes of a file with extents; gaps between extents are zeros.
    fn content(&self, inode: &Inode, size: u64) -> Result<Vec<u8>, FsError> {
        let mut out = vec![0; usize::try_from(size).map_err(|_| FsError::damaged("a size"))?];
        for extent in self.extents(inode)? {
            let wrong = || FsError::damaged("an extent leaves the filesystem");
            let start = extent.offset.checked_mul(self.block).ok_or_else(wrong)?;
            if start >= size || extent.unwritten {
                continue;
            }
            let count = (extent.count * self.block).min(size - start);
            let range = start as usize..(start + count) as usize;
            let at = self.block_offset(extent.block).ok_or_else(wrong)?;
            self.disk.read_exact(at, out.get_mut(range).ok_or_else(wrong)?)?;
        }
        Ok(out)
    }

    fn directory(&self, inode: &Inode) -> Result<Vec<Child<u64>>, FsError> {
        let mut found = Vec::new();
        for extent in self.extents(inode)? {
            let start = extent.offset.saturating_mul(self.block);
            if start >= DIRECTORY_DATA {
                continue;
            }
            if start >= LARGEST_DIRECTORY {
                return Err(FsError::TooLarge { limit: LARGEST_DIRECTORY });
            }
            let wrong = || FsError::damaged("a directory's extent");
            let at = self.block_offset(extent.block).ok_or_else(wrong)?;
            let bytes = (extent.count * self.block).min(LARGEST_DIRECTORY) as usize;
            let bytes = self.disk.read(at, bytes)?;
            if self.directory_block > self.block && !(extent.count * self.block).is_multiple_of(self.directory_block) {
                return Err(FsError::unsupported("a directory block in several pieces"));
            }
            for block in bytes.chunks_exact(self.directory_block as usize) {
                xfs_dir::block(block, self.ftype, &mut found).ok_or_else(wrong)?;
            }
        }
        Ok(found)
    }
}

/// The used part of an inode.
#[derive(Debug, Clone)]
struct Inode {
    mode: u32,
    uid: u32,
    size: u64,
    format: u8,
    extents: u64,
    fork: Vec<u8>,
}

impl Inode {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let version = u8_at(&bytes, 4)?;
        let start = if version >= 3 { 176 } else { 100 };
        let large = version >= 3 && be64(&bytes, 120)? & LARGE_COUNTS != 0;
        let extents = if large { be64(&bytes, 24)? } else { u64::from(be32(&bytes, 76)?) };
        let end = match usize::from(u8_at(&bytes, 82)?) {
            0 => bytes.len(),
            offset => start + offset * 8,
        };
        Some(Self {
            mode: u32::from(be16(&bytes, 2)?),
            uid: be32(&bytes, 8)?,
            size: be64(&bytes, 56)?,
            format: u8_at(&bytes, 5)?,
            extents,
            fork: bytes.get(start..end)?.to_vec(),
        })
    }
}

/// 1 bit unwritten, 54 bits of offset, 52 of block, 21 of count.
fn extent(record: &[u8]) -> Option<Extent> {
    let (high, low) = (be64(record, 0)?, be64(record, 8)?);
    Some(Extent {
        unwritten: high >> 63 != 0,
        offset: (high & (u64::MAX >> 1)) >> 9,
        block: (high & 0x1ff) << 43 | low >> 21,
        count: low & 0x1f_ffff,
    })
}

impl Inodes for Xfs {
    type Inode = u64;

    fn root(&self) -> u64 {
        self.root
    }

    fn children(&self, number: &u64) -> Result<Vec<Child<u64>>, FsError> {
        let inode = self.inode(*number)?;
        if inode.format == LOCAL {
            return xfs_dir::short(&inode.fork, self.ftype).ok_or_else(|| FsError::damaged("a short directory"));
        }
        self.directory(&inode)
    }

    fn metadata(&self, number: &u64) -> Result<Metadata, FsError> {
        let inode = self.inode(*number)?;
        let node = NodeType::of_mode(inode.mode);
        Ok(Metadata { node, size: inode.size, mode: inode.mode & 0o7777, uid: inode.uid })
    }

    fn data(&self, number: &u64, size: u64) -> Result<Vec<u8>, FsError> {
        let inode = self.inode(*number)?;
        if inode.format == LOCAL {
            let bytes = usize::try_from(size).ok().and_then(|size| inode.fork.get(..size));
            return bytes.map(<[u8]>::to_vec).ok_or_else(|| FsError::damaged("a short link"));
        }
        let link = NodeType::of_mode(inode.mode) == NodeType::Symlink;
        if !(link && self.v5) {
            return self.content(&inode, size);
        }
        // Each block of a long link has a header of 56 bytes.
        let blocks = size.div_ceil(self.block - 56);
        let bytes = self.content(&inode, blocks * self.block)?;
        let parts = bytes.chunks(self.block as usize).flat_map(|block| block.get(56..).unwrap_or_default());
        Ok(parts.take(size as usize).copied().collect())
    }
}

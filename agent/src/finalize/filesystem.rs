//! Detects the contents of a partition and the size recorded in its filesystem: parses superblocks, and reads them.

use super::device::{Device, Sectors};
use crate::error::Coded;
use crate::isolate::errno;
use blkid::prober::{ProbeState, Prober};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum FilesystemError {
    #[error("{device}: cannot be read")]
    Io {
        device: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("{device}: probing failed: {reason}")]
    Probe { device: PathBuf, reason: String },
    #[error("{device}: has signatures of more than one filesystem")]
    Ambivalent { device: PathBuf },
    #[error("{device}: the {kind} superblock is not valid")]
    Superblock { device: PathBuf, kind: Kind },
}

impl Coded for FilesystemError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.filesystem_io",
            Self::Probe { .. } => "finalize.filesystem_probe",
            Self::Ambivalent { .. } => "finalize.filesystem_ambivalent",
            Self::Superblock { .. } => "finalize.filesystem_damaged",
        }
    }
}

/// Filesystems that grow while mounted, by ioctl.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    /// The name for mount(2).
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// libblkid's result for a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// `ext4`, `vfat`, `swap`, `crypto_LUKS`, `LVM2_member`, `linux_raid_member`, ...; `None` if blank or unknown.
    pub kind: Option<String>,
    pub label: Option<String>,
    pub uuid: Option<String>,
}

impl Content {
    pub fn filesystem(&self) -> Option<Kind> {
        match self.kind.as_deref()? {
            // The kernel uses the same driver for ext2 and ext3, and they grow in the same way.
            "ext2" | "ext3" | "ext4" => Some(Kind::Ext4),
            "xfs" => Some(Kind::Xfs),
            "btrfs" => Some(Kind::Btrfs),
            _ => None,
        }
    }
}

/// Probes a partition; an empty [`Content`] if nothing is found, an error if the result is ambiguous.
pub fn probe(partition: &Path) -> Result<Content, FilesystemError> {
    let failed =
        |error: blkid::BlkIdError| FilesystemError::Probe { device: partition.to_owned(), reason: error.to_string() };
    let prober = Prober::new_from_filename(partition).map_err(failed)?;
    match prober.do_safe_probe().map_err(failed)? {
        ProbeState::Ambivalent => return Err(FilesystemError::Ambivalent { device: partition.to_owned() }),
        ProbeState::Success => {}
        _ => return Ok(Content::default()),
    }
    let value = |name: &str| prober.lookup_value(name).ok().filter(|value| !value.is_empty());
    Ok(Content { kind: value("TYPE"), label: value("LABEL"), uuid: value("UUID") })
}

/// Size of a filesystem according to its superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// In bytes; a power of two.
    pub block: u64,
    pub blocks: u64,
    /// XFS: the percentage of space that inodes may use; else 0.
    pub inode_percent: u8,
    /// btrfs: the number of this device in its filesystem; else 0.
    pub device: u64,
}

impl Size {
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block)
    }
}

/// Reads a superblock from the device itself, bypassing every cache.
pub fn size(partition: &Path, kind: Kind) -> Result<Size, FilesystemError> {
    let io = |source| FilesystemError::Io { device: partition.to_owned(), source };
    let device = Device::open_read_only(partition).map_err(io)?;
    let (offset, length) = match kind {
        Kind::Ext4 => (1024, 1024),
        Kind::Xfs => (0, 512),
        Kind::Btrfs => (65536, 4096),
    };
    let mut bytes = vec![0; length];
    device.read_at(offset, &mut bytes).map_err(io)?;
    parse_size(kind, &bytes).ok_or_else(|| FilesystemError::Superblock { device: partition.to_owned(), kind })
}

/// Parses a superblock.
pub fn parse_size(kind: Kind, superblock: &[u8]) -> Option<Size> {
    match kind {
        Kind::Ext4 => ext4(superblock),
        Kind::Xfs => xfs(superblock),
        Kind::Btrfs => btrfs(superblock),
    }
}

/// `struct ext4_super_block`, fs/ext4/ext4.h.
fn ext4(bytes: &[u8]) -> Option<Size> {
    const INCOMPAT_64BIT: u32 = 0x80;
    let le32 = |offset: usize| Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?));
    if bytes.get(0x38..0x3a)? != [0x53, 0xef] {
        return None;
    }
    let shift = le32(0x18).filter(|&shift| shift <= 6)?;
    let high = if le32(0x60)? & INCOMPAT_64BIT != 0 { le32(0x150)? } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(le32(0x04)?);
    Some(Size { block: 1024 << shift, blocks, inode_percent: 0, device: 0 })
}

/// `struct xfs_dsb`, fs/xfs/libxfs/xfs_format.h; big-endian.
fn xfs(bytes: &[u8]) -> Option<Size> {
    if bytes.get(..4)? != b"XFSB" {
        return None;
    }
    let block = u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?);
    let blocks = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    if !block.is_power_of_two() || !(512..=65536).contains(&block) {
        return None;
    }
    Some(Size { block: u64::from(block), blocks, inode_percent: *bytes.get(127)?, device: 0 })
}

/// `struct btrfs_super_block`, linux/btrfs_tree.h: the size of this device, in sectors.
fn btrfs(bytes: &[u8]) -> Option<Size> {
    let le64 = |offset: usize| Some(u64::from_le_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?));
    if bytes.get(64..72)? != b"_BHRfS_M" {
        return None;
    }
    let sector = u32::from_le_bytes(bytes.get(0x90..0x94)?.try_into().ok()?);
    if !sector.is_power_of_two() || !(512..=65536).contains(&sector) {
        return None;
    }
    // dev_item starts at 0xc9: devid, total_bytes.
    let (device, blocks) = (le64(0xc9)?, le64(0xc9 + 8)? / u64::from(sector));
    Some(Size { block: u64::from(sector), blocks, inode_percent: 0, device })
}

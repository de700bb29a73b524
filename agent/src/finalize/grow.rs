//! Grows a partition's filesystem to the partition's size, without external tools: the kernel does it, mounted.

use super::device::{Device, Sectors};
use super::filesystem::{self, Content, FilesystemError, Kind, Size};
use super::mount::{Access, MountError, Mounted};
use crate::error::Coded;
use crate::sys;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Less new space than this is not worth growing.
const WORTHWHILE: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{device}: {found} cannot be grown")]
    Unsupported { device: PathBuf, found: String },
    #[error("{device}: cannot be opened")]
    Open { device: PathBuf, source: io::Error },
    #[error("{device}: the kernel refused to grow the {kind} filesystem")]
    Refused { device: PathBuf, kind: Kind, source: io::Error },
    #[error("{device}: the {kind} filesystem has {bytes} bytes after growing; the partition has {partition}")]
    Short { device: PathBuf, kind: Kind, bytes: u64, partition: u64 },
    #[error("{device}: the {kind} filesystem is larger ({bytes} bytes) than its partition ({partition})")]
    Truncated { device: PathBuf, kind: Kind, bytes: u64, partition: u64 },
}

impl Coded for GrowError {
    fn code(&self) -> &'static str {
        match self {
            Self::Filesystem(error) => error.code(),
            Self::Mount(error) => error.code(),
            Self::Unsupported { .. } => "finalize.grow_unsupported",
            Self::Open { .. } => "finalize.grow_open",
            Self::Refused { .. } => "finalize.grow_refused",
            Self::Short { .. } => "finalize.grow_short",
            Self::Truncated { .. } => "finalize.filesystem_truncated",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Mount(error) => error.hint(),
            Self::Unsupported { .. } => {
                Some(
                    "grow only the partition: {\"partition\": N, \"filesystem\": false}; filesystems other than ext4, xfs and btrfs \
                     cannot be grown (docs/images.md)"
                        .to_owned(),
                )
            }
            Self::Refused { kind: Kind::Ext4, source, .. } if source.raw_os_error() == Some(libc::EPERM) => Some(
                "run e2fsck on the image, whose filesystem is marked as having errors, or grant CAP_SYS_RESOURCE"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// The result of growing, for the receipt. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrowReceipt {
    pub device: String,
    pub filesystem: Kind,
    pub partition_bytes: u64,
    pub before: u64,
    pub after: u64,
}

/// Grows the ext4, xfs or btrfs filesystem on `partition` to fill it. Interrupted growth is resumed; a filesystem that
/// already fills its partition is left alone. The sizes are read from the superblock on the device, before mounting and
/// after unmounting. `content` is what was found on it.
pub fn grow(partition: &Path, content: Content, mount_base: &Path) -> Result<GrowReceipt, GrowError> {
    let Some(kind) = content.filesystem() else {
        let found = content.kind.unwrap_or_else(|| "what is on it is no filesystem that is known, and".to_owned());
        return Err(GrowError::Unsupported { device: partition.to_owned(), found });
    };
    let device = || partition.to_owned();
    let open = |source| GrowError::Open { device: device(), source };
    let partition_bytes = Device::open_read_only(partition).map_err(open)?.size();
    let before = filesystem::size(partition, kind)?;
    if before.bytes() > partition_bytes {
        return Err(GrowError::Truncated { device: device(), kind, bytes: before.bytes(), partition: partition_bytes });
    }
    let receipt = |after: Size| GrowReceipt {
        device: partition.display().to_string(),
        filesystem: kind,
        partition_bytes,
        before: before.bytes(),
        after: after.bytes(),
    };
    if !worthwhile(before, partition_bytes) {
        return Ok(receipt(before));
    }
    let mounted = Mounted::mount(partition, kind.name(), Access::ReadWrite, mount_base)?;
    let root = File::open(mounted.path()).map_err(open)?;
    let blocks = partition_bytes / before.block;
    let grown = match kind {
        Kind::Ext4 => sys::grow::ext4(&root, blocks),
        Kind::Xfs => sys::grow::xfs(&root, blocks, u32::from(before.inode_percent)),
        Kind::Btrfs => sys::grow::btrfs(&root, before.device),
    };
    drop(root);
    mounted.unmount()?;
    grown.map_err(|source| GrowError::Refused { device: device(), kind, source })?;

    let after = filesystem::size(partition, kind)?;
    if partition_bytes.saturating_sub(after.bytes()) > slack(kind, after) {
        return Err(GrowError::Short { device: device(), kind, bytes: after.bytes(), partition: partition_bytes });
    }
    Ok(receipt(after))
}

/// Space that may stay unused: ext4 omits a last block group too small for its own tables, XFS an allocation group of
/// fewer than 64 blocks, btrfs a part of a sector.
fn slack(kind: Kind, size: Size) -> u64 {
    match kind {
        // A group's bitmap is one block, with 8 blocks per byte.
        Kind::Ext4 => (8 * size.block * size.block).max(WORTHWHILE),
        Kind::Xfs => (64 * size.block).max(WORTHWHILE),
        Kind::Btrfs => WORTHWHILE,
    }
}

fn worthwhile(size: Size, partition_bytes: u64) -> bool {
    partition_bytes.saturating_sub(size.bytes()) >= WORTHWHILE
}

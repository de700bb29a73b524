//! Reads the files of an image without mounting it: one trait, and one row for each kind of filesystem.

mod btrfs;
mod btrfs_node;
pub(crate) mod bytes;
mod ext4;
mod fat;
pub mod tar;
mod walk;
mod xfs;
mod xfs_dir;

use crate::disk::Disk;
use burin_image::ImageError;

/// Why a filesystem or file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    #[error("not found")]
    NotFound,
    #[error("not a directory, file or link as expected")]
    OtherType,
    #[error("larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("damaged: {what}")]
    Damaged { what: String },
    #[error("not supported: {what}")]
    Unsupported { what: String },
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl FsError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeType {
    File,
    Directory,
    Symlink,
    Special,
}

impl NodeType {
    /// From the type bits of `st_mode`.
    pub(crate) fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Symlink,
            _ => Self::Special,
        }
    }
}

/// A directory entry; `.` and `..` are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub node: NodeType,
}

/// Metadata of a file. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    pub node: NodeType,
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    pub uid: u32,
}

/// A tree of files. Paths are absolute and start with `/`. Links in them are not followed here but in [`crate::Files`],
/// which knows the mount points.
pub trait Tree {
    fn list(&self, path: &str) -> Result<Vec<Entry>, FsError>;
    /// The contents of a file of at most `limit` bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FsError>;
    fn readlink(&self, path: &str) -> Result<String, FsError>;
    fn metadata(&self, path: &str) -> Result<Metadata, FsError>;
}

/// A subvolume, if the filesystem has them, by its path from the top. The top itself has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    pub id: u64,
    pub path: String,
    /// Whether a mount without options shows it.
    pub default: bool,
}

/// An open filesystem.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct OpenedTree {
    pub tree: Box<dyn Tree>,
    /// Subvolumes, and how each is opened.
    pub subvolumes: Vec<(Subvolume, Box<dyn Tree>)>,
}

impl OpenedTree {
    fn plain(tree: impl Tree + 'static) -> Self {
        Self { tree: Box::new(tree), subvolumes: Vec::new() }
    }
}

type Open = fn(&Disk) -> Result<OpenedTree, FsError>;

/// Filesystems by libblkid's names, with their readers.
const FILESYSTEMS: &[(&str, Open)] = &[
    ("ext4", |disk| ext4::Ext4Tree::open(disk).map(OpenedTree::plain)),
    ("vfat", |disk| fat::open(disk).map(OpenedTree::plain)),
    ("xfs", |disk| xfs::open(disk).map(OpenedTree::plain)),
    ("btrfs", btrfs::open),
];

/// Opens `disk` as the filesystem with this name.
pub fn open(filesystem: &str, disk: &Disk) -> Result<OpenedTree, FsError> {
    match FILESYSTEMS.iter().find(|(name, _)| *name == filesystem) {
        Some((_, open)) => open(disk),
        None => Err(FsError::unsupported(format!("a {filesystem} filesystem is not read"))),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

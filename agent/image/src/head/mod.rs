//! What the first MiB of an image tells, before anything is written: its table, its partitions, its filesystem.

mod filesystem;
mod table;

pub use filesystem::Filesystem;
pub use table::{HeadPartition, HeadTable, TableKind};

use crate::codec::Compression;
use crate::error::ImageError;
use burin_protocol::error::Coded;
use burin_protocol::image::ImageFormat;
use std::fmt;
use std::sync::Arc;

/// The beginning of an image, decoded, while the targets are still untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// The first URL without credentials, the path, or the stream's name.
    pub source_name: &'a str,
    pub format: ImageFormat,
    pub compression: Compression,
    /// Bytes of the image, where that is known beforehand: of raw images without compression, qcow2, and with an index.
    pub length: Option<u64>,
    /// The first MiB, or all of a shorter image, padded with zeros to a whole sector.
    pub bytes: &'a [u8],
    /// None: there is no partition table.
    pub table: Option<HeadTable>,
    /// Of an image that is one filesystem, without a table.
    pub filesystem: Option<Filesystem>,
    /// Whether the first sector has the signature of boot code (0x55 0xaa), whatever it is.
    pub boot_signature: bool,
}

impl<'a> Head<'a> {
    /// `sector` is what the image's sectors are stated to be, if anybody said.
    pub(crate) fn new(
        (source_name, format, compression): (&'a str, ImageFormat, Compression),
        length: Option<u64>,
        bytes: &'a [u8],
        sector: Option<u32>,
    ) -> Self {
        let filesystem = filesystem::find(bytes);
        // What begins as a filesystem has no table, though its boot sector ends as one does.
        let has_boot_sector = filesystem.as_ref().is_some_and(|found| found.at_start);
        let table = if has_boot_sector { None } else { table::find(bytes, sector) };
        let filesystem = if table.is_some() { None } else { filesystem };
        let boot_signature = bytes.get(510..512) == Some(&[0x55, 0xaa]);
        Self { source_name, format, compression, length, bytes, table, filesystem, boot_signature }
    }

    /// An error where the image cannot work on a device of such sectors, in bytes.
    pub(crate) fn fits_sector(&self, device: u32) -> Result<(), ImageError> {
        let refuse = |what, image| {
            let source_name = self.source_name.to_owned();
            Err(ImageError::SectorSize { source_name, what, image, device })
        };
        match (&self.table, &self.filesystem) {
            (Some(table), _) if !table.sectors.contains(&device) => {
                refuse("partition table", table.sectors.first().copied().unwrap_or(512))
            }
            // The kernel reads no filesystem whose blocks are smaller than the device's.
            (None, Some(Filesystem { block: Some(block), .. })) if *block < device => refuse("filesystem", *block),
            _ => Ok(()),
        }
    }

    /// Where the image has to end, as far as the first MiB tells.
    pub fn ends(&self) -> HeadEnds {
        let Some(table) = &self.table else {
            return HeadEnds { content: self.filesystem.as_ref().and_then(|filesystem| filesystem.size), backup: None };
        };
        // An ISO's MBR may tell of a whole cylinder more than there is.
        let rounded = table.kind == TableKind::Mbr && self.is_iso();
        let sectors = || table.sectors.iter().copied();
        HeadEnds {
            content: sectors().map(|sector| self.reach(sector)).min().filter(|_| !rounded),
            backup: table.backup.and_then(|last| last.checked_add(1)?.checked_mul(u64::from(sectors().min()?))),
        }
    }

    fn is_iso(&self) -> bool {
        self.bytes.get(0x8001..0x8006) == Some(b"CD001")
    }

    /// Where the partitions end that the first MiB tells of, in bytes, on a disk of such sectors.
    pub fn reach(&self, sector: u32) -> u64 {
        let ends = self.table.iter().flat_map(|table| &table.partitions).map(|partition| partition.end);
        ends.max().unwrap_or(0).saturating_mul(u64::from(sector))
    }
}

/// Where an image has to end by its own table or filesystem, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadEnds {
    /// Its partitions, or the filesystem that it is.
    pub content: Option<u64>,
    /// Its backup GPT.
    pub backup: Option<u64>,
}

/// Why an image is not wanted, with a code of its own.
#[derive(Debug)]
pub struct Refusal(pub Box<dyn Coded + Send + Sync>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

type Judge = dyn Fn(&Head<'_>) -> Result<(), Refusal> + Send + Sync;

/// Looks at an image's head before a target is touched, and may refuse it. Called by the thread that called the write.
#[derive(Clone)]
pub struct Inspect(Arc<Judge>);

impl Inspect {
    pub fn new(judge: impl Fn(&Head<'_>) -> Result<(), Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(judge))
    }

    pub(crate) fn look(&self, head: &Head<'_>) -> Result<(), ImageError> {
        (self.0)(head).map_err(ImageError::Refused)
    }
}

impl fmt::Debug for Inspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inspect")
    }
}

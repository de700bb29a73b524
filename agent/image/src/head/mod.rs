//! Interprets the first MiB of an image before anything is written: partition table, partitions, filesystem.

mod filesystem;

pub use filesystem::Filesystem;

use crate::codec::Compression;
use crate::error::ImageError;
use crate::refusal::Refusal;
use burin_protocol::image::ImageFormat;
use burin_table::gpt::{Header, SIGNATURE};
use burin_table::head::TableKind;
use std::fmt;
use std::sync::Arc;

/// The decoded start of an image, before the targets are touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// The first URL without credentials, the path, or the stream's name.
    pub source_name: &'a str,
    pub format: ImageFormat,
    pub compression: Compression,
    /// Length of the image in bytes, if known beforehand: for uncompressed raw images, for qcow2, with an index, and
    /// for images no longer than this.
    pub length: Option<u64>,
    /// The first MiB, or all of a shorter image, padded with zeros to a whole sector.
    pub bytes: &'a [u8],
    /// Table, partitions, filesystem.
    pub table: burin_table::Head,
    /// The filesystem, if the image consists of one, without a table.
    pub filesystem: Option<Filesystem>,
    /// The sector size stated for the image, if any.
    pub stated_sector: Option<u32>,
}

impl<'a> Head<'a> {
    pub(crate) fn new(
        (source_name, format, compression): (&'a str, ImageFormat, Compression),
        length: Option<u64>,
        bytes: &'a [u8],
        stated_sector: Option<u32>,
    ) -> Self {
        let table = burin_table::Head::parse(bytes.to_vec());
        let filesystem = filesystem::find(bytes).filter(|_| table.table == TableKind::None);
        Self { source_name, format, compression, length, bytes, table, filesystem, stated_sector }
    }

    /// Neither a known table, nor a filesystem, nor a boot sector.
    pub fn is_unknown(&self) -> bool {
        let told = &self.table;
        let nothing = told.table == TableKind::None && told.filesystem.is_none() && told.fault.is_none();
        nothing && !told.boot_code && self.filesystem.is_none()
    }

    /// An error if the image cannot work on a device with this sector size, in bytes.
    pub(crate) fn fits_sector(&self, device: u32) -> Result<(), ImageError> {
        let refuse = |what, image| {
            let source_name = self.source_name.to_owned();
            Err(ImageError::SectorSize { source_name, what, image, device })
        };
        let made_for = match self.table.table {
            // An image with a header in both places fits both.
            TableKind::Gpt if self.bytes.get(device as usize..).is_some_and(|rest| rest.starts_with(SIGNATURE)) => None,
            TableKind::Gpt => self.table.sector_size,
            // An MBR does not contain the sector size: without other information it is that of nearly all disks.
            TableKind::Mbr => Some(self.stated_sector.or(self.table.sector_size).unwrap_or(512)),
            TableKind::None => None,
        };
        match (made_for, &self.filesystem) {
            (Some(image), _) if image != device => refuse("partition table", image),
            // The kernel cannot mount filesystems with blocks smaller than the device's.
            (None, Some(Filesystem { block: Some(block), .. })) if *block < device => refuse("filesystem", *block),
            _ => Ok(()),
        }
    }

    /// Where the image must end, as far as the first MiB shows.
    pub fn ends(&self) -> HeadEnds {
        if self.table.table == TableKind::None {
            return HeadEnds { content: self.filesystem.as_ref().and_then(|filesystem| filesystem.size), backup: None };
        }
        // An ISO's MBR may be rounded up to a whole cylinder.
        let rounded = self.table.table == TableKind::Mbr && self.is_iso();
        HeadEnds { content: self.table.reach().filter(|_| !rounded), backup: self.backup() }
    }

    /// The end of the backup header's sector.
    fn backup(&self) -> Option<u64> {
        let sector = self.table.sector_size.filter(|_| self.table.table == TableKind::Gpt)?;
        let start = sector as usize;
        let header = Header::parse(self.bytes.get(start..start.checked_mul(2)?)?).ok()?;
        header.other_lba.checked_add(1)?.checked_mul(u64::from(sector))
    }

    fn is_iso(&self) -> bool {
        self.bytes.get(0x8001..0x8006) == Some(b"CD001")
    }
}

/// Where an image must end according to its table or filesystem, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadEnds {
    /// The end of its partitions, or of the filesystem that it consists of.
    pub content: Option<u64>,
    /// The end of its backup GPT.
    pub backup: Option<u64>,
}

type Judge = dyn Fn(&Head<'_>) -> Result<(), Refusal> + Send + Sync;

/// Inspects an image's head before a target is touched, and may refuse it. Runs in the thread that called the write.
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

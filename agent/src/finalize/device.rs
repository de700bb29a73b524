//! Sector-wise access to a disk, aligned for direct I/O.

pub use burin_table::Sectors;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Alignment that satisfies direct I/O on every logical sector size we accept.
const ALIGN: usize = 4096;

/// A block device or disk image file, opened for direct I/O if the file supports it.
///
/// It is opened without O_EXCL: an exclusive holder of the whole disk would prevent its own partitions from being
/// mounted.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    sector_size: u32,
    size: u64,
    direct: bool,
    /// Bytes that are never written.
    kept: Vec<Range<u64>>,
}

impl Device {
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, true)
    }

    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        Self::open_with(path, false)
    }

    fn open_with(path: &Path, write: bool) -> io::Result<Self> {
        let options = |flags: i32| {
            let mut options = OpenOptions::new();
            options.read(true).write(write).custom_flags(flags | libc::O_CLOEXEC);
            options
        };
        let (file, direct) = match options(libc::O_DIRECT).open(path) {
            Ok(file) => (file, true),
            // tmpfs does not support O_DIRECT.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => (options(0).open(path)?, false),
            Err(error) => return Err(error),
        };
        let sector_size = if file.metadata()?.file_type().is_block_device() {
            crate::sys::partition::logical_sector_size(&file)?
        } else {
            512
        };
        Self::new(path.to_owned(), file, sector_size, direct)
    }

    /// A disk image file as a disk of `sector_size`-byte sectors.
    pub fn open_image(path: &Path, sector_size: u32) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::new(path.to_owned(), file, sector_size, false)
    }

    /// A block device that is already open, with O_DIRECT; `path` is for messages.
    pub fn over(path: PathBuf, file: File) -> io::Result<Self> {
        let sector_size = crate::sys::partition::logical_sector_size(&file)?;
        Self::new(path, file, sector_size, true)
    }

    fn new(path: PathBuf, mut file: File, sector_size: u32, direct: bool) -> io::Result<Self> {
        if !(512..=ALIGN as u32).contains(&sector_size) || !sector_size.is_power_of_two() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, format!("sector size {sector_size}")));
        }
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { path, file, sector_size, size, direct, kept: Vec::new() })
    }

    /// The same, with ranges that are never written.
    pub fn keeping(self, kept: Vec<Range<u64>>) -> Self {
        Self { kept, ..self }
    }

    pub fn file(&self) -> &File {
        &self.file
    }
}

/// A buffer whose returned range is aligned in memory.
fn aligned(length: usize) -> (Vec<u8>, std::ops::Range<usize>) {
    let buffer = vec![0u8; length + ALIGN];
    // Usable whatever the address: `align_offset` of a byte pointer is below ALIGN, or usize::MAX in const evaluation.
    let start = buffer.as_ptr().align_offset(ALIGN).min(ALIGN);
    (buffer, start..start + length)
}

impl Sectors for Device {
    fn path(&self) -> &Path {
        &self.path
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if !self.direct {
            return self.file.read_exact_at(buffer, offset);
        }
        let sector = u64::from(self.sector_size);
        let start = offset / sector * sector;
        let end = (offset + buffer.len() as u64).div_ceil(sector) * sector;
        let (mut memory, range) = aligned((end - start) as usize);
        let whole = memory.get_mut(range).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.read_exact_at(whole, start)?;
        let from = (offset - start) as usize;
        let wanted = whole.get(from..from + buffer.len()).ok_or(io::ErrorKind::InvalidInput)?;
        buffer.copy_from_slice(wanted);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let sector = u64::from(self.sector_size);
        if !offset.is_multiple_of(sector) || !(bytes.len() as u64).is_multiple_of(sector) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not whole sectors"));
        }
        // A file would grow silently.
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the disk"));
        }
        let end = offset + bytes.len() as u64;
        if self.kept.iter().any(|kept| kept.start < end && offset < kept.end) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "a partition is kept there"));
        }
        if !self.direct {
            return self.file.write_all_at(bytes, offset);
        }
        let (mut memory, range) = aligned(bytes.len());
        let whole = memory.get_mut(range).ok_or(io::ErrorKind::InvalidInput)?;
        whole.copy_from_slice(bytes);
        self.file.write_all_at(whole, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

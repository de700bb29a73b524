//! The storage that a partition table is read from and written to. A trait, so that tables can be edited in memory, and
//! tests can inject faults.

use std::io;
use std::path::Path;

/// A disk, or what stands for one. Offsets and lengths in bytes.
pub trait Sectors {
    /// For messages.
    fn path(&self) -> &Path;
    /// Logical sector size.
    fn sector_size(&self) -> u32;
    fn size(&self) -> u64;
    /// Fills `buffer` from `offset`, or fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`; offset and length are whole sectors.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Returns once everything written is on stable storage.
    fn flush(&self) -> io::Result<()>;
}

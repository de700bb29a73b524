//! A disk in memory that loses power, for tests.

use super::Sectors;
use std::cell::{Cell, RefCell};
use std::io;
use std::path::Path;

/// A disk in memory. Writes reach it at once, but those since the last flush are recorded, so that a power cut can lose
/// them.
#[derive(Debug)]
pub struct FaultDisk {
    pub sector: u32,
    pub bytes: RefCell<Vec<u8>>,
    /// Offset and old contents of writes that are not flushed yet.
    unflushed: RefCell<Vec<(u64, Vec<u8>)>>,
    /// Number of writes until the power fails.
    pub writes_left: Cell<u32>,
    pub writes: Cell<u32>,
    /// Silently discards writes from the start.
    pub deaf: bool,
}

impl FaultDisk {
    pub fn new(size: u64, sector: u32) -> Self {
        Self::of(vec![0; size as usize], sector)
    }

    pub fn of(bytes: Vec<u8>, sector: u32) -> Self {
        Self {
            sector,
            bytes: RefCell::new(bytes),
            unflushed: RefCell::default(),
            writes_left: Cell::new(u32::MAX),
            writes: Cell::new(0),
            deaf: false,
        }
    }

    /// A power cut: each sector written since the last flush is kept or lost as `keep` says.
    pub fn power_cut(self, mut keep: impl FnMut() -> bool) -> Self {
        let mut bytes = self.bytes.into_inner();
        for (offset, old) in self.unflushed.into_inner().into_iter().rev() {
            for (index, sector) in old.chunks(self.sector as usize).enumerate() {
                if !keep() {
                    let start = offset as usize + index * self.sector as usize;
                    bytes[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        Self::of(bytes, self.sector)
    }
}

impl Sectors for FaultDisk {
    fn path(&self) -> &Path {
        Path::new("memory")
    }
    fn sector_size(&self) -> u32 {
        self.sector
    }
    fn size(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.borrow();
        let from = bytes.get(offset as usize..offset as usize + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(from);
        Ok(())
    }
    fn write_at(&self, offset: u64, new: &[u8]) -> io::Result<()> {
        assert!(offset.is_multiple_of(self.sector.into()) && new.len().is_multiple_of(self.sector as usize));
        if self.deaf {
            return Ok(());
        }
        let Some(left) = self.writes_left.get().checked_sub(1) else { return Err(io::ErrorKind::Other.into()) };
        self.writes_left.set(left);
        self.writes.set(self.writes.get() + 1);
        let mut bytes = self.bytes.borrow_mut();
        let slot = bytes.get_mut(offset as usize..offset as usize + new.len()).ok_or(io::ErrorKind::WriteZero)?;
        self.unflushed.borrow_mut().push((offset, slot.to_vec()));
        slot.copy_from_slice(new);
        // The last write that was sent was cut short by the same power loss.
        if left == 0 { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }
    fn flush(&self) -> io::Result<()> {
        if self.writes_left.get() == 0 {
            return Err(io::ErrorKind::Other.into());
        }
        self.unflushed.borrow_mut().clear();
        Ok(())
    }
}

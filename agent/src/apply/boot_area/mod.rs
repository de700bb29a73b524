//! The parts that make a disk bootable, kept in memory until the order is done: its first and last MiB, with boot code,
//! partition table and backup table.
//!
//! From the first change on, both are zeros on the disk except for a mark in the first sector
//! ([`hwinventory::model::unfinished`]), which names the order and has no boot signature. Steps that read or change the
//! table use [`Shadowed`]. The kernel is told of partitions one by one (BLKPG) and reads no table. [`BootArea::commit`]
//! writes everything to the disk, the first sector last. If the work stops before that, firmware finds nothing on the
//! disk.
//!
//! If partitions are kept, a record of them ([`hwinventory::model::kept`]) is written after the mark and before the old
//! tables are removed, and stays until the first sector of the new system is written: at every moment one of them says
//! where they are.

mod error;
mod overlay;

pub use error::AreaError;

use crate::disk::{KeptRanges, KeptRecord};
use crate::finalize::adjust::Extent;
use crate::finalize::device::Sectors;
use overlay::Overlay;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes at each end of a disk that are withheld.
pub const LENGTH: u64 = 1 << 20;

/// The two ends of one disk.
#[derive(Debug)]
pub struct BootArea {
    /// Size and sector.
    shape: Mutex<(u64, u32)>,
    state: Mutex<State>,
    kept: Mutex<KeptRanges>,
    /// The old contents of its ends are gone, and the new ones are not yet written.
    begun: AtomicBool,
}

#[derive(Debug)]
enum State {
    /// Nothing has been changed yet, or everything has been written.
    OnDisk,
    Withheld(Overlay),
}

impl BootArea {
    pub fn new(size: u64, sector: u32) -> Self {
        Self::keeping(size, sector, KeptRanges::default())
    }

    /// For a disk with kept partitions.
    pub fn keeping(size: u64, sector: u32, kept: KeptRanges) -> Self {
        let (state, begun) = (Mutex::new(State::OnDisk), AtomicBool::new(false));
        Self { shape: Mutex::new((size, sector)), state, kept: Mutex::new(kept), begun }
    }

    /// The kept ranges on the disk.
    pub fn kept(&self) -> KeptRanges {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The record of kept partitions on the disk, from the first change until the order is done.
    pub fn remember(&self, record: KeptRecord) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = KeptRanges::new(kept.ranges().to_vec(), Some(record));
    }

    /// Lengths of head and tail in bytes: whole sectors, apart from each other.
    pub fn lengths(&self) -> (usize, usize) {
        let (size, sector) = self.shape();
        let sector = u64::from(sector.max(1));
        let head = LENGTH.min(size) / sector * sector;
        let tail = LENGTH.min(size - head) / sector * sector;
        let tail = size - self.kept().tail(size - tail).min(size);
        (usize::try_from(head).unwrap_or(0), usize::try_from(tail).unwrap_or(0))
    }

    fn shape(&self) -> (u64, u32) {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk at `device` now has another size and sector size, in bytes. Nothing may be withheld.
    pub fn reshape(&self, device: &Path, size: u64, sector: u32) -> Result<(), AreaError> {
        if self.is_withheld() {
            return Err(AreaError::Lengths { device: device.to_owned() });
        }
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = (size, sector);
        Ok(())
    }

    /// Takes the future contents of both ends, and leaves only the mark of `order` on the disk.
    pub fn withhold(&self, disk: &dyn Sectors, head: Vec<u8>, tail: Vec<u8>, order: &str) -> Result<(), AreaError> {
        let (size, sector) = self.shape();
        let overlay = Overlay::new(size, sector, head, tail)
            .ok_or_else(|| AreaError::Lengths { device: disk.path().to_owned() })?;
        let mut state = self.lock();
        self.begin();
        overlay.blank(disk, order, &self.kept())?;
        *state = State::Withheld(overlay);
        Ok(())
    }

    /// The same for a disk whose ends are to be empty for now.
    pub fn withhold_nothing(&self, disk: &dyn Sectors, order: &str) -> Result<(), AreaError> {
        let (head, tail) = self.lengths();
        self.withhold(disk, vec![0; head], vec![0; tail], order)
    }

    /// Writes the mark into the first sector, and zeros over the headers of a GPT: from here on firmware finds nothing.
    /// The rest stays.
    pub fn mark(&self, disk: &dyn Sectors, order: &str) -> Result<(), AreaError> {
        self.begin();
        overlay::mark(disk, order, &self.kept())
    }

    /// Takes both ends as they are on the disk.
    pub fn withhold_present(&self, disk: &dyn Sectors, order: &str) -> Result<(), AreaError> {
        let (head, tail) = self.lengths();
        let (mut head, mut tail) = (vec![0; head], vec![0; tail]);
        let failed = |source| AreaError::io(disk, "read", source);
        disk.read_at(0, &mut head).map_err(failed)?;
        disk.read_at(self.shape().0 - tail.len() as u64, &mut tail).map_err(failed)?;
        self.withhold(disk, head, tail, order)
    }

    /// Writes the parts inside of partitions to the disk, where the kernel reads them.
    pub fn release(&self, disk: &dyn Sectors, partitions: &[Extent]) -> Result<(), AreaError> {
        match &mut *self.lock() {
            State::OnDisk => Ok(()),
            State::Withheld(overlay) => overlay.release(disk, partitions, &self.kept()),
        }
    }

    /// Whether anything is waiting for [`BootArea::commit`].
    pub fn is_withheld(&self) -> bool {
        matches!(&*self.lock(), State::Withheld(_))
    }

    /// Another component has started writing to the disk.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether the order has started with this disk, and [`BootArea::commit`] has not finished it.
    pub fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Writes everything to the disk: the tail, the head without its first sector, the first sector, each flushed; then
    /// reads it all back. A failure is undone as far as possible. Does nothing if nothing is withheld.
    pub fn commit(&self, disk: &dyn Sectors, order: &str) -> Result<Option<Committed>, AreaError> {
        let mut state = self.lock();
        let State::Withheld(overlay) = &*state else { return Ok(None) };
        let kept = self.kept();
        if let Err(error) = overlay.commit(disk, &kept) {
            if let Err(error) = overlay.blank(disk, order, &kept) {
                log::error!("{error}");
            }
            return Err(error);
        }
        let committed = overlay.committed(disk.path());
        *state = State::OnDisk;
        self.begun.store(false, Ordering::Release);
        Ok(Some(committed))
    }

    /// The bytes of both ends, current or future.
    pub fn ends(&self, disk: &dyn Sectors) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (head, tail) = self.lengths();
        let (mut head, mut tail) = (vec![0; head], vec![0; tail]);
        let shadowed = Shadowed { disk, area: self };
        shadowed.read_at(0, &mut head)?;
        shadowed.read_at(self.shape().0 - tail.len() as u64, &mut tail)?;
        Ok((head, tail))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was written to the disk last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Committed {
    pub device: String,
    pub head_bytes: u64,
    pub tail_bytes: u64,
    /// SHA-256 over both, as read back.
    pub sha256: String,
    /// Size of both ends in bytes, including what was written and read back earlier.
    #[serde(skip)]
    pub whole: (u64, u64),
}

impl Committed {
    /// The part that belongs to an image of this length, on a disk of this size. Bytes.
    pub fn of_image(&self, image: u64, disk: u64) -> u64 {
        let (head, tail) = self.whole;
        let first = head.min(image);
        first + image.saturating_sub(disk.saturating_sub(tail).max(first)).min(tail)
    }
}

/// A disk with its withheld ends overlaid.
pub struct Shadowed<'a> {
    pub disk: &'a dyn Sectors,
    pub area: &'a BootArea,
}

impl std::fmt::Debug for Shadowed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shadowed").field(&self.disk.path()).finish()
    }
}

impl Sectors for Shadowed<'_> {
    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn sector_size(&self) -> u32 {
        self.disk.sector_size()
    }

    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &*self.area.lock() {
            State::OnDisk => self.disk.read_at(offset, buffer),
            State::Withheld(overlay) => overlay.read_at(self.disk, offset, buffer),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match &mut *self.area.lock() {
            State::OnDisk => self.disk.write_at(offset, bytes),
            State::Withheld(overlay) => overlay.write_at(self.disk, offset, bytes),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }
}

#[cfg(test)]
mod tests;

//! The parts that make a disk bootable, held in memory until the order is done: its first and last MiB, with boot code,
//! partition table and backup table.
//!
//! From the first change on, both are zeros on the disk but for a mark in the first sector
//! ([`hwinventory::model::unfinished`]), which says whose
//! work this is and carries no boot signature. Steps that read or change the table do it through [`Shadowed`]. The kernel
//! is told of partitions one by one (BLKPG) and reads no table. [`BootArea::commit`] puts everything on the disk, the
//! first sector last of all. Whatever stops the work before leaves a disk that firmware finds nothing on.
//!
//! Where partitions are kept, their record ([`hwinventory::model::kept`]) follows the mark to the disk before the old tables
//! go, and stays until the first sector of the new system is there: at every moment one of them says where they are.

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

/// One disk's two ends.
#[derive(Debug)]
pub struct BootArea {
    /// Size and sector.
    shape: Mutex<(u64, u32)>,
    state: Mutex<State>,
    kept: Mutex<KeptRanges>,
    /// What was at its ends is gone, and what shall be there is not there yet.
    begun: AtomicBool,
}

#[derive(Debug)]
enum State {
    /// Nothing was changed yet, or all of it is there.
    OnDisk,
    Withheld(Overlay),
}

impl BootArea {
    pub fn new(size: u64, sector: u32) -> Self {
        Self::keeping(size, sector, KeptRanges::default())
    }

    /// Of a disk on which something stays.
    pub fn keeping(size: u64, sector: u32, kept: KeptRanges) -> Self {
        let (state, begun) = (Mutex::new(State::OnDisk), AtomicBool::new(false));
        Self { shape: Mutex::new((size, sector)), state, kept: Mutex::new(kept), begun }
    }

    /// What stays on the disk.
    pub fn kept(&self) -> KeptRanges {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the disk remembers of it, from the first change on until it is done.
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

    /// The disk at `device` has another size and other sectors from now on, in bytes. Nothing may be withheld.
    pub fn reshape(&self, device: &Path, size: u64, sector: u32) -> Result<(), AreaError> {
        if self.is_withheld() {
            return Err(AreaError::Lengths { device: device.to_owned() });
        }
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = (size, sector);
        Ok(())
    }

    /// Takes what shall be at both ends, and sees to it that on the disk there is nothing but the mark of `order`.
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

    /// The same of a disk that shall have nothing at its ends so far.
    pub fn withhold_nothing(&self, disk: &dyn Sectors, order: &str) -> Result<(), AreaError> {
        let (head, tail) = self.lengths();
        self.withhold(disk, vec![0; head], vec![0; tail], order)
    }

    /// Puts the mark into the first sector, and zeros where a GPT has its headers: firmware finds nothing from here on. What
    /// else there is stays.
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

    /// What lies inside of partitions is theirs, and the kernel reads it from the disk.
    pub fn release(&self, disk: &dyn Sectors, partitions: &[Extent]) -> Result<(), AreaError> {
        match &mut *self.lock() {
            State::OnDisk => Ok(()),
            State::Withheld(overlay) => overlay.release(disk, partitions, &self.kept()),
        }
    }

    /// Whether something waits for [`BootArea::commit`].
    pub fn is_withheld(&self) -> bool {
        matches!(&*self.lock(), State::Withheld(_))
    }

    /// Somebody else has begun with it.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether the order has begun with this disk, and [`BootArea::commit`] has not ended it.
    pub fn is_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Everything to the disk: the tail, the head but for its first sector, the first sector, each flushed; then all is
    /// read back. What fails is undone as far as the disk obeys. Nothing to do where nothing is withheld.
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

    /// The bytes of both ends as they are, or as they shall be.
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

/// What came to the disk last.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Committed {
    pub device: String,
    pub head_bytes: u64,
    pub tail_bytes: u64,
    /// SHA-256 over both, as they were read back.
    pub sha256: String,
    /// Both ends with what of them was let go to the disk before, and read back there. Bytes.
    #[serde(skip)]
    pub whole: (u64, u64),
}

impl Committed {
    /// How much of it is an image's: of this length, on a disk of this size. Bytes.
    pub fn of_image(&self, image: u64, disk: u64) -> u64 {
        let (head, tail) = self.whole;
        let first = head.min(image);
        first + image.saturating_sub(disk.saturating_sub(tail).max(first)).min(tail)
    }
}

/// A disk with its withheld ends laid over it.
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

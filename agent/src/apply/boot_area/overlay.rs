//! Bytes laid over the two ends of a disk.

use super::{AreaError, Committed};
use crate::disk::KeptRanges;
use crate::finalize::adjust::Extent;
use crate::finalize::device::Sectors;
use crate::finalize::gpt::Header;
use hwinventory::model::{kept as record, unfinished};
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// Head from byte 0, tail to the last byte; whole sectors each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    size: u64,
    sector: usize,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Lengths of both before parts were written to the disk and compared.
    whole: (u64, u64),
}

impl Overlay {
    /// `None` if they are not whole sectors, overlap, or lack the first sector.
    pub fn new(size: u64, sector: u32, head: Vec<u8>, tail: Vec<u8>) -> Option<Self> {
        let sector = sector as usize;
        let whole = |bytes: &[u8]| sector > 0 && bytes.len().is_multiple_of(sector);
        let fits = (head.len() + tail.len()) as u64 <= size && head.len() >= sector;
        let lengths = (head.len() as u64, tail.len() as u64);
        (whole(&head) && whole(&tail) && fits).then_some(Self { size, sector, head, tail, whole: lengths })
    }

    fn tail_start(&self) -> u64 {
        self.size - self.tail.len() as u64
    }

    pub fn read_at(&self, disk: &dyn Sectors, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (before, middle, after) = self.split(offset, buffer.len())?;
        let (first, rest) = buffer.split_at_mut(before);
        let (second, third) = rest.split_at_mut(middle);
        copy(first, &self.head, offset)?;
        if middle > 0 {
            disk.read_at(offset + before as u64, second)?;
        }
        if after > 0 {
            copy(third, &self.tail, offset + (before + middle) as u64 - self.tail_start())?;
        }
        Ok(())
    }

    pub fn write_at(&mut self, disk: &dyn Sectors, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (before, middle, after) = self.split(offset, bytes.len())?;
        let (first, rest) = bytes.split_at(before);
        let (second, third) = rest.split_at(middle);
        put(&mut self.head, first, offset)?;
        if middle > 0 {
            disk.write_at(offset + before as u64, second)?;
        }
        if after > 0 {
            let at = offset + (before + middle) as u64 - self.tail_start();
            put(&mut self.tail, third, at)?;
        }
        Ok(())
    }

    /// How many bytes of a range are in the head, on the disk, and in the tail.
    fn split(&self, offset: u64, length: usize) -> io::Result<(usize, usize, usize)> {
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size);
        let end = end.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "beyond the end of the disk"))?;
        let (head, tail) = (self.head.len() as u64, self.tail_start());
        let before = head.clamp(offset, end) - offset;
        let after = end - tail.clamp(offset, end);
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Ok((number(before), length.saturating_sub(number(before + after)), number(after)))
    }

    /// Zeros both ends on the disk, except for the mark in the first sector and the record of kept partitions, and
    /// verifies that.
    pub fn blank(&self, disk: &dyn Sectors, order: &str, kept: &KeptRanges) -> Result<(), AreaError> {
        let mut head = unfinished::mark(order).to_vec();
        head.resize(self.head.len().max(self.sector), 0);
        kept.put_record(&mut head);
        begin(disk, head.get(..self.sector).unwrap_or_default(), kept)?;
        // The first sector first: without it firmware does not look further.
        let tail = vec![0; self.tail.len()];
        let (first, rest) = head.split_at(self.sector);
        for (at, bytes) in [(0, first), (self.sector as u64, rest), (self.tail_start(), tail.as_slice())] {
            write(disk, at, bytes)?;
        }
        compare(disk, 0, &head)?;
        compare(disk, self.tail_start(), &tail)
    }

    /// Writes what lies inside of partitions to the disk, and drops it here. A partition that begins before the end of
    /// the table belongs to a hybrid image and covers the whole disk: it is not written. If the disk has a record of
    /// kept partitions, only a boot loader's partition may lie there, which is not read through the kernel.
    pub fn release(&mut self, disk: &dyn Sectors, partitions: &[Extent], kept: &KeptRanges) -> Result<(), AreaError> {
        let floor = if kept.record().is_some() { self.head.len() as u64 } else { self.table_end() };
        let inner = || partitions.iter().filter(|one| one.start >= floor && one.length > 0);
        let first = inner().map(|one| one.start).min().and_then(|start| usize::try_from(start).ok());
        if let Some(start) = first.filter(|start| *start < self.head.len()) {
            let start = start / self.sector * self.sector;
            let bytes = self.head.get(start..).unwrap_or_default();
            write(disk, start as u64, bytes)?;
            compare(disk, start as u64, bytes)?;
            self.head.truncate(start);
        }
        let end = inner().map(|one| one.start.saturating_add(one.length)).max().unwrap_or(0).min(self.size);
        let tail = self.tail_start();
        if end > tail {
            let count = usize::try_from(end - tail).unwrap_or(0).next_multiple_of(self.sector).min(self.tail.len());
            let bytes = self.tail.get(..count).unwrap_or_default();
            write(disk, tail, bytes)?;
            compare(disk, tail, bytes)?;
            self.tail.drain(..count);
        }
        Ok(())
    }

    /// End of the primary table in bytes: the end of the GPT's array, or else of the first sector.
    fn table_end(&self) -> u64 {
        let sector = self.sector as u64;
        let header = self.head.get(self.sector..self.sector * 2).and_then(|sector| Header::parse(sector).ok());
        let end = header.map(|header| {
            header.array_lba.saturating_add(header.array_sectors(u32::try_from(self.sector).unwrap_or(512)))
        });
        end.map_or(sector, |lba| lba.saturating_mul(sector))
    }

    /// The record of kept partitions is removed once the new table is in place, unless other data belongs there.
    pub fn commit(&self, disk: &dyn Sectors, kept: &KeptRanges) -> Result<(), AreaError> {
        let sector = self.sector.min(self.head.len());
        let later = kept.record().and_then(|record| {
            let range = usize::try_from(record.range().start).ok()?..usize::try_from(record.range().end).ok()?;
            let nothing = self.head.get(range.clone())?.iter().all(|byte| *byte == 0);
            nothing.then_some(range)
        });
        let later = later.unwrap_or(self.head.len()..self.head.len());
        write(disk, self.tail_start(), &self.tail)?;
        for range in [sector..later.start, later.end..self.head.len(), 0..sector, later] {
            write(disk, range.start as u64, self.head.get(range).unwrap_or_default())?;
        }
        compare(disk, self.tail_start(), &self.tail)?;
        compare(disk, 0, &self.head)
    }

    pub fn committed(&self, device: &Path) -> Committed {
        let mut digest = Sha256::new();
        digest.update(&self.head);
        digest.update(&self.tail);
        Committed {
            device: device.display().to_string(),
            head_bytes: self.head.len() as u64,
            tail_bytes: self.tail.len() as u64,
            sha256: crate::protocol::hex(digest.finalize()),
            whole: self.whole,
        }
    }
}

/// Where El Torito's volume descriptor would be (El Torito 1.0, "Boot Record Volume").
const EL_TORITO: u64 = 17 * 2048;
const VOLUME: u64 = 16 * 2048;

/// Writes the mark and, right after it, the record of kept partitions. Anything else that looks like a record is
/// removed first, because the mark would make it valid. If there already is a mark, the existing record is valid and
/// stays.
fn begin(disk: &dyn Sectors, first: &[u8], kept: &KeptRanges) -> Result<(), AreaError> {
    let mut now = vec![0; first.len()];
    disk.read_at(0, &mut now).map_err(|source| AreaError::io(disk, "read", source))?;
    if unfinished::parse(&now).is_none() && disk.size() >= super::LENGTH {
        for place in record::PLACES {
            let mut slot = vec![0; record::SLOT];
            disk.read_at(place, &mut slot).map_err(|source| AreaError::io(disk, "read", source))?;
            if record::parse(&slot).is_some() {
                write(disk, place, &vec![0; record::SLOT])?;
            }
        }
    }
    write(disk, 0, first)?;
    compare(disk, 0, first)?;
    match kept.record() {
        None => Ok(()),
        Some(record) => {
            write(disk, record.place, &record.bytes)?;
            compare(disk, record.place, &record.bytes)
        }
    }
}

/// The mark, and zeros over GPT headers and the descriptors of a CD filesystem.
pub fn mark(disk: &dyn Sectors, order: &str, kept: &KeptRanges) -> Result<(), AreaError> {
    let sector = disk.sector_size() as usize;
    let mut first = unfinished::mark(order).to_vec();
    first.resize(sector, 0);
    let zeros = vec![0; sector];
    let descriptors = [VOLUME, EL_TORITO].map(|at| at / sector as u64 * sector as u64);
    let last = disk.size().saturating_sub(sector as u64);
    begin(disk, &first, kept)?;
    let places = [(sector as u64, &zeros), (last, &zeros)];
    let descriptors = descriptors.iter().filter(|at| **at < last).map(|at| (*at, &zeros));
    for (at, bytes) in places.into_iter().chain(descriptors) {
        write(disk, at, bytes)?;
        compare(disk, at, bytes)?;
    }
    Ok(())
}

/// Writes and flushes.
fn write(disk: &dyn Sectors, offset: u64, bytes: &[u8]) -> Result<(), AreaError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let written = disk.write_at(offset, bytes).and_then(|()| disk.flush());
    written.map_err(|source| AreaError::io(disk, "written", source))
}

fn compare(disk: &dyn Sectors, offset: u64, wanted: &[u8]) -> Result<(), AreaError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut found = vec![0; wanted.len()];
    disk.read_at(offset, &mut found).map_err(|source| AreaError::io(disk, "read back", source))?;
    if found == wanted { Ok(()) } else { Err(AreaError::ReadBack { device: disk.path().to_owned() }) }
}

fn copy(to: &mut [u8], from: &[u8], at: u64) -> io::Result<()> {
    if to.is_empty() {
        return Ok(());
    }
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let from = at.checked_add(to.len()).and_then(|end| from.get(at..end)).ok_or(io::ErrorKind::InvalidInput)?;
    to.copy_from_slice(from);
    Ok(())
}

fn put(to: &mut [u8], bytes: &[u8], at: u64) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let at = usize::try_from(at).unwrap_or(usize::MAX);
    let place = at.checked_add(bytes.len()).and_then(|end| to.get_mut(at..end));
    place.ok_or(io::ErrorKind::InvalidInput)?.copy_from_slice(bytes);
    Ok(())
}

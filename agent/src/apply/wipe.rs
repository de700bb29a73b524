//! Wipes every place where a partition table, filesystem, RAID, LVM or LUKS keeps its signature.

use super::ApplyError;
use super::bound::{Access, BoundDisk, Part, Proven};
use crate::disk::{CHUNK, Target, wipe, zero};
use crate::finalize::adjust::{Extent, TableReceipt};
use crate::finalize::filesystem;
use crate::image::ImageError;
use crate::protocol::plan::{Existing, PlannedPartition};
use crate::sys::aligned::AlignedBuf;
use hwinventory::model::unfinished;
use serde::Serialize;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// btrfs keeps copies of its superblock at these distances from its start (btrfs on-disk format, "Superblock";
/// `btrfs_sb_offset` in fs/btrfs/volumes.h), and recovery tools find them.
const BTRFS_COPIES: [u64; 2] = [64 << 20, 256 << 30];
const BTRFS_SUPERBLOCK: u64 = 4096;

/// What was erased, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WipeReceipt {
    pub device: String,
    /// Number of old partitions whose ends were erased too.
    pub partitions: usize,
    pub zeroed_bytes: u64,
}

/// Erases both ends of the disk, which are withheld from then on, and of each partition that it has or had when the
/// plan was made. What firmware looks for goes first, because a disk that has lost part of its old contents must not
/// boot. The entries of an old GPT go last, so that after an interruption the next run still finds the old partitions.
/// Those of an old MBR are removed with its boot sector.
pub fn disk(disk: &BoundDisk, existing: &Existing, order: &str) -> Result<WipeReceipt, ApplyError> {
    let target = disk.target()?;
    let known = existing.partitions.iter().map(|old| old.start..old.start.saturating_add(old.size));
    let mut stale: Vec<Range<u64>> = wipe::old_partitions(&target).into_iter().chain(known).collect();
    if stale.is_empty() {
        stale = wipe::headless_partitions(&target, |head| unfinished::parse(head).is_some());
    }
    let ranges = signatures(0..target.size(), &stale);
    drop(target);
    disk.tell_kernel(&[])?;
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    disk.area().mark(&device, order)?;
    drop(device);
    let (head, _) = disk.area().lengths();
    let kept = disk.area().kept();
    let ranges = clipped(&ranges, head as u64..disk.size()).into_iter().flat_map(|range| kept.outside(range));
    let zeroed_bytes = head as u64 + erase(&disk.target()?, &ranges.collect::<Vec<_>>())?;
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    disk.area().withhold_nothing(&device, order)?;
    drop(device);
    let proven = disk.open(Part::Whole, Access::Read)?;
    if let Some(found) = filesystem::probe(proven.node())?.kind {
        return Err(ApplyError::Signature { device: disk.name().to_owned(), found });
    }
    Ok(WipeReceipt { device: proven.device(), partitions: stale.len(), zeroed_bytes })
}

/// Erases the ends of new partitions, where something older may lie.
pub fn partitions(disk: &BoundDisk, new: &[PlannedPartition]) -> Result<(), ApplyError> {
    let target = disk.target()?;
    for partition in new {
        let start = partition.start.unwrap_or(0);
        let end = start.saturating_add(partition.size).min(target.size());
        erase(&target, &inside(start..end))?;
    }
    Ok(())
}

/// Erases the end of the space that partitions have gained. An older table or an interrupted attempt may have left an
/// array's superblock there, which would become valid again.
pub fn gained(disk: &BoundDisk, table: &TableReceipt) -> Result<(), ApplyError> {
    let target = disk.target()?;
    for change in &table.changed {
        let Some(before) = &change.before else { continue };
        let end = |one: &Extent| one.start.saturating_add(one.length).min(target.size());
        let (old, new) = (end(before), end(&change.after));
        if new > old {
            let end = new.saturating_sub(wipe::MARGIN).max(old)..new;
            erase(&target, std::slice::from_ref(&end))?;
        }
    }
    Ok(())
}

/// Erases both ends of an array that was just made, because old contents of its members show through. Returns the
/// array's size in bytes.
pub fn array(array: &Proven) -> Result<u64, ApplyError> {
    let target = Target::open_device_as(array.node(), array.name()).map_err(ImageError::from)?;
    erase(&target, &inside(0..target.size()))?;
    Ok(target.size())
}

/// Where signatures may be: on the whole device and on each of the areas, sorted.
fn signatures(device: Range<u64>, areas: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut ranges = wipe::beyond(device.start, device.end, areas);
    for area in areas.iter().chain([&device]) {
        let copies = BTRFS_COPIES.map(|at| area.start.saturating_add(at));
        let copies = copies.map(|at| at..at.saturating_add(BTRFS_SUPERBLOCK).min(area.end).min(device.end));
        ranges.extend(copies.into_iter().filter(|copy| copy.start < copy.end));
    }
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// The parts of the ranges that are within `to`.
fn clipped(ranges: &[Range<u64>], to: Range<u64>) -> Vec<Range<u64>> {
    let clipped = ranges.iter().map(|range| range.start.max(to.start)..range.end.min(to.end));
    clipped.filter(|range| range.start < range.end).collect()
}

/// Where signatures may be in an area that contains no others.
fn inside(area: Range<u64>) -> Vec<Range<u64>> {
    signatures(area, &[])
}

/// Zeros the ranges from last to first, flushes each one before the next, and reads them back.
fn erase(target: &Target, ranges: &[Range<u64>]) -> Result<u64, ApplyError> {
    let failed = |offset| move |source| ApplyError::Erase { device: target.path().to_owned(), offset, source };
    let sector = u64::from(target.sector());
    let file = target.file();
    let zeros = AlignedBuf::zeroed(CHUNK);
    let mut back = AlignedBuf::zeroed(CHUNK);
    let mut total = 0;
    for range in ranges.iter().rev() {
        // Partitions of a table for another sector size may start within a sector.
        let end = range.end.next_multiple_of(sector).min(target.direct_size());
        let mut offset = range.start / sector * sector;
        while offset < end {
            let len = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
            target.may_write(offset, len as u64).map_err(ImageError::from)?;
            file.write_all_at(&zeros[..len], offset).map_err(failed(offset))?;
            file.sync_data().map_err(failed(offset))?;
            file.read_exact_at(&mut back[..len], offset).map_err(failed(offset))?;
            if !zero::is_zero(&back[..len]) {
                return Err(failed(offset)(std::io::Error::other("the old bytes are still there")));
            }
            offset += len as u64;
            total += len as u64;
        }
    }
    Ok(total)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges are what is meant")]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn both_ends_and_the_copies_of_btrfs() {
        let copy = |at: u64| at..at + BTRFS_SUPERBLOCK;
        let (size, old) = (100 * MIB, 3 * MIB..80 * MIB);
        let wanted =
            [0..MIB, 3 * MIB..4 * MIB, copy(64 * MIB), copy(67 * MIB), 79 * MIB..80 * MIB, 99 * MIB..100 * MIB];
        assert_eq!(signatures(0..size, &[old]), wanted);
        // An area that ends before a copy, and one that claims to extend beyond the disk.
        assert_eq!(inside(0..64 * MIB), [0..MIB, 63 * MIB..64 * MIB]);
        assert_eq!(inside(MIB..65 * MIB + 512).last(), Some(&(65 * MIB..65 * MIB + 512)));
        let ranges = signatures(0..300 << 30, &[MIB..u64::MAX]);
        assert!(ranges.contains(&copy((256 << 30) + MIB)) && ranges.contains(&copy(256 << 30)), "{ranges:?}");
        assert!(ranges.iter().all(|range| range.end <= 300 << 30));
    }
}

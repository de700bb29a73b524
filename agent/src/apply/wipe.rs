//! Making a disk forget: every place where a partition table, filesystem, RAID, LVM or LUKS keeps its signature.

use super::{ApplyError, Context};
use crate::disk::{CHUNK, Target, wipe, zero};
use crate::finalize::filesystem;
use crate::finalize::kernel::KernelDisk;
use crate::image::ImageError;
use crate::protocol::plan::{PlannedDisk, PlannedPartition};
use crate::sys::aligned::AlignedBuf;
use serde::Serialize;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What was erased. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WipeReceipt {
    pub device: String,
    /// Old partitions whose ends were erased too.
    pub partitions: usize,
    pub zeroed_bytes: u64,
}

/// Both ends of the disk, and of each partition that it has or had when the plan was made. The primary partition table
/// goes last: killed before, a new run still finds the old partitions.
pub fn disk(context: &Context<'_>, disk: &PlannedDisk) -> Result<WipeReceipt, ApplyError> {
    let path = context.path(disk);
    let target = target(context, disk)?;
    let known = disk.existing.partitions.iter().map(|old| old.start..old.start.saturating_add(old.size));
    let stale: Vec<Range<u64>> = wipe::old_partitions(&target).into_iter().chain(known).collect();
    let ranges = wipe::beyond(0, target.size(), &stale);
    KernelDisk::open(&path, &context.paths.sys, &context.paths.dev)?.sync(&[])?;
    let zeroed_bytes = erase(&target, &ranges)?;
    drop(target);
    if let Some(found) = filesystem::probe(&path)?.kind {
        return Err(ApplyError::Signature { device: path, found });
    }
    Ok(WipeReceipt { device: path.display().to_string(), partitions: stale.len(), zeroed_bytes })
}

/// The ends of partitions that are about to be: what lay there may be the inside of something older.
pub fn partitions(context: &Context<'_>, disk: &PlannedDisk, new: &[PlannedPartition]) -> Result<(), ApplyError> {
    let target = target(context, disk)?;
    for partition in new {
        let start = partition.start.unwrap_or(0);
        let end = start.saturating_add(partition.size).min(target.size());
        erase(&target, &wipe::beyond(start, end, &[]))?;
    }
    Ok(())
}

/// Both ends of an array that was just made: old contents of its members show through.
pub fn array(path: &Path) -> Result<u64, ApplyError> {
    let target = Target::open_device(path).map_err(ImageError::from)?;
    erase(&target, &wipe::beyond(0, target.size(), &[]))
}

/// Opened exclusively, and of the size that the plan was made for.
fn target(context: &Context<'_>, disk: &PlannedDisk) -> Result<Target, ApplyError> {
    let path = context.path(disk);
    let target = Target::open_device(&path).map_err(ImageError::from)?;
    let sector = (u64::from(disk.logical_block_size), u64::from(target.sector()));
    for (what, (planned, found)) in [("bytes large", (disk.size, target.size())), ("bytes a sector", sector)] {
        if planned != found {
            return Err(ApplyError::Geometry { device: path, what, planned, found });
        }
    }
    Ok(target)
}

/// Zeros the ranges from the last to the first, each on the medium before the next, and reads them back.
fn erase(target: &Target, ranges: &[Range<u64>]) -> Result<u64, ApplyError> {
    let failed = |offset| move |source| ApplyError::Erase { device: target.path().to_owned(), offset, source };
    let sector = u64::from(target.sector());
    let file = target.file();
    let zeros = AlignedBuf::zeroed(CHUNK);
    let mut back = AlignedBuf::zeroed(CHUNK);
    let mut total = 0;
    for range in ranges.iter().rev() {
        // A table made for other sectors has partitions that do not begin where ours do.
        let end = range.end.next_multiple_of(sector).min(target.direct_size());
        let mut offset = range.start / sector * sector;
        while offset < end {
            let len = usize::try_from(end - offset).unwrap_or(CHUNK).min(CHUNK);
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

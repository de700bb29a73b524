//! Overwrites a disk with zeros and reads them back.

use super::progress::Teller;
use super::{ApplyError, EraseReceipt, Work};
use crate::apply::bound::BoundDisk;
use crate::disk::{CHUNK, KeptRanges, Target, zero};
use crate::image::ImageError;
use crate::protocol::image::Verify;
use crate::sys::aligned::AlignedBuf;
use nix::fcntl::{FallocateFlags, fallocate};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// What the kernel is asked for at once: between two of them the step can be called off.
const PIECE: u64 = 64 << 20;

/// All of it but the mark of the order, which is there already, and what is kept.
pub fn erase(disk: &BoundDisk, work: &Work, verify: Verify) -> Result<EraseReceipt, ApplyError> {
    let target = disk.target()?;
    let ranges = ranges(target.kept(), u64::from(target.sector()), target.direct_size());
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let read_back = verify == Verify::Readback;
    let device = target.path().display().to_string();
    let all = if read_back { total * 2 } else { total };
    let mut teller = Teller::new(device.clone(), total, &work.emitter);
    let mut erased = 0;
    for piece in pieces(&ranges, PIECE) {
        may_go_on(work)?;
        target.may_write(piece.start, piece.end - piece.start).map_err(ImageError::from)?;
        overwrite(&target, &piece).map_err(|source| failed(&target, piece.start, source))?;
        erased += piece.end - piece.start;
        teller.tell(erased, 0, all);
    }
    target.file().sync_data().map_err(|source| failed(&target, 0, source))?;
    let (mut verified, mut back) = (0, AlignedBuf::zeroed(CHUNK));
    for piece in pieces(&ranges, CHUNK as u64).filter(|_| read_back) {
        may_go_on(work)?;
        let bytes = usize::try_from(piece.end - piece.start).ok().and_then(|length| back.get_mut(..length));
        let bytes = bytes.ok_or_else(|| failed(&target, piece.start, io::ErrorKind::InvalidInput.into()))?;
        target.file().read_exact_at(bytes, piece.start).map_err(|source| failed(&target, piece.start, source))?;
        if !zero::is_zero(bytes) {
            return Err(ApplyError::NotErased { device: target.path().to_owned(), offset: piece.start });
        }
        verified += piece.end - piece.start;
        teller.tell(erased, verified, all);
    }
    Ok(EraseReceipt { device, method: "zeros", erased_bytes: erased, verified_bytes: verified })
}

/// BLKZEROOUT by another name: zeros are written, and not left to a discard.
fn overwrite(target: &Target, piece: &Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_ZERO_RANGE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let number = |bytes: u64| i64::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    Ok(fallocate(target.file(), flags, number(piece.start)?, number(piece.end - piece.start)?)?)
}

fn may_go_on(work: &Work) -> Result<(), ApplyError> {
    if work.cancel.is_cancelled() { Err(ApplyError::Cancelled) } else { Ok(()) }
}

fn failed(target: &Target, offset: u64, source: io::Error) -> ApplyError {
    ApplyError::Erase { device: target.path().to_owned(), offset, source }
}

/// What is erased of a disk of this size: not the first sector, with the mark, nor the record of what is kept.
fn ranges(kept: &KeptRanges, sector: u64, size: u64) -> Vec<Range<u64>> {
    let record = kept.record().map(|record| record.range());
    let spared = KeptRanges::new(kept.ranges().iter().cloned().chain(record), None);
    spared.outside(sector.min(size)..size)
}

/// The same, in pieces of at most so many bytes.
fn pieces(ranges: &[Range<u64>], most: u64) -> impl Iterator<Item = Range<u64>> {
    ranges.iter().cloned().flat_map(move |range| {
        let end = range.end;
        (range.start..end)
            .step_by(usize::try_from(most).unwrap_or(usize::MAX))
            .map(move |start| start..start.saturating_add(most).min(end))
    })
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges are what is meant")]
mod tests {
    use super::*;
    use crate::disk::KeptRecord;

    #[test]
    fn everything_goes_but_the_mark_the_record_and_what_is_kept() {
        let record = KeptRecord { place: 4096, bytes: vec![1; 1024], stale: vec![0..8192] };
        let kept = KeptRanges::new([20_480..24_576], Some(record));
        assert_eq!(ranges(&kept, 512, 40_960), [512..4096, 5120..20_480, 24_576..40_960]);
        assert_eq!(ranges(&KeptRanges::default(), 4096, 40_960), [4096..40_960]);
        assert!(ranges(&KeptRanges::default(), 512, 512).is_empty());
    }

    #[test]
    fn pieces_cover_the_ranges_and_nothing_else() {
        let all: Vec<Range<u64>> = pieces(&[1..4, 10..15, 20..20], 2).collect();
        assert_eq!(all, [1..3, 3..4, 10..12, 12..14, 14..15]);
    }
}

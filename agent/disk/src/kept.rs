//! Ranges of a device that must never be written, and the on-disk record of them.

use super::{DiskError, Target};
use std::ops::Range;

/// The ranges that stay on a device; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptRanges {
    /// In bytes, sorted and disjoint; whole sectors, after the first MiB.
    ranges: Vec<Range<u64>>,
    record: Option<KeptRecord>,
}

/// The record in the first MiB, besides the mark, while the ends of the device are withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRecord {
    pub place: u64,
    pub bytes: Vec<u8>,
    /// Where an outdated record may be: zeroed before the mark would make it valid again.
    pub stale: Vec<Range<u64>>,
}

impl KeptRecord {
    /// The bytes that it occupies.
    pub fn range(&self) -> Range<u64> {
        self.place..self.place.saturating_add(self.bytes.len() as u64)
    }
}

impl KeptRanges {
    pub fn new(ranges: impl IntoIterator<Item = Range<u64>>, record: Option<KeptRecord>) -> Self {
        let mut ranges: Vec<Range<u64>> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        ranges.sort_by_key(|range| range.start);
        Self { ranges, record }
    }

    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    pub fn record(&self) -> Option<&KeptRecord> {
        self.record.as_ref()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The first kept range that overlaps these bytes.
    pub fn hit(&self, bytes: &Range<u64>) -> Option<&Range<u64>> {
        self.ranges.iter().find(|kept| kept.start < bytes.end && bytes.start < kept.end)
    }

    /// The parts of these bytes that may be written.
    pub fn outside(&self, bytes: Range<u64>) -> Vec<Range<u64>> {
        let (mut outside, mut start) = (Vec::new(), bytes.start);
        for kept in self.ranges.iter().filter(|kept| kept.start < bytes.end && bytes.start < kept.end) {
            outside.push(start..kept.start.max(start));
            start = start.max(kept.end);
        }
        outside.push(start..bytes.end.max(start));
        outside.retain(|range| !range.is_empty());
        outside
    }

    /// Where the withheld end of a device of this size may begin, at `tail` or later: behind everything that is kept.
    pub fn tail(&self, tail: u64) -> u64 {
        self.ranges.last().map_or(tail, |last| last.end.max(tail))
    }

    /// Puts the record at its position in the first bytes of a device.
    pub fn put_record(&self, head: &mut [u8]) {
        let Some(record) = self.record() else { return };
        let start = usize::try_from(record.place).unwrap_or(usize::MAX);
        if let Some(slot) = start.checked_add(record.bytes.len()).and_then(|end| head.get_mut(start..end)) {
            slot.copy_from_slice(&record.bytes);
        }
    }
}

impl Target {
    /// Refuses to write to kept ranges: the last check before the kernel.
    pub fn may_write(&self, offset: u64, length: u64) -> Result<(), DiskError> {
        match self.kept().hit(&(offset..offset.saturating_add(length))) {
            Some(kept) => Err(DiskError::Kept { device: self.path().to_owned(), offset, kept: kept.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "lists of ranges are what is meant")]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_cut_out() {
        let kept = KeptRanges::new([50..60, 20..30], None);
        assert_eq!(kept.outside(0..100), [0..20, 30..50, 60..100]);
        assert_eq!(kept.outside(20..30), []);
        assert_eq!(kept.outside(25..55), [30..50]);
        assert_eq!(kept.outside(60..70), [60..70]);
        assert_eq!((kept.hit(&(30..50)), kept.hit(&(29..31))), (None, Some(&(20..30))));
        assert_eq!((kept.tail(40), kept.tail(80), KeptRanges::default().tail(80)), (60, 80, 80));
    }

    proptest::proptest! {
        #[test]
        fn nothing_else_is_cut_out(ranges in proptest::collection::vec((0u64..100, 1u64..20), 0..5), a in 0u64..120, b in 0u64..120) {
            let kept = KeptRanges::new(ranges.iter().map(|(start, length)| *start..start + length), None);
            let outside = kept.outside(a.min(b)..a.max(b));
            for byte in 0..140u64 {
                let inside = (a.min(b)..a.max(b)).contains(&byte);
                let is_kept = ranges.iter().any(|(start, length)| (*start..start + length).contains(&byte));
                proptest::prop_assert_eq!(outside.iter().any(|range| range.contains(&byte)), inside && !is_kept, "{}", byte);
            }
            proptest::prop_assert!(outside.windows(2).all(|two| two[0].end <= two[1].start));
        }
    }
}

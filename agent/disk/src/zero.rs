//! Finding runs of zeros.

use std::ops::Range;

/// Unit of the scan; every logical sector size divides it.
pub const BLOCK: usize = 4096;

/// Shorter runs within data are written along with it, because a hole costs a request of its own.
const SHORTEST_HOLE: usize = 64 * 1024;

/// Whether all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // The compiler vectorises operations on 64-byte lanes; for most data the first lane decides.
    let mut lanes = bytes.chunks_exact(64);
    lanes.all(|lane| lane.iter().fold(0, |all, byte| all | byte) == 0)
        && lanes.remainder().iter().all(|byte| *byte == 0)
}

/// A stretch of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub range: Range<usize>,
    pub zero: bool,
}

/// Splits a chunk into data and holes. Ranges are adjacent, cover everything, and start at multiples of [`BLOCK`].
pub fn segments(bytes: &[u8]) -> Vec<Segment> {
    let mut runs: Vec<Segment> = Vec::new();
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        let zero = is_zero(block);
        match runs.last_mut() {
            Some(last) if last.zero == zero => last.range.end = start + block.len(),
            _ => runs.push(Segment { range: start..start + block.len(), zero }),
        }
    }
    if runs.len() == 1 {
        return runs;
    }
    let mut merged: Vec<Segment> = Vec::new();
    for mut run in runs {
        run.zero &= run.range.len() >= SHORTEST_HOLE;
        match merged.last_mut() {
            Some(last) if last.zero == run.zero => last.range.end = run.range.end,
            _ => merged.push(run),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_byte_anywhere_is_seen() {
        for len in [1, 63, 64, 65, 4096, 4097] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in [0, len / 2, len - 1] {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn long_runs_become_holes_and_short_ones_data() {
        let mut bytes = vec![0; 1 << 20];
        assert_eq!(segments(&bytes), [Segment { range: 0..1 << 20, zero: true }]);
        bytes[0] = 1;
        bytes[8192] = 1;
        bytes[200_000] = 1;
        let cut = segments(&bytes);
        assert_eq!(
            cut,
            [
                Segment { range: 0..12288, zero: false },
                Segment { range: 12288..196_608, zero: true },
                Segment { range: 196_608..200_704, zero: false },
                Segment { range: 200_704..1 << 20, zero: true },
            ]
        );
    }

    #[test]
    fn a_short_image_of_zeros_is_one_hole() {
        assert_eq!(segments(&[0; 512]), [Segment { range: 0..512, zero: true }]);
        assert!(segments(&[]).is_empty());
    }
}

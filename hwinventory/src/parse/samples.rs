//! Decides which blocks of a disk are sampled to see whether it is empty, and which of them count as blank.

use crate::model::Samples;
use std::io;

/// Bytes looked at together.
pub const BLOCK: usize = 4096;
/// Bytes at each end, as for the digest of the ends: tables, superblocks and their copies stand there.
const END: u64 = 1 << 20;
/// Blocks between the ends.
const BETWEEN: u64 = 32;

/// Looks until something is found. `read` fills the buffer from an offset on, or fails.
pub fn look(size: u64, mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> io::Result<Samples> {
    let mut block = [0u8; BLOCK];
    let mut samples = Samples { looked_at_bytes: 0, blank: true };
    for (start, end) in pieces(size) {
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            let part = block.get_mut(..length).unwrap_or_default();
            read(at, part)?;
            at += length as u64;
            samples.looked_at_bytes += length as u64;
            samples.blank = is_blank(part);
            if !samples.blank {
                return Ok(samples);
            }
        }
    }
    Ok(samples)
}

/// What an untouched or discarded block holds.
fn is_blank(block: &[u8]) -> bool {
    let Some(&first) = block.first() else { return true };
    matches!(first, 0 | 0xff) && block.iter().all(|&byte| byte == first)
}

/// Both ends, then what lies between; start and end in bytes, none overlaps another. A small disk is read whole.
fn pieces(size: u64) -> Vec<(u64, u64)> {
    const UNIT: u64 = BLOCK as u64;
    let middle = size.saturating_sub(2 * END) / UNIT;
    if middle <= BETWEEN {
        return vec![(0, size)];
    }
    let block = |n: u64| {
        // The middles of 32 equal parts. In u128, for the largest size that a disk can claim.
        let index = u128::from(middle) * u128::from(2 * n + 1) / u128::from(2 * BETWEEN);
        let start = END + u64::try_from(index).unwrap_or(0) * UNIT;
        (start, start + UNIT)
    };
    let ends = [(0, END), (size - END, size)];
    ends.into_iter().chain((0..BETWEEN).map(block)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(disk: &[u8]) -> Samples {
        look(disk.len() as u64, |at, part| {
            let at = at as usize;
            part.copy_from_slice(&disk[at..at + part.len()]);
            Ok(())
        })
        .expect("memory is readable")
    }

    const SIZE: usize = 8 << 20;

    #[test]
    fn empty_disks() {
        for byte in [0, 0xff] {
            let samples = of(&vec![byte; SIZE]);
            assert_eq!(samples, Samples { looked_at_bytes: 2 * END + 32 * 4096, blank: true });
        }
        // Half of it discarded, half of it never written.
        let mut disk = vec![0; SIZE];
        disk[SIZE / 2..].fill(0xff);
        assert!(of(&disk).blank);
        assert!(of(&[]).blank);
        assert_eq!(of(&vec![0; 512 * 9]), Samples { looked_at_bytes: 4608, blank: true });
    }

    #[test]
    fn one_byte_is_enough() {
        for at in [0, (1 << 20) - 1, SIZE - (1 << 20), SIZE - 1] {
            let mut disk = vec![0; SIZE];
            disk[at] = 1;
            assert!(!of(&disk).blank, "{at}");
        }
        let mut disk = vec![0; SIZE];
        disk[4095] = 0xff;
        assert_eq!(of(&disk), Samples { looked_at_bytes: 4096, blank: false });
        assert!(!of(&vec![0xaa; SIZE]).blank, "a pattern is something");
    }

    /// A file system in the middle of a disk, whose ends are clean.
    #[test]
    fn what_lies_between_the_ends_is_found() {
        let mut disk = vec![0; SIZE];
        disk[3 << 20..4 << 20].fill(7);
        assert!(!of(&disk).blank);
    }

    #[test]
    fn an_error_is_no_answer() {
        assert!(look(1 << 40, |at, _| if at == 0 { Ok(()) } else { Err(io::ErrorKind::Other.into()) }).is_err());
    }

    proptest! {
        #[test]
        fn pieces_stay_on_the_disk(size in any::<u64>()) {
            let mut pieces = pieces(size);
            pieces.sort_unstable();
            prop_assert!(pieces.len() <= 34);
            prop_assert!(pieces.iter().all(|(start, end)| start <= end && *end <= size));
            prop_assert!(pieces.windows(2).all(|w| w[0].1 <= w[1].0), "{:?}", pieces);
            prop_assert_eq!(pieces.first().map(|p| p.0), Some(0));
            prop_assert_eq!(pieces.last().map(|p| p.1), Some(size));
        }
    }
}

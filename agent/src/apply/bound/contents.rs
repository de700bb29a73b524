//! Whether two paths lead to one disk, by what is on it: names are given twice, contents of another disk are others. A
//! standby path that cannot be read proves nothing, and is not used.

use crate::sys::aligned::AlignedBuf;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of each sample.
const SAMPLE: usize = 4096;
/// How many places are compared beside the start.
const SAMPLES: u64 = 64;

/// An error where samples of the two differ, or cannot be read. `size` is that of both, in bytes.
pub fn same(one: &File, other: &File, size: u64) -> io::Result<()> {
    let (mut here, mut there) = (AlignedBuf::zeroed(SAMPLE), AlignedBuf::zeroed(SAMPLE));
    for at in samples(size) {
        one.read_exact_at(&mut here[..], at)?;
        other.read_exact_at(&mut there[..], at)?;
        if here[..] != there[..] {
            return Err(io::Error::other(format!("it leads to another disk: its contents differ at byte {at}")));
        }
    }
    Ok(())
}

/// Both ends of the disk, and places spread between them.
fn samples(size: u64) -> BTreeSet<u64> {
    let sample = SAMPLE as u64;
    let last = (size / sample).saturating_sub(1);
    (0..=SAMPLES).map(|number| last * number / SAMPLES * sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn another_disk_with_the_same_name_shows_by_what_it_holds() {
        let size = 1 << 20;
        let disk = |at: usize, byte: u8| {
            let mut bytes = vec![7u8; size];
            bytes[at] = byte;
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            file
        };
        let head = disk(0, 7);
        same(&head, &disk(0, 7), size as u64).unwrap();
        for at in [0, 127 * SAMPLE, size - 1] {
            let error = same(&head, &disk(at, 8), size as u64).unwrap_err();
            assert!(error.to_string().contains("another disk"), "{error}");
        }
        assert_eq!(samples(1 << 40).len(), 65);
        assert_eq!(samples(4096), [0].into());
    }
}

//! A secure erase by Format NVM, to the format that the namespace has.

use super::{ApplyError, EraseReceipt, Patience, Work};
use crate::apply::bound::BoundDisk;
use crate::apply::namespace::{erasable, failed, mark, reshaped};
use crate::sys::aligned::AlignedBuf;
use crate::sys::nvme::{self, SecureErase};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// A disk may write to each of its cells meanwhile, and answers nothing else.
const PATIENCE: Duration = Duration::from_secs(3600);
/// Samples that are compared: how many, and bytes of each.
const SAMPLES: u64 = 256;
const SAMPLE: usize = 4096;

pub fn patience(usual: Patience) -> Patience {
    Patience { progress: usual.progress.max(PATIENCE + Duration::from_secs(60)), ..usual }
}

pub fn erase(disk: &BoundDisk, work: &Work) -> Result<EraseReceipt, ApplyError> {
    let (size, sector) = (disk.size(), disk.sector());
    let (format, erase) = erasable(disk)?;
    disk.tell_kernel(&[])?;
    mark(disk, &work.order.id)?;
    let before = samples(disk)?;
    nvme::format(disk.held()?, format, erase, PATIENCE).map_err(|error| failed(disk, &error.to_string()))?;
    reshaped(disk, size, sector)?;
    let after = samples(disk)?;
    mark(disk, &work.order.id)?;
    let verified_bytes = compare(disk, &before, &after)?;
    let method = match erase {
        SecureErase::Key => "nvme-format-key",
        SecureErase::No | SecureErase::UserData => "nvme-format-user-data",
    };
    let device = disk.name().display().to_string();
    Ok(EraseReceipt { device, method, erased_bytes: size, verified_bytes })
}

/// Places that are spread over the disk, and what is there.
fn samples(disk: &BoundDisk) -> Result<Vec<(u64, Vec<u8>)>, ApplyError> {
    let target = disk.target()?;
    let mut buffer = AlignedBuf::zeroed(SAMPLE);
    let mut found = Vec::new();
    for at in places(target.size()) {
        let failed = |source| ApplyError::Erase { device: target.path().to_owned(), offset: at, source };
        target.file().read_exact_at(&mut buffer[..], at).map_err(failed)?;
        found.push((at, buffer.to_vec()));
    }
    Ok(found)
}

fn places(size: u64) -> Vec<u64> {
    let sample = SAMPLE as u64;
    let last = (size / sample).saturating_sub(1);
    let mut places: Vec<u64> = (0..SAMPLES).map(|number| last / SAMPLES * number * sample).collect();
    places.dedup();
    places
}

/// Bytes of samples that held something and are others now. What an erased disk answers is its own choice; zeros that
/// were zeros before say nothing.
fn compare(disk: &BoundDisk, before: &[(u64, Vec<u8>)], after: &[(u64, Vec<u8>)]) -> Result<u64, ApplyError> {
    match same(before, after) {
        Ok(compared) => Ok(compared),
        Err(offset) => Err(ApplyError::NotErased { device: disk.name().to_owned(), offset }),
    }
}

fn same(before: &[(u64, Vec<u8>)], after: &[(u64, Vec<u8>)]) -> Result<u64, u64> {
    let mut compared = 0;
    for ((at, before), (_, after)) in before.iter().zip(after) {
        let says_something = before.iter().any(|byte| Some(byte) != before.first());
        match says_something {
            true if before == after => return Err(*at),
            true => compared += before.len() as u64,
            false => {}
        }
    }
    Ok(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_disk() {
        let places_of = places(1 << 40);
        assert_eq!((places_of.len(), places_of[0]), (256, 0));
        assert!(places_of.is_sorted() && places_of.iter().all(|at| at % 4096 == 0 && at + 4096 <= 1 << 40));
        assert!(*places_of.last().unwrap() > (1 << 40) / 100 * 99);
        assert_eq!(places(8192), [0]);
    }

    #[test]
    fn what_is_still_there_is_no_erased_disk() {
        let sample = |at: u64, bytes: &[u8]| (at, bytes.to_vec());
        let before = [sample(0, &[1, 2]), sample(8, &[0, 0]), sample(16, &[3, 4])];
        assert_eq!(same(&before, &[sample(0, &[0, 0]), sample(8, &[0, 0]), sample(16, &[9, 9])]), Ok(4));
        assert_eq!(same(&before, &[sample(0, &[0, 0]), sample(8, &[0, 0]), sample(16, &[3, 4])]), Err(16));
    }
}

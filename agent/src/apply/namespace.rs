//! NVMe namespaces: LBA formats, what a format would affect, and the way in which it erases, in Identify data (NVM Express
//! Base Specification 2.0, 5.17.2; NVM Command Set Specification 1.0, 4.1.5.1).

use super::ApplyError;
use super::bound::{Access, BoundDisk, Part};
use crate::sys::nvme::{self, Identify, SecureErase};
use std::time::{Duration, Instant};

/// For the kernel to see what was done.
const SEEN: Duration = Duration::from_secs(10);

/// The index of the best format with sectors of `sector` bytes and no metadata.
fn format_with(namespace: &[u8], sector: u32) -> Option<u8> {
    let count = namespace.get(25).copied()?.saturating_add(1).min(64);
    let formats = (0..count).filter_map(|index| Some((index, format(namespace, index)?)));
    let fitting = formats.filter(|(_, (metadata, size, _))| *metadata == 0 && *size == sector);
    // Relative performance: 0 is the best.
    fitting.min_by_key(|(index, (_, _, performance))| (*performance, *index)).map(|(index, _)| index)
}

/// Index and sector size in bytes of the format that is in use, where it has no metadata.
fn in_use(namespace: &[u8]) -> Option<(u8, u32)> {
    let flbas = namespace.get(26).copied()?;
    // Bits 6:5 extend the index beyond 16 formats.
    let index = flbas & 0x0f | (flbas & 0x60) >> 1;
    let (metadata, size, _) = format(namespace, index)?;
    (metadata == 0).then_some((index, size))
}

/// Bytes of metadata and of a sector, and relative performance.
fn format(namespace: &[u8], index: u8) -> Option<(u16, u32, u8)> {
    let at = 128 + usize::from(index) * 4;
    let [low, high, shift, performance] = namespace.get(at..at + 4)?.try_into().ok()?;
    let size = 1u32.checked_shl(u32::from(shift)).filter(|_| (9..=16).contains(&shift))?;
    Some((u16::from_le_bytes([low, high]), size, performance & 3))
}

/// Whether a format of one namespace is one of all (FNA, bit 0), or a secure erase of one (bit 1).
fn reaches_all(controller: &[u8], erase: SecureErase) -> bool {
    let bit = if erase == SecureErase::No { 1 } else { 2 };
    controller.get(524).is_none_or(|attributes| attributes & bit != 0)
}

/// How Format NVM erases: the encryption key where the controller offers that (FNA, bit 2), else all user data. None where
/// it formats nothing (Optional Admin Command Support, bit 1).
fn best_erase(controller: &[u8]) -> Option<SecureErase> {
    let formats = controller.get(256).is_some_and(|byte| byte & 1 << 1 != 0);
    let key = controller.get(524).is_some_and(|attributes| attributes & 1 << 2 != 0);
    formats.then_some(if key { SecureErase::Key } else { SecureErase::UserData })
}

/// Optional Admin Command Support, byte 256: bit 3 is Namespace Management.
fn manages_namespaces(controller: &[u8]) -> bool {
    controller.get(256).is_some_and(|byte| byte & 1 << 3 != 0)
}

/// How many namespaces a list of active ones names: it ends with a zero.
fn active(list: &[u8]) -> usize {
    list.chunks_exact(4).take_while(|number| number.iter().any(|byte| *byte != 0)).count()
}

/// The index of the format to ask for; refused before anything is lost where it is not offered, or would reach other
/// namespaces.
pub fn offered(disk: &BoundDisk, sector: u32) -> Result<u8, ApplyError> {
    let none = || failed(disk, &format!("it offers no sectors of {sector} bytes without metadata"));
    let format = format_with(&asked(disk, Identify::Namespace)?, sector).ok_or_else(none)?;
    reaches_no_other(disk, &asked(disk, Identify::Controller)?, SecureErase::No)?;
    Ok(format)
}

/// The format that it has, and how it can be erased with it; refused before anything is lost, as above.
pub fn erasable(disk: &BoundDisk) -> Result<(u8, SecureErase), ApplyError> {
    let (format, _) = in_use(&asked(disk, Identify::Namespace)?)
        .ok_or_else(|| failed(disk, "its sectors have metadata, or a size that is not known"))?;
    let controller = asked(disk, Identify::Controller)?;
    let erase = best_erase(&controller).ok_or_else(|| failed(disk, "its controller has no Format NVM"))?;
    reaches_no_other(disk, &controller, erase)?;
    Ok((format, erase))
}

fn reaches_no_other(disk: &BoundDisk, controller: &[u8], erase: SecureErase) -> Result<(), ApplyError> {
    // A secure erase is a format, too.
    if !reaches_all(controller, SecureErase::No) && !reaches_all(controller, erase) {
        return Ok(());
    }
    // Some may be attached to another controller, or to none.
    let managed = manages_namespaces(controller);
    let list = if managed { Identify::AllocatedNamespaces } else { Identify::ActiveNamespaces };
    let count = active(&asked(disk, list)?);
    if count > 1 {
        return Err(failed(disk, &format!("its controller would format all of its {count} namespaces")));
    }
    Ok(())
}

/// Bytes of its sectors, by its own word.
pub fn sector(disk: &BoundDisk) -> Result<Option<u32>, ApplyError> {
    Ok(in_use(&asked(disk, Identify::Namespace)?).map(|(_, sector)| sector))
}

fn asked(disk: &BoundDisk, what: Identify) -> Result<Vec<u8>, ApplyError> {
    nvme::identify(disk.held()?, what).map_err(|error| failed(disk, &error.to_string()))
}

/// Binds the disk with the shape that a format was to give it, once the kernel has seen it.
pub fn reshaped(disk: &BoundDisk, size: u64, sector: u32) -> Result<(), ApplyError> {
    let deadline = Instant::now() + SEEN;
    while let Err(error) = disk.reshape(size, sector) {
        if Instant::now() >= deadline || !matches!(error, ApplyError::Formatted { .. }) {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Firmware finds nothing from here on.
pub fn mark(disk: &BoundDisk, order: &str) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    Ok(disk.area().mark(&device, order)?)
}

pub fn failed(disk: &BoundDisk, what: &str) -> ApplyError {
    ApplyError::Format { device: disk.name().to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As QEMU's namespaces answer: 512 and 4096 bytes, each without metadata and with 8, 16 and 64 bytes of it.
    fn namespace() -> Vec<u8> {
        let mut data = vec![0u8; 4096];
        data[25] = 7;
        for (index, (metadata, shift)) in
            [(0u8, 9u8), (8, 9), (16, 9), (64, 9), (0, 12), (8, 12), (16, 12), (64, 12)].into_iter().enumerate()
        {
            data[128 + index * 4] = metadata;
            data[128 + index * 4 + 2] = shift;
        }
        data
    }

    #[test]
    fn the_best_format_without_metadata_is_taken() {
        let mut data = namespace();
        assert_eq!(
            (format_with(&data, 512), format_with(&data, 4096), format_with(&data, 1024)),
            (Some(0), Some(4), None)
        );
        // A second one with these sectors that is faster.
        data[25] = 8;
        data[128 + 4 * 4 + 3] = 2;
        data[128 + 8 * 4 + 2] = 12;
        assert_eq!(format_with(&data, 4096), Some(8));
    }

    #[test]
    fn what_is_in_use_is_told() {
        let mut data = namespace();
        assert_eq!(in_use(&data), Some((0, 512)));
        data[26] = 4;
        assert_eq!(in_use(&data), Some((4, 4096)));
        data[26] = 5;
        assert_eq!(in_use(&data), None, "with metadata");
    }

    #[test]
    fn whom_a_format_reaches() {
        let mut controller = vec![0u8; 4096];
        let all = [SecureErase::No, SecureErase::UserData, SecureErase::Key];
        let reaches = |controller: &[u8]| all.map(|erase| reaches_all(controller, erase));
        assert_eq!(reaches(&controller), [false; 3]);
        controller[524] = 5;
        assert_eq!(reaches(&controller), [true, false, false], "a secure erase is checked as a format, too");
        controller[524] = 2;
        assert_eq!(reaches(&controller), [false, true, true]);
        assert_eq!(reaches(&[]), [true; 3], "what was not read may be any");
        let mut list = vec![0u8; 4096];
        assert_eq!(active(&list), 0);
        (list[0], list[4]) = (1, 2);
        assert_eq!(active(&list), 2);
    }

    #[test]
    fn the_key_goes_where_there_is_one() {
        let mut controller = vec![0u8; 4096];
        assert_eq!(best_erase(&controller), None);
        controller[256] = 1 << 1;
        assert_eq!(best_erase(&controller), Some(SecureErase::UserData));
        controller[524] = 1 << 2;
        assert_eq!(best_erase(&controller), Some(SecureErase::Key));
        assert_eq!(best_erase(&[]), None);
    }

    proptest! {
        #[test]
        fn junk_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..700), sector: u32) {
            format_with(&bytes, sector);
            in_use(&bytes);
            reaches_all(&bytes, SecureErase::Key);
            best_erase(&bytes);
            active(&bytes);
        }
    }
}

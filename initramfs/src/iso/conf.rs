//! `burin.conf` in an ISO: added when the ISO is made, and changed later without remaking it.

use super::run::HostProgram;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub const FILE: &str = "burin.conf";
/// Bytes reserved for it in the ISO 9660 volume.
pub const RESERVED: usize = 64 << 10;
/// The line by which its position is found.
const MARK: &[u8] = b"#:burin.conf: 64 KiB are kept for what follows\n";
pub const EMPTY: &[u8] = b"# Words as on the kernel command line; sections [serial=...], [uuid=...], [mac=...].\n";
/// Files in an ISO 9660 volume begin at sectors.
const SECTOR: usize = 2048;
/// Type GUID of an EFI system partition, UEFI specification 2.10 table 5.7, in on-disk byte order.
const ESP: [u8; 16] = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    #[error("burin.conf has {size} bytes; the maximum is {}", RESERVED - MARK.len())]
    TooLarge { size: usize },
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} was not made by `burin-initramfs iso`", path.display())]
    NotOurs { path: PathBuf },
    #[error("the partition of the image cannot be changed: {0}")]
    Partition(String),
}

/// The file as stored in the ISO 9660 volume: mark, text, and newlines up to its size.
pub fn reserve(conf: &[u8]) -> Result<Vec<u8>, ConfError> {
    if conf.len() > RESERVED - MARK.len() {
        return Err(ConfError::TooLarge { size: conf.len() });
    }
    let mut bytes = MARK.to_vec();
    bytes.extend(conf);
    bytes.resize(RESERVED, b'\n');
    Ok(bytes)
}

/// Replaces the parameters in both volumes of an image.
pub fn set_conf(image: &Path, conf: &Path) -> Result<(), ConfError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfError::File { path, source }
    };
    let text = fs::read(conf).map_err(at(conf))?;
    let bytes = reserve(&text)?;
    let disk = File::options().read(true).write(true).open(image).map_err(at(image))?;
    let place = find(&disk).map_err(at(image))?.ok_or_else(|| ConfError::NotOurs { path: image.to_owned() })?;
    let partition =
        partition(&disk).map_err(at(image))?.ok_or_else(|| ConfError::NotOurs { path: image.to_owned() })?;
    // The step that may fail comes first.
    let mut copy = HostProgram::new("mcopy", "mtools", super::FAT_EPOCH);
    copy.args(["-o", "-i"]).arg(format!("{}@@{partition}", image.display())).arg(conf).arg(format!("::/{FILE}"));
    copy.run().map_err(|error| ConfError::Partition(error.to_string()))?;
    disk.write_all_at(&bytes, place).and_then(|()| disk.sync_all()).map_err(at(image))
}

/// The position of the file in the ISO 9660 volume.
fn find(disk: &File) -> io::Result<Option<u64>> {
    let mut sector = vec![0; MARK.len()];
    let size = disk.metadata()?.len();
    for place in (0..size).step_by(SECTOR) {
        if size - place < RESERVED as u64 {
            break;
        }
        disk.read_exact_at(&mut sector, place)?;
        if sector == MARK {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Offset in bytes of the EFI system partition, from the GPT (UEFI specification 2.10 section 5.3).
fn partition(disk: &File) -> io::Result<Option<u64>> {
    let mut table = vec![0; 34 * 512];
    disk.read_exact_at(&mut table, 0)?;
    let number = |at: usize| table.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
    if table.get(512..520) != Some(b"EFI PART") {
        return Ok(None);
    }
    let entries = number(512 + 72).and_then(|block| usize::try_from(block.checked_mul(512)?).ok()).unwrap_or(1024);
    let mut list = vec![0; 128 * 128];
    let read = disk.read_at(&mut list, entries as u64)?;
    let entry = list.get(..read).unwrap_or_default().chunks_exact(128).find(|entry| entry.starts_with(&ESP));
    let first = entry.and_then(|entry| entry.get(32..40)).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
    Ok(first.and_then(|block| block.checked_mul(512)))
}

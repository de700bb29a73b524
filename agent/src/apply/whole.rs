//! The future contents of a whole disk, while its two ends are withheld.

use super::ApplyError;
use super::bound::{Access, BoundDisk, Part};
use crate::finalize::filesystem::{self, Content};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// libblkid's result for it. Everything that it recognises has its identifiers in the first or the last MiB.
pub fn probe(disk: &BoundDisk) -> Result<Content, ApplyError> {
    let failed = |source| ApplyError::Open { device: disk.name().to_owned(), source };
    let device = disk.open(Part::Whole, Access::Read)?.into_device()?;
    let (head, tail) = disk.area().ends(&device).map_err(failed)?;
    let model = model(disk.size(), &head, &tail).map_err(failed)?;
    Ok(filesystem::probe(&PathBuf::from(format!("/proc/self/fd/{}", model.as_raw_fd())))?)
}

/// A sparse file as large as the disk, with these bytes at its ends.
fn model(size: u64, head: &[u8], tail: &[u8]) -> io::Result<File> {
    let file = File::from(memfd_create("ends", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(size)?;
    file.write_all_at(head, 0)?;
    file.write_all_at(tail, size.saturating_sub(tail.len() as u64))?;
    Ok(file)
}

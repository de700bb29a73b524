//! Reads samples of a disk to find out whether it is empty.

use super::open_device;
use crate::parse::samples;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Reads a disk here and there to see whether it is empty.
pub fn look(device: &str) -> io::Result<Vec<u8>> {
    let file = File::from(open_device(device).map_err(without_medium)?);
    let size = (&file).seek(SeekFrom::End(0))?;
    let samples = samples::look(size, |at, part| file.read_exact_at(part, at))?;
    serde_json::to_vec(&samples).map_err(io::Error::other)
}

/// A drive without a medium has nothing to look at.
fn without_medium(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOMEDIUM) => io::ErrorKind::NotFound.into(),
        _ => error,
    }
}

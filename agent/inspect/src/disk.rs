//! Random access to the bytes of an image, shared by all readers.

use burin_image::{ImageError, ReadAt};
use std::sync::{Arc, Mutex, PoisonError};

/// A range of an image: all of it, or a partition.
#[derive(Clone)]
pub struct Disk {
    bytes: Arc<Mutex<Box<dyn ReadAt>>>,
    start: u64,
    len: u64,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("start", &self.start).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Disk {
    pub fn new(bytes: Box<dyn ReadAt>) -> Self {
        let len = bytes.len();
        Self { bytes: Arc::new(Mutex::new(bytes)), start: 0, len }
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A range of it, cut off at its end.
    pub fn part(&self, start: u64, len: u64) -> Self {
        let start = start.min(self.len);
        Self { bytes: self.bytes.clone(), start: self.start + start, len: len.min(self.len - start) }
    }

    /// Fills `out`; reading beyond the end is an error.
    pub fn read_exact(&self, offset: u64, out: &mut [u8]) -> Result<(), ImageError> {
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.len) {
            let source_name = "the image".to_owned();
            return Err(ImageError::Truncated { source_name, offset: self.len, expected: None });
        }
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).read_exact_at(out, self.start + offset)
    }

    /// `len` bytes at `offset`.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        if offset.checked_add(len as u64).is_none_or(|end| end > self.len) {
            let source_name = "the image".to_owned();
            return Err(ImageError::Truncated { source_name, offset: self.len, expected: None });
        }
        let mut out = vec![0; len];
        self.read_exact(offset, &mut out)?;
        Ok(out)
    }

    /// The first `len` bytes, or all if there are fewer.
    pub fn head(&self, len: usize) -> Result<Vec<u8>, ImageError> {
        self.read(0, usize::try_from(self.len).unwrap_or(usize::MAX).min(len))
    }
}

/// The same bytes, for readers that go from beginning to end.
impl ReadAt for Disk {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        self.read_exact(offset, out)
    }
}

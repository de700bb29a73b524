//! Random access to a source: files, and HTTP by ranges, with read-ahead and a small cache.

use crate::error::ImageError;
use crate::proof::seals::{BLOCK, Seals};
use crate::source::ranges::Ranges;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Number of blocks in the cache.
const KEPT: usize = 32;
/// Number of blocks fetched at once for sequential reads.
const AHEAD: u64 = 16;

/// Random access to bytes of a fixed length.
#[allow(clippy::len_without_is_empty, reason = "an image without a byte is none")]
pub trait ReadAt: Send {
    /// Bytes.
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `out` or fails; reading beyond the end is an error.
    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError>;
}

/// A source of byte ranges.
pub trait Fetch: Send {
    fn len(&self) -> u64;
    fn name(&self) -> String;
    /// Exactly `len` bytes from `offset`; the range is within the length.
    fn fetch(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError>;
}

impl Fetch for Box<dyn Fetch> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn name(&self) -> String {
        (**self).name()
    }

    fn fetch(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        (**self).fetch(offset, len)
    }
}

pub struct LocalFile {
    pub file: File,
    pub path: PathBuf,
    pub len: u64,
}

impl Fetch for LocalFile {
    fn len(&self) -> u64 {
        self.len
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn fetch(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut bytes = vec![0; len];
        let read = self.file.read_exact_at(&mut bytes, offset);
        read.map_err(|source| ImageError::ReadFile { path: self.path.clone(), source })?;
        Ok(bytes)
    }
}

impl Fetch for Ranges {
    fn len(&self) -> u64 {
        self.total()
    }

    fn name(&self) -> String {
        self.url()
    }

    fn fetch(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        self.get(offset, len)
    }
}

/// Cached blocks of a source; each is compared with its seal if there are seals.
pub struct Blocks<F> {
    source: F,
    seals: Option<Seals>,
    cache: VecDeque<(u64, Vec<u8>)>,
    next: u64,
    ahead: u64,
}

impl<F: Fetch> Blocks<F> {
    pub fn new(source: F, seals: Option<Seals>) -> Self {
        Self { source, seals, cache: VecDeque::new(), next: u64::MAX, ahead: 1 }
    }

    fn block(&mut self, index: u64) -> Result<&[u8], ImageError> {
        if let Some(place) = self.cache.iter().position(|(known, _)| *known == index) {
            return Ok(self.cache.get(place).map_or(&[], |(_, bytes)| bytes));
        }
        self.ahead = if index == self.next { (self.ahead * 2).min(AHEAD) } else { 1 };
        let blocks = self.source.len().div_ceil(BLOCK as u64);
        let count = self.ahead.min(blocks.saturating_sub(index)).max(1);
        self.next = index + count;
        let start = index * BLOCK as u64;
        let len = (count * BLOCK as u64).min(self.source.len().saturating_sub(start));
        let bytes = self.source.fetch(start, usize::try_from(len).unwrap_or(0))?;
        for (index, block) in (index..).zip(bytes.chunks(BLOCK)) {
            if self.seals.as_ref().is_some_and(|seals| !seals.matches(index, block)) {
                let (url, offset) = (self.source.name(), index * BLOCK as u64);
                let why = "bytes that were read before are others now".to_owned();
                return Err(ImageError::Changed { url, offset, why });
            }
            if self.cache.len() == KEPT {
                self.cache.pop_front();
            }
            self.cache.push_back((index, block.to_vec()));
        }
        let place = self.cache.iter().position(|(known, _)| *known == index);
        Ok(place.and_then(|place| self.cache.get(place)).map_or(&[], |(_, bytes)| bytes))
    }
}

impl<F: Fetch> ReadAt for Blocks<F> {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read_exact_at(&mut self, mut out: &mut [u8], mut offset: u64) -> Result<(), ImageError> {
        within(&self.source, out.len(), offset)?;
        let total = self.source.len();
        while !out.is_empty() {
            let within = (offset % BLOCK as u64) as usize;
            let rest = self.block(offset / BLOCK as u64)?.get(within..).unwrap_or_default();
            let count = rest.len().min(out.len());
            if count == 0 {
                return Err(ImageError::Truncated { source_name: self.source.name(), offset, expected: Some(total) });
            }
            out[..count].copy_from_slice(&rest[..count]);
            out = &mut out[count..];
            offset += count as u64;
        }
        Ok(())
    }
}

/// A source without a cache: fetches exactly what is requested.
pub struct Exact<F>(pub F);

impl<F: Fetch> ReadAt for Exact<F> {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        within(&self.0, out.len(), offset)?;
        if !out.is_empty() {
            out.copy_from_slice(&self.0.fetch(offset, out.len())?);
        }
        Ok(())
    }
}

/// An error if the range is not within the source.
fn within(source: &impl Fetch, len: usize, offset: u64) -> Result<(), ImageError> {
    let total = source.len();
    match offset.checked_add(len as u64) {
        Some(end) if end <= total => Ok(()),
        _ => Err(ImageError::Truncated { source_name: source.name(), offset: total, expected: None }),
    }
}

/// Bytes in memory, for tests.
#[cfg(test)]
impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        let short = || ImageError::Truncated { source_name: "memory".into(), offset, expected: None };
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(out.len()).ok_or_else(short)?;
        out.copy_from_slice(self.get(start..end).ok_or_else(short)?);
        Ok(())
    }
}

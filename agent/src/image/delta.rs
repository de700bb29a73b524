//! What is on the target already is left there: it is read, compared with the index, and fetched only where it differs.
//! The first MiB, which was erased, and the last, which ends the image, are always fetched.

use super::ImageError;
use super::aside::aside;
use super::blocks::ReadAt;
use super::caibx::{CHUNK as PART, Caibx};
use super::compare::{Compare, Held};
use super::digest::Hasher;
use super::stages::Chunker;
use crate::disk::{Counters, Target};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub struct Delta {
    pub index: Caibx,
    /// The image's content.
    pub image: Arc<Mutex<Box<dyn ReadAt>>>,
    pub name: String,
}

impl Delta {
    /// Sends what differs to `sink` and counts the rest as skipped. `content` sees every byte of the image.
    pub fn run(
        self,
        target: &Target,
        sink: &mut Chunker<'_>,
        counters: &Counters,
        mut content: Option<Hasher>,
    ) -> Result<Option<String>, ImageError> {
        let over = AtomicBool::new(false);
        let (file, index) = (target.file(), &self.index);
        std::thread::scope(|scope| {
            let compare = Compare::start(scope, &file, index, sink.stop(), &over);
            let done = compare.and_then(|compare| self.patch(compare, sink, counters, &mut content));
            over.store(true, Ordering::Relaxed);
            done
        })?;
        Ok(content.map(Hasher::finish))
    }

    fn patch(
        &self,
        mut compare: Compare<'_>,
        sink: &mut Chunker<'_>,
        counters: &Counters,
        content: &mut Option<Hasher>,
    ) -> Result<(), ImageError> {
        let mut offset = 0;
        while offset < self.index.length {
            let Held { mut buf, len, same } = compare.next()?;
            let wrong = differing(&same, len);
            for range in &wrong {
                let fetched = self.fetch(offset + range.start as u64, range.len(), sink)?;
                buf[range.clone()].copy_from_slice(&fetched);
            }
            if let Some(content) = content {
                content.update(&buf[..len]);
            }
            if wrong.is_empty() {
                counters.skipped.fetch_add(len as u64, Ordering::Relaxed);
                counters.verified.fetch_add(len as u64, Ordering::Relaxed);
                sink.skip(len);
            } else {
                sink.place(buf, len)?;
            }
            offset += len as u64;
        }
        Ok(())
    }

    /// Bytes of the image, as the index has them.
    fn fetch(&self, offset: u64, len: usize, sink: &Chunker<'_>) -> Result<Vec<u8>, ImageError> {
        let image = self.image.clone();
        let read = move || {
            let mut bytes = vec![0; len];
            image.lock().unwrap_or_else(PoisonError::into_inner).read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        let bytes = aside("delta", &|| sink.check().is_err(), read)?;
        if self.index.matches(offset, &bytes) {
            return Ok(bytes);
        }
        Err(ImageError::NotIndexed { source_name: self.name.clone(), offset })
    }
}

/// Stretches of a chunk of `len` bytes that are not what they shall be, each as long as it can be.
fn differing(same: &[bool], len: usize) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (part, _) in same.iter().enumerate().filter(|(_, same)| !**same) {
        let start = part * PART as usize;
        let end = (start + PART as usize).min(len);
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_differ_are_fetched_together() {
        let part = PART as usize;
        assert_eq!(differing(&[true; 4], 4 * part), []);
        assert_eq!(differing(&[false, false, true, false], 4 * part), [0..2 * part, 3 * part..4 * part]);
        assert_eq!(differing(&[true, false], part + 7), [part..part + 7]);
    }
}

//! Leaves matching data on the target: it is read, compared with the index, and only differences are fetched. The first
//! MiB, which was erased, and the last one, which ends the image, are always fetched.

use crate::budget;
use crate::codec::zstd::seekable::{self, CompressedFrame, Seekable};
use crate::delta::caibx::{CHUNK as PART, Caibx};
use crate::delta::compare::{self, Compare, ComparedChunk};
use crate::error::ImageError;
use crate::flow::chunker::Chunker;
use crate::flow::workers::Workers;
use crate::options::Options;
use crate::proof::digest::Hasher;
use crate::source::random::ReadAt;
use burin_disk::{CHUNK, Counters, PoolBuf, Target};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Delta {
    pub index: Caibx,
    pub image: DeltaContent,
    pub name: String,
}

/// The image's content, to be fetched in parts.
pub enum DeltaContent {
    Plain(Box<dyn ReadAt>),
    Frames(Seekable),
}

impl DeltaContent {
    /// Bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Plain(file) => file.len(),
            Self::Frames(frames) => frames.len(),
        }
    }

    /// The largest part that is fetched as a unit.
    fn unit(&self) -> usize {
        match self {
            Self::Plain(_) => 1,
            Self::Frames(frames) => frames.largest(),
        }
    }

    fn fetch(&mut self, range: Range<u64>) -> Result<Fetched, ImageError> {
        Ok(match self {
            Self::Plain(file) => {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
                file.read_exact_at(&mut bytes, range.start)?;
                Fetched::Plain(bytes, range.start)
            }
            Self::Frames(frames) => Fetched::Frames(frames.fetch(range)?),
        })
    }
}

enum Fetched {
    /// Bytes, and their offset.
    Plain(Vec<u8>, u64),
    Frames(Vec<CompressedFrame>),
}

/// A chunk that differs from the image.
struct Wrong {
    offset: u64,
    buf: PoolBuf,
    len: usize,
    ranges: Vec<Range<usize>>,
}

impl Wrong {
    /// The range in the image from the first needed byte to the last: one request, even if there are others between.
    fn span(&self) -> Range<u64> {
        let (start, end) =
            (self.ranges.first().map_or(0, |range| range.start), self.ranges.last().map_or(0, |range| range.end));
        self.offset + start as u64..self.offset + end as u64
    }
}

/// A chunk whose turn has not come yet.
enum Turn {
    /// This many bytes are correct, with their digest; kept if the whole content is hashed.
    Right(usize, u128, Option<PoolBuf>),
    Patched,
}

impl Delta {
    /// Sends the differences to `sink`, and counts the rest as skipped. `content` gets every byte of the image.
    pub fn run(
        self,
        target: &Target,
        options: &Options,
        sink: &mut Chunker<'_>,
        counters: &Counters,
        mut content: Option<Hasher>,
    ) -> Result<Option<String>, ImageError> {
        let over = AtomicBool::new(false);
        let Self { index, mut image, name } = self;
        let (file, stop) = (target.file(), sink.stop());
        let (workers, ahead) = budget::patching(options, image.unit());
        let decoder = match &image {
            DeltaContent::Plain(_) => None,
            DeltaContent::Frames(frames) => Some(frames.decoder()),
        };
        std::thread::scope(|scope| {
            let patch = || {
                let fetch = move |wrong: Wrong| Ok((image.fetch(wrong.span())?, wrong));
                let decode = || {
                    let (mut decoder, index, name) = (decoder.clone(), &index, &name);
                    move |(fetched, wrong)| right(fetched, wrong, decoder.as_mut(), index, name)
                };
                let workers = Workers::start(scope, (workers, ahead), stop, fetch, decode)?;
                let mut workers = workers;
                first(index.length, &mut workers, sink, &mut content)?;
                stop.until_accepted()?;
                let compare = Compare::start(scope, &file, &index, stop, &over)?;
                patch(index.length, compare, workers, sink, counters, &mut content)
            };
            let done = patch();
            over.store(true, Ordering::Relaxed);
            done
        })?;
        Ok(content.map(Hasher::finish))
    }
}

/// Fetches the first chunk, by which every image is checked before its target is touched.
fn first(
    length: u64,
    workers: &mut Workers<'_, Wrong, (PoolBuf, usize)>,
    sink: &mut Chunker<'_>,
    content: &mut Option<Hasher>,
) -> Result<(), ImageError> {
    let len = usize::try_from(length).unwrap_or(usize::MAX).min(CHUNK);
    workers.put(Wrong {
        offset: 0,
        buf: sink.buffer()?,
        len,
        ranges: differing(&vec![false; len.div_ceil(PART as usize)], len),
    })?;
    let (buf, len) = workers.next()?;
    if let Some(content) = content {
        content.update(&buf[..len]);
    }
    sink.place(buf, len)
}

/// Passes on all other chunks in order, while later ones are compared, fetched and decoded.
fn patch(
    length: u64,
    mut compare: Compare<'_>,
    mut workers: Workers<'_, Wrong, (PoolBuf, usize)>,
    sink: &mut Chunker<'_>,
    counters: &Counters,
    content: &mut Option<Hasher>,
) -> Result<(), ImageError> {
    let (mut turns, mut offset) = (VecDeque::new(), CHUNK as u64);
    while offset < length || !turns.is_empty() {
        // At most one per comparing thread, so that none of them lacks a buffer.
        while offset < length && workers.has_room() && turns.len() < compare::threads() {
            let ComparedChunk { buf, len, same, digest } = compare.next()?;
            match digest {
                Some(digest) => turns.push_back(Turn::Right(len, digest, content.is_some().then_some(buf))),
                None => {
                    turns.push_back(Turn::Patched);
                    workers.put(Wrong { offset, buf, len, ranges: differing(&same, len) })?;
                }
            }
            offset += len as u64;
        }
        match turns.pop_front() {
            Some(Turn::Right(len, digest, buf)) => {
                if let (Some(content), Some(buf)) = (&mut *content, buf) {
                    content.update(&buf[..len]);
                }
                counters.skipped.fetch_add(len as u64, Ordering::Relaxed);
                counters.verified.fetch_add(len as u64, Ordering::Relaxed);
                sink.skip(len, digest);
            }
            Some(Turn::Patched) => {
                let (buf, len) = workers.next()?;
                if let Some(content) = content {
                    content.update(&buf[..len]);
                }
                sink.place(buf, len)?;
            }
            None => {}
        }
    }
    Ok(())
}

/// Puts fetched data in its place; an error if it does not match the index.
fn right(
    fetched: Fetched,
    wrong: Wrong,
    decoder: Option<&mut seekable::FrameDecoder>,
    index: &Caibx,
    name: &str,
) -> Result<(PoolBuf, usize), ImageError> {
    let Wrong { offset, mut buf, len, ranges } = wrong;
    let at = |range: &Range<usize>| offset + range.start as u64;
    match (&fetched, decoder) {
        (Fetched::Plain(bytes, start), _) => {
            for range in &ranges {
                let from = usize::try_from(at(range) - start).unwrap_or(usize::MAX);
                buf[range.clone()].copy_from_slice(&bytes[from..from + range.len()]);
            }
        }
        (Fetched::Frames(frames), Some(decoder)) => {
            for range in &ranges {
                for packed in frames {
                    decoder.unpack(packed, &mut buf[range.clone()], at(range))?;
                }
            }
        }
        (Fetched::Frames(_), None) => return Err(ImageError::Broken { stage: "unpack" }),
    }
    match ranges.iter().find(|range| !index.matches(at(range), &buf[(*range).clone()])) {
        None => Ok((buf, len)),
        Some(range) => Err(ImageError::NotIndexed { source_name: name.to_owned(), offset: at(range) }),
    }
}

/// The longest possible ranges of a chunk of `len` bytes that differ from the image.
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
        assert_eq!(differing(&[true, false], part + 7), vec![part..part + 7]);
    }
}

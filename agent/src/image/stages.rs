//! The threads between source and device: digest of the wire bytes, decoding into chunks, digest of the content.

use super::decode::{Fault, Sink};
use super::digest::Hasher;
use super::input::Pieces;
use super::lane::{Consumer, Popped, Producer};
use super::progress::{Stages, timed};
use super::sniff::{self, Container};
use super::source::{Stream, TICK};
use super::{ImageError, Stop};
use crate::disk::{Chunk, Fed, Feed, Pool, PoolBuf, Waker};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Wire bytes on their way through a digest.
pub type Wire = Result<Vec<u8>, ImageError>;

/// Hashes what `first` and `stream` give and passes it on. The digest, if all of it came.
pub fn digest_wire(
    first: Vec<Vec<u8>>,
    mut stream: Stream,
    mut hasher: Hasher,
    out: &Producer<Wire>,
    stages: &Stages,
) -> Option<String> {
    let mut first = first.into_iter();
    loop {
        let piece = match first.next() {
            Some(piece) => piece,
            None => match stream.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => return Some(hasher.finish()),
                Err(error) => {
                    let _ = out.push(Err(error));
                    return None;
                }
            },
        };
        timed(&stages.digest_ns, || hasher.update(&piece));
        if out.push(Ok(piece)).is_err() {
            return None;
        }
    }
}

/// Pieces that were read ahead, then those of the stream.
pub struct Replay {
    pub first: std::vec::IntoIter<Vec<u8>>,
    pub stream: Stream,
}

impl Pieces for Replay {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        match self.first.next() {
            Some(piece) => Ok(Some(piece)),
            None => self.stream.next(),
        }
    }
}

/// Pieces from another stage.
pub struct Piped {
    pub lane: Consumer<Wire>,
    pub stop: Arc<Stop>,
}

impl Pieces for Piped {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        loop {
            self.stop.check()?;
            match self.lane.pop(TICK) {
                Popped::Item(piece) => return piece.map(Some),
                Popped::Empty => {}
                Popped::End => return Ok(None),
            }
        }
    }
}

/// Counts the time the decoder waits for its input.
pub struct Waiting {
    pub inner: Box<dyn Pieces>,
    pub waited: Arc<std::sync::atomic::AtomicU64>,
}

impl Pieces for Waiting {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        timed(&self.waited, || self.inner.next())
    }
}

/// Cuts the decoded stream into chunks.
pub struct Chunker<'a> {
    pub name: &'a str,
    pub pool: &'a Pool,
    pub out: Producer<Chunk>,
    pub waker: Option<Waker>,
    pub stop: &'a Stop,
    pub stages: &'a Stages,
    pub waited: &'a std::sync::atomic::AtomicU64,
    /// Bytes the target has room for.
    pub room: u64,
    pub sector: u32,
    /// Whether a disk image container may not appear here: it was found inside a compressed stream.
    pub compressed: bool,
    buf: Option<PoolBuf>,
    filled: usize,
    offset: u64,
}

/// What a chunker is made for.
pub struct Shape {
    pub room: u64,
    pub sector: u32,
    pub compressed: bool,
}

impl<'a> Chunker<'a> {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        name: &'a str,
        pool: &'a Pool,
        out: Producer<Chunk>,
        waker: Option<Waker>,
        stop: &'a Stop,
        stages: &'a Stages,
        waited: &'a std::sync::atomic::AtomicU64,
        shape: Shape,
    ) -> Self {
        let Shape { room, sector, compressed } = shape;
        Self { name, pool, out, waker, stop, stages, waited, room, sector, compressed, buf: None, filled: 0, offset: 0 }
    }

    fn emit(&mut self) -> Result<(), ImageError> {
        let Some(buf) = self.buf.take() else { return Ok(()) };
        let len = std::mem::take(&mut self.filled);
        if self.offset == 0 && self.compressed {
            refuse_container(self.name, &buf[..len])?;
        }
        let end = self.offset + len as u64;
        if end > self.room {
            let (source_name, device) = (self.name.to_owned(), self.room);
            return Err(ImageError::TooLarge { source_name, at_least: end, exact: false, device });
        }
        let chunk = Chunk::new(self.offset, buf, len, self.sector);
        self.offset = end;
        self.stages.image_bytes.store(end, Ordering::Relaxed);
        timed(self.waited, || self.out.push(chunk)).map_err(|_| ImageError::Cancelled)?;
        if let Some(waker) = &self.waker {
            waker.wake();
        }
        Ok(())
    }

    /// Sends what is left and ends the stream. The image's length.
    pub fn finish(mut self) -> Result<u64, ImageError> {
        if self.filled > 0 {
            self.emit()?;
        }
        if self.offset == 0 {
            // Compression of nothing.
            return Err(ImageError::Truncated { source_name: self.name.to_owned(), offset: 0, expected: None });
        }
        let (length, waker) = (self.offset, self.waker.take());
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(length)
    }
}

/// A container behind a compression cannot be read by ranges; a foreign one never belongs on a disk.
pub fn refuse_container(name: &str, head: &[u8]) -> Result<(), ImageError> {
    let what = match sniff::container(head) {
        Container::Raw => return Ok(()),
        Container::Qcow2 => {
            "holds a compressed qcow2 image: decompress it, qcow2 compresses its clusters itself".to_owned()
        }
        Container::Foreign(what) => format!("holds {what}, not a disk image that burin can write"),
    };
    Err(ImageError::Unsupported { source_name: name.to_owned(), what })
}

impl Sink for Chunker<'_> {
    fn fill(&mut self, reader: &mut dyn Read) -> Result<(), Fault> {
        loop {
            self.stop.check().map_err(Fault::Sink)?;
            if self.buf.is_none() {
                let taken = timed(self.waited, || self.pool.take());
                self.buf = Some(taken.ok_or(Fault::Sink(ImageError::Cancelled))?);
            }
            let Some(buf) = &mut self.buf else { continue };
            match reader.read(&mut buf[self.filled..]) {
                Ok(0) => return Ok(()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::Read(error)),
            }
            if self.buf.as_ref().is_some_and(|buf| buf.len() == self.filled) {
                self.emit().map_err(Fault::Sink)?;
            }
        }
    }
}

/// Hashes the content of each chunk and passes it on. The digest, if all of it came.
pub fn digest_content(
    chunks: &Consumer<Chunk>,
    mut hasher: Hasher,
    out: Producer<Chunk>,
    waker: &Waker,
    stop: &Stop,
    stages: &Stages,
) -> Option<String> {
    loop {
        if stop.is_set() {
            return None;
        }
        match chunks.pop(TICK) {
            Popped::Item(chunk) => {
                let content = chunk.bytes().get(..chunk.len).unwrap_or_default();
                timed(&stages.digest_ns, || hasher.update(content));
                if out.push(chunk).is_err() {
                    return None;
                }
                waker.wake();
            }
            Popped::Empty => {}
            Popped::End => {
                drop(out);
                waker.wake();
                return Some(hasher.finish());
            }
        }
    }
}

/// The last lane, as the writer reads it.
pub struct Last(pub Consumer<Chunk>);

impl Feed for Last {
    fn next(&mut self) -> Fed {
        match self.0.pop(Duration::ZERO) {
            Popped::Item(chunk) => Fed::Chunk(chunk),
            Popped::Empty => Fed::Empty,
            Popped::End => Fed::End,
        }
    }
}

/// Time since `start`, less what was waited.
pub fn busy(start: Instant, waited: &std::sync::atomic::AtomicU64) -> u64 {
    (start.elapsed().as_nanos() as u64).saturating_sub(waited.load(Ordering::Relaxed))
}

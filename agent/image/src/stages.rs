//! The threads between source and device: digest of the wire bytes, decoding into chunks, digest of the content.

use super::decode::Fault;
use super::digest::Hasher;
use super::input::Pieces;
use super::lane::{Consumer, Popped, Producer};
use super::pieces::TICK;
use super::progress::{Stages, timed};
use super::sniff::{self, Container};
use super::source::Stream;
use super::wire::WireCheck;
use super::{ImageError, Stop};
use burin_disk::{CHUNK, Chunk, Fed, Feed, Pool, PoolBuf, Waker};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Chunks that may wait between two stages.
pub const CHUNKS: usize = 4;

/// Wire bytes on their way through a digest.
pub type Wire = Result<Vec<u8>, ImageError>;

/// Hashes what `first` and `stream` give and passes it on. None where it did not come whole; then the lane tells why.
pub fn digest_wire(
    first: Vec<Vec<u8>>,
    mut stream: Stream,
    check: &WireCheck,
    out: &Producer<Wire>,
    stages: &Stages,
) -> Result<Option<String>, ImageError> {
    let mut sum = check.begin()?;
    let mut first = first.into_iter();
    loop {
        let piece = match first.next() {
            Some(piece) => piece,
            None => match stream.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => return timed(&stages.digest_ns, || sum.finish(stream.name())),
                Err(error) => {
                    let _ = out.push(Err(error));
                    return Ok(None);
                }
            },
        };
        timed(&stages.digest_ns, || sum.update(&piece));
        if out.push(Ok(piece)).is_err() {
            return Ok(None);
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
    pub waited: Arc<AtomicU64>,
}

impl Pieces for Waiting {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        timed(&self.waited, || self.inner.next())
    }
}

/// Where a chunker's chunks come from and go to.
pub struct Ports<'a> {
    pub name: &'a str,
    pub pool: &'a Pool,
    pub out: Producer<Chunk>,
    /// Rung for each chunk, where the writer takes them directly.
    pub waker: Option<Waker>,
    pub stop: &'a Stop,
    pub stages: &'a Stages,
    pub waited: &'a AtomicU64,
    /// Bytes the target has room for.
    pub room: u64,
    pub sector: u32,
    /// Sector sizes that a partition table has to be made for: those of the targets that are disks.
    pub tables: Vec<u32>,
    /// Whether a disk image container may not appear here: it was found inside a compressed stream.
    pub compressed: bool,
}

/// Cuts the decoded stream into chunks.
pub struct Chunker<'a> {
    ports: Ports<'a>,
    buf: Option<PoolBuf>,
    filled: usize,
    offset: u64,
}

impl<'a> Chunker<'a> {
    pub fn new(ports: Ports<'a>) -> Self {
        Self { ports, buf: None, filled: 0, offset: 0 }
    }

    pub fn stop(&self) -> &'a Stop {
        self.ports.stop
    }

    /// An error once the write shall stop.
    pub fn check(&self) -> Result<(), ImageError> {
        self.ports.stop.check()
    }

    fn emit(&mut self) -> Result<(), ImageError> {
        let Some(buf) = self.buf.take() else { return Ok(()) };
        let len = std::mem::take(&mut self.filled);
        if self.offset == 0 && self.ports.compressed {
            refuse_container(self.ports.name, &buf[..len])?;
        }
        let chunk = Chunk::new(self.offset, buf, len, self.ports.sector);
        self.send(chunk)
    }

    fn send(&mut self, chunk: Chunk) -> Result<(), ImageError> {
        if self.offset == 0 {
            for &device in &self.ports.tables {
                if let Some(image) = sniff::other_sectors(chunk.bytes(), device) {
                    return Err(ImageError::SectorSize { source_name: self.ports.name.to_owned(), image, device });
                }
            }
        }
        let end = self.offset + chunk.len as u64;
        if end > self.ports.room {
            let (source_name, device) = (self.ports.name.to_owned(), self.ports.room);
            return Err(ImageError::TooLarge { source_name, at_least: end, exact: false, device });
        }
        self.offset = end;
        self.ports.stages.image_bytes.store(end, Ordering::Relaxed);
        timed(self.ports.waited, || self.ports.out.push(chunk)).map_err(|_| ImageError::Cancelled)?;
        if let Some(waker) = &self.ports.waker {
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
            return Err(ImageError::Truncated { source_name: self.ports.name.to_owned(), offset: 0, expected: None });
        }
        let (length, waker) = (self.offset, self.ports.waker.take());
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

impl<'a> Chunker<'a> {
    /// Takes a whole chunk as it is, if it falls on a chunk's boundary here; copies it otherwise.
    pub fn take(&mut self, mut chunk: Chunk) -> Result<(), Fault> {
        // What the first chunk holds has to be looked at.
        if self.filled > 0 || self.offset == 0 {
            return self.fill(&mut chunk.bytes());
        }
        chunk.offset = self.offset;
        self.send(chunk).map_err(Fault::Sink)
    }

    /// The next `len` bytes are zeros.
    pub fn zeros(&mut self, mut len: usize) -> Result<(), Fault> {
        while len > 0 {
            self.check().map_err(Fault::Sink)?;
            let count = len.min(CHUNK - self.filled);
            if count == CHUNK && self.offset > 0 {
                self.send(Chunk::zeros(self.offset, self.ports.pool)).map_err(Fault::Sink)?;
            } else {
                self.fill(&mut std::io::repeat(0).take(count as u64))?;
            }
            len -= count;
        }
        Ok(())
    }

    /// Where chunks come from.
    pub fn pool(&self) -> &'a Pool {
        self.ports.pool
    }

    /// Counts the time in which decoding waits for the stages behind it.
    pub fn waited(&self) -> &'a AtomicU64 {
        self.ports.waited
    }

    /// A buffer, once there is one; an error when the write stops.
    fn buffer(&self) -> Result<PoolBuf, ImageError> {
        timed(self.ports.waited, || {
            loop {
                self.ports.stop.check()?;
                if let Some(buf) = self.ports.pool.take_within(TICK) {
                    return Ok(buf);
                }
            }
        })
    }

    /// Sends the next chunk as it is. All but the last are whole.
    pub fn place(&mut self, buf: PoolBuf, len: usize) -> Result<(), ImageError> {
        self.send(Chunk::new(self.offset, buf, len, self.ports.sector))
    }

    /// The next bytes are on the target already.
    pub fn skip(&mut self, len: usize) {
        self.offset += len as u64;
        self.ports.stages.image_bytes.store(self.offset, Ordering::Relaxed);
    }

    /// Takes all that `reader` gives. Errors of the reader come back as [`Fault::Read`].
    pub fn fill(&mut self, reader: &mut dyn Read) -> Result<(), Fault> {
        loop {
            self.ports.stop.check().map_err(Fault::Sink)?;
            if self.buf.is_none() {
                self.buf = Some(self.buffer().map_err(Fault::Sink)?);
            }
            let Some(buf) = &mut self.buf else { continue };
            match reader.read(&mut buf[self.filled..]) {
                Ok(0) => {
                    if self.filled == 0 {
                        self.buf = None;
                    }
                    return Ok(());
                }
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
    waker: Option<&Waker>,
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
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Popped::Empty => {}
            Popped::End => {
                drop(out);
                if let Some(waker) = waker {
                    waker.wake();
                }
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
pub fn busy(start: Instant, waited: &AtomicU64) -> u64 {
    (start.elapsed().as_nanos() as u64).saturating_sub(waited.load(Ordering::Relaxed))
}

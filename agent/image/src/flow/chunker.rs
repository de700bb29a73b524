//! Splits the decoded stream into chunks for the device.

use crate::error::ImageError;
use crate::flow::channel::Producer;
use crate::flow::pieces::TICK;
use crate::flow::progress::{Stages, timed};
use crate::flow::stop::Stop;
use crate::proof::mib::MibDigest;
use burin_disk::{CHUNK, Chunk, Pool, PoolBuf, Waker};
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};

/// Chunks that may wait between two stages.
pub const CHUNKS: usize = 4;

/// Why a decoder stops.
#[derive(Debug)]
pub enum DecodeError {
    Read(io::Error),
    /// The image does not fit the target, or the write was stopped.
    Sink(ImageError),
}

/// The source and destination of a chunker's chunks.
pub struct Output<'a> {
    pub name: &'a str,
    pub pool: &'a Pool,
    pub chunks: Producer<Chunk>,
    /// Notified for each chunk, if the writer takes them directly.
    pub waker: Option<Waker>,
    pub stop: &'a Stop,
    pub stages: &'a Stages,
    pub waited: &'a AtomicU64,
    /// Size of the target in bytes.
    pub room: u64,
    pub sector: u32,
}

/// Splits the decoded stream into chunks.
pub struct Chunker<'a> {
    out: Output<'a>,
    buf: Option<PoolBuf>,
    filled: usize,
    offset: u64,
    sum: MibDigest,
    last: Vec<u8>,
}

/// The result of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// Bytes of the image.
    pub length: u64,
    /// The digest that reading it back from a device must give.
    pub sum: String,
    /// Its last 512 bytes.
    pub last: Vec<u8>,
}

impl<'a> Chunker<'a> {
    pub fn new(out: Output<'a>) -> Self {
        Self { out, buf: None, filled: 0, offset: 0, sum: MibDigest::default(), last: Vec::new() }
    }

    pub fn stop(&self) -> &'a Stop {
        self.out.stop
    }

    /// An error if the write must stop.
    pub fn check(&self) -> Result<(), ImageError> {
        self.out.stop.check()
    }

    fn emit(&mut self) -> Result<(), ImageError> {
        let Some(buf) = self.buf.take() else { return Ok(()) };
        let len = std::mem::take(&mut self.filled);
        let chunk = Chunk::new(self.offset, buf, len, self.out.sector);
        self.send(chunk)
    }

    fn send(&mut self, chunk: Chunk) -> Result<(), ImageError> {
        let end = self.offset + chunk.len as u64;
        if end > self.out.room {
            let (source_name, device) = (self.out.name.to_owned(), self.out.room);
            return Err(ImageError::TooLarge { source_name, at_least: end, exact: false, device });
        }
        self.sum.chunk(&chunk);
        let content = chunk.bytes().get(..chunk.len).unwrap_or_default();
        self.last.clear();
        self.last.extend_from_slice(content.get(content.len().saturating_sub(512)..).unwrap_or_default());
        self.offset = end;
        self.out.stages.image_bytes.store(end, Ordering::Relaxed);
        timed(self.out.waited, || self.out.chunks.push(chunk)).map_err(|_| ImageError::Cancelled)?;
        if let Some(waker) = &self.out.waker {
            waker.wake();
        }
        Ok(())
    }

    /// Sends what is left and ends the stream.
    pub fn finish(mut self) -> Result<Chunked, ImageError> {
        if self.filled > 0 {
            self.emit()?;
        }
        if self.offset == 0 {
            // An empty compressed file.
            return Err(ImageError::Truncated { source_name: self.out.name.to_owned(), offset: 0, expected: None });
        }
        let (sum, last) = (std::mem::take(&mut self.sum).finish(), std::mem::take(&mut self.last));
        let (length, waker) = (self.offset, self.out.waker.take());
        drop(self);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Chunked { length, sum, last })
    }
}

impl<'a> Chunker<'a> {
    /// Uses a whole chunk as it is, if it is aligned to a chunk here; otherwise copies it.
    pub fn take(&mut self, mut chunk: Chunk) -> Result<(), DecodeError> {
        if self.filled > 0 {
            return self.fill(&mut chunk.bytes());
        }
        chunk.offset = self.offset;
        self.send(chunk).map_err(DecodeError::Sink)
    }

    /// Adds `len` zeros.
    pub fn zeros(&mut self, mut len: usize) -> Result<(), DecodeError> {
        while len > 0 {
            self.check().map_err(DecodeError::Sink)?;
            let count = len.min(CHUNK - self.filled);
            if count == CHUNK {
                self.send(Chunk::zeros(self.offset, self.out.pool)).map_err(DecodeError::Sink)?;
            } else {
                self.fill(&mut io::repeat(0).take(count as u64))?;
            }
            len -= count;
        }
        Ok(())
    }

    /// The pool of chunk buffers.
    pub fn pool(&self) -> &'a Pool {
        self.out.pool
    }

    /// Counts the time that decoding waits for later stages.
    pub fn waited(&self) -> &'a AtomicU64 {
        self.out.waited
    }

    /// Waits for a buffer; an error if the write stops.
    pub fn buffer(&self) -> Result<PoolBuf, ImageError> {
        timed(self.out.waited, || {
            loop {
                self.out.stop.check()?;
                if let Some(buf) = self.out.pool.take_within(TICK) {
                    return Ok(buf);
                }
            }
        })
    }

    /// Sends a buffer as the next chunk. All but the last must be full.
    pub fn place(&mut self, buf: PoolBuf, len: usize) -> Result<(), ImageError> {
        self.send(Chunk::new(self.offset, buf, len, self.out.sector))
    }

    /// Skips bytes that are on the target already. `digest` is their XXH3-128.
    pub fn skip(&mut self, len: usize, digest: u128) {
        self.sum.digest(digest);
        self.offset += len as u64;
        self.out.stages.image_bytes.store(self.offset, Ordering::Relaxed);
    }

    /// Reads `reader` to its end. Its errors are returned as [`DecodeError::Read`].
    pub fn fill(&mut self, reader: &mut dyn Read) -> Result<(), DecodeError> {
        loop {
            self.out.stop.check().map_err(DecodeError::Sink)?;
            if self.buf.is_none() {
                self.buf = Some(self.buffer().map_err(DecodeError::Sink)?);
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
                Err(error) => return Err(DecodeError::Read(error)),
            }
            if self.buf.as_ref().is_some_and(|buf| buf.len() == self.filled) {
                self.emit().map_err(DecodeError::Sink)?;
            }
        }
    }
}

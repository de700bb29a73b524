//! The stages between source and device: digest of the downloaded bytes, decoding into chunks, digest of the content.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer};
use crate::flow::input::Pieces;
use crate::flow::pieces::TICK;
use crate::flow::progress::{Stages, timed};
use crate::flow::stop::Stop;
use crate::proof::digest::Hasher;
use crate::proof::wire::{WireCheck, WireDigests};
use crate::source::Stream;
use burin_disk::{Chunk, Fed, Feed, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Downloaded bytes on their way through a digest.
pub type Wire = Result<Vec<u8>, ImageError>;

/// Hashes the bytes of `first` and `stream`, and passes them on. `None` if they did not arrive completely; then the
/// channel contains the error.
pub fn digest_wire(
    first: Vec<Vec<u8>>,
    mut stream: Stream,
    check: &WireCheck,
    out: &Producer<Wire>,
    stages: &Stages,
) -> Result<Option<WireDigests>, ImageError> {
    let mut sum = check.begin()?;
    let mut first = first.into_iter();
    loop {
        let piece = match first.next() {
            Some(piece) => piece,
            None => match stream.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => return timed(&stages.digest_ns, || sum.finish(stream.name())).map(Some),
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

/// Pieces from another stage.
pub struct Piped {
    pub pieces: Consumer<Wire>,
    pub stop: Arc<Stop>,
}

impl Pieces for Piped {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        loop {
            self.stop.check()?;
            match self.pieces.pop(TICK) {
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

/// Hashes the content of each chunk, and passes it on. Returns the digest if everything arrived.
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

/// The chunks for a device's writer.
pub struct ChunkFeed {
    /// Comes before the others.
    pub first: Option<Chunk>,
    pub chunks: Consumer<Chunk>,
}

impl Feed for ChunkFeed {
    fn next(&mut self) -> Fed {
        if let Some(first) = self.first.take() {
            return Fed::Chunk(first);
        }
        match self.chunks.pop(Duration::ZERO) {
            Popped::Item(chunk) => Fed::Chunk(chunk),
            Popped::Empty => Fed::Empty,
            Popped::End => Fed::End,
        }
    }
}

/// Time since `start`, minus the time spent waiting.
pub fn busy(start: Instant, waited: &AtomicU64) -> u64 {
    (start.elapsed().as_nanos() as u64).saturating_sub(waited.load(Ordering::Relaxed))
}

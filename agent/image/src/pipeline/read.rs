//! The decoded bytes of an image as a stream, for callers that do not write them to a device: trees.

use crate::codec::decode::{self, DecodeLimits};
use crate::codec::sniff;
use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, channel};
use crate::flow::chunker::{Chunker, Output};
use crate::flow::input::{Input, Pieces};
use crate::flow::pieces::{PIECES, TICK};
use crate::flow::progress::Cancel;
use crate::flow::progress::Stages;
use crate::flow::stop::Stop;
use crate::options::Options;
use crate::pipeline::open::beginning;
use crate::pipeline::stages::{self, Piped};
use crate::proof::digest::{Expected, Hasher};
use crate::proof::signature::Signed;
use crate::proof::wire::WireCheck;
use crate::source::Source;
use burin_disk::{Chunk, Pool};
use burin_protocol::image::ImageDigests;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Chunks that may wait between decoder and reader, and their buffers.
const CHUNKS: usize = 4;

/// The result of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadReceipt {
    /// The first URL without credentials, or the path.
    pub name: String,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: &'static str,
    pub wire_bytes: u64,
    /// Decoded.
    pub bytes: u64,
    /// Digests that were computed, and verified.
    pub digest: ImageDigests,
}

/// Gives `take` the decoded bytes, reads what it leaves, compares digests and checks the signature: what `take` made
/// counts only if this returns `Ok`. An error of the source goes before what `take` makes of it.
pub fn read<T, E: From<ImageError>>(
    source: Source,
    expected: &ImageDigests,
    signature: Option<Signed>,
    cancel: &Cancel,
    take: impl FnOnce(&mut dyn Read) -> Result<T, E>,
) -> Result<(T, ReadReceipt), E> {
    let check = WireCheck::new(expected.wire.as_deref(), signature)?;
    let content = expected.content.as_deref().map(Expected::parse).transpose()?;
    let stop = Arc::new(Stop::new(cancel));
    let stages = Arc::new(Stages::default());
    let mut stream = source.open(&stop, &stages)?;
    let name = stream.name().to_owned();
    let (first, head) = beginning(&mut stream)?;
    let compression = sniff::compression(&head);
    let pool = Pool::new(CHUNKS + 2);
    let (out, chunks) = channel(CHUNKS);
    let mut closers = vec![chunks.closer()];
    let waited = AtomicU64::new(0);
    let mut reader = Chunks { chunks, now: None, used: 0, hasher: content.as_ref().map(Expected::hasher), bytes: 0 };

    let (taken, wire) = thread::scope(|scope| {
        let (stop, stages, name, pool, waited, check) = (&stop, &stages, &name, &pool, &waited, &check);
        let (out_pieces, pieces) = channel(PIECES);
        closers.push(pieces.closer());
        let named = thread::Builder::new().name("burin-wire-sum".into());
        let body = move || stages::digest_wire(first, stream, check, &out_pieces, stages);
        let summing = named.spawn_scoped(scope, body).map_err(|source| ImageError::Thread { source })?;
        let pieces: Box<dyn Pieces> = Box::new(Piped { pieces, stop: stop.clone() });
        let mut input = Input::new(pieces);
        let decoder = thread::Builder::new().name("burin-decode".into()).spawn_scoped(scope, move || {
            let output =
                Output { name, pool, chunks: out, waker: None, stop, stages, waited, room: u64::MAX, sector: 512 };
            let mut chunker = Chunker::new(output);
            let (window_log, proven) = (Options::default().window_log, !check.is_empty());
            let limits = DecodeLimits { workers: 1, window_log, in_flight: 0, memory: 0, proven };
            decode::decode(&mut input, compression, limits, name, &mut chunker)?;
            chunker.finish()
        });
        let decoder = decoder.map_err(|source| ImageError::Thread { source })?;
        let taken = take(&mut reader).and_then(|value| match io::copy(&mut reader, &mut io::sink()) {
            Ok(_) => Ok(value),
            Err(_) => Err(ImageError::Cancelled.into()),
        });
        let own = taken.is_err() && !decoder.is_finished();
        if taken.is_err() {
            stop.fail();
            closers.iter().for_each(|close| close());
        }
        let decoded = decoder.join().unwrap_or(Err(ImageError::Broken { stage: "decode" }));
        let wire = summing.join().unwrap_or(Err(ImageError::Broken { stage: "digest" }));
        match (taken, decoded) {
            (Ok(value), Ok(_)) => Ok((value, wire?)),
            (Ok(_), Err(error)) => Err(error.into()),
            // Called off because of what `take` found.
            (Err(error), Err(ImageError::Cancelled)) if own && !stop.cancel.is_cancelled() => Err(error),
            (Err(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(error),
        }
    })?;

    let digest =
        ImageDigests { wire: wire.and_then(|wire| wire.asked), content: reader.hasher.take().map(Hasher::finish) };
    if let (Some(expected), Some(actual)) = (&content, &digest.content) {
        expected.check(actual, &name, "content")?;
    }
    let wire_bytes = stages.wire_bytes.load(Ordering::Relaxed);
    let receipt = ReadReceipt { name, compression: compression.name(), wire_bytes, bytes: reader.bytes, digest };
    Ok((taken, receipt))
}

/// The decoder's chunks as one stream. A decoder that failed ends it early: its own error tells.
struct Chunks {
    chunks: Consumer<Chunk>,
    now: Option<Chunk>,
    used: usize,
    hasher: Option<Hasher>,
    bytes: u64,
}

impl Read for Chunks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(chunk) = &self.now {
                let content = chunk.bytes().get(self.used..chunk.len).unwrap_or_default();
                if !content.is_empty() {
                    let count = content.len().min(out.len());
                    let (Some(to), Some(from)) = (out.get_mut(..count), content.get(..count)) else { return Ok(0) };
                    to.copy_from_slice(from);
                    self.used += count;
                    return Ok(count);
                }
                self.now = None;
            }
            match self.chunks.pop(TICK) {
                Popped::Item(chunk) => {
                    let content = chunk.bytes().get(..chunk.len).unwrap_or_default();
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(content);
                    }
                    self.bytes += content.len() as u64;
                    (self.now, self.used) = (Some(chunk), 0);
                }
                Popped::Empty => {}
                Popped::End => return Ok(0),
            }
        }
    }
}

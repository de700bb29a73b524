//! An image's index, made without writing the image anywhere.

use super::budget::{self, LEAST_BUFFERS};
use super::caibx::{Caibx, Indexer};
use super::decode::{self, Limits};
use super::digest::Expected;
use super::input::Input;
use super::lane::{Popped, lane};
use super::opened::{Opened, Parts};
use super::pieces::TICK;
use super::progress::Stages;
use super::sniff::Compression;
use super::source::Source;
use super::stages::{CHUNKS, Chunker, Ports, Replay};
use super::{Cancel, ImageError, Options, Signed, Stop, WriteRequest};
use burin_disk::Pool;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

/// Reads an image of any format and compression and gives the index of what would be on the disk.
pub fn index(source: Source, options: Options, cancel: &Cancel) -> Result<Caibx, ImageError> {
    let (stop, stages) = (Arc::new(Stop::new(cancel)), Arc::new(Stages::default()));
    let request = WriteRequest { options, ..WriteRequest::new(source) };
    let Opened { facts, first, stream, parts, .. } = Opened::new(request, u64::MAX, None, &stop, &stages)?;
    let buffers = options.buffers.max(LEAST_BUFFERS);
    let pool = Pool::new(buffers);
    let (out, chunks) = lane(CHUNKS);
    let (stop, stages, facts, pool) = (&*stop, &*stages, &facts, &pool);
    thread::scope(|scope| {
        let decoder = thread::Builder::new().name("burin-decode".into()).spawn_scoped(scope, move || {
            let mut input = Input::new(Box::new(Replay { first: first.into_iter(), stream }));
            let waited = AtomicU64::new(0);
            let mut chunker = Chunker::new(Ports {
                name: &facts.name,
                pool,
                out,
                waker: None,
                stop,
                stages,
                waited: &waited,
                room: u64::MAX,
                sector: 512,
                tables: Vec::new(),
                compressed: facts.compression != Compression::None,
            });
            if let Some(Parts::Qcow2(image)) = parts {
                image.run(options.workers(), buffers, &mut chunker)?;
                return chunker.finish();
            }
            let in_flight = budget::IN_FLIGHT;
            let limits = Limits { workers: options.workers(), window_log: options.window_log, in_flight };
            decode::decode(&mut input, facts.compression, limits, &facts.name, &mut chunker)?;
            chunker.finish()
        });
        let decoder = decoder.map_err(|source| ImageError::Thread { source })?;
        let mut indexer = Indexer::default();
        loop {
            match chunks.pop(TICK) {
                Popped::Item(chunk) => indexer.update(chunk.bytes().get(..chunk.len).unwrap_or_default()),
                Popped::Empty => {}
                Popped::End => break,
            }
        }
        let length = decoder.join().map_err(|_| ImageError::Broken { stage: "decode" })??;
        let index = indexer.finish();
        if index.length == length { Ok(index) } else { Err(ImageError::Broken { stage: "index" }) }
    })
}

/// An index of more bytes belongs to an image of several hundred gigabytes.
const LARGEST: usize = 64 << 20;

/// Fetches an index that was made before. With a digest or a signature, only the right one counts.
pub fn fetch_index(
    source: Source,
    digest: Option<&str>,
    signature: Option<&Signed>,
    cancel: &Cancel,
) -> Result<Caibx, ImageError> {
    let expected = digest.map(Expected::parse).transpose()?;
    let mut stream = source.open(&Arc::new(Stop::new(cancel)), &Arc::new(Stages::default()))?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next()? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LARGEST {
            let what = "is larger than any index that is read (64 MiB)".to_owned();
            return Err(ImageError::Unsupported { source_name: stream.name().to_owned(), what });
        }
    }
    if let Some(expected) = expected {
        let mut hasher = expected.hasher();
        hasher.update(&bytes);
        expected.check(&hasher.finish(), stream.name(), "index")?;
    }
    if let Some(signature) = signature {
        signature.check(&bytes)?;
    }
    Caibx::parse(&bytes, stream.name())
}

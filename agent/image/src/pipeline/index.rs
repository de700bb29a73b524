//! Makes the index of an image without writing the image anywhere.

use crate::budget::LEAST_BUFFERS;
use crate::codec::decode;
use crate::delta::caibx::{Caibx, Indexer};
use crate::error::ImageError;
use crate::flow::channel::{Popped, channel};
use crate::flow::chunker::{CHUNKS, Chunker, Output};
use crate::flow::input::Input;
use crate::flow::pieces::TICK;
use crate::flow::progress::Cancel;
use crate::flow::progress::Stages;
use crate::flow::stop::Stop;
use crate::memory;
use crate::options::Options;
use crate::pipeline::open::{OpenImage, OpenedSource, Opening, Parts};
use crate::request::WriteRequest;
use crate::source::Replay;
use crate::source::Source;
use burin_disk::Pool;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

/// Reads an image of any format and compression, and returns the index of what would be on the disk.
pub fn index(source: Source, options: Options, cancel: &Cancel) -> Result<Caibx, ImageError> {
    let (stop, stages) = (Arc::new(Stop::new(cancel)), Arc::new(Stages::default()));
    let request = WriteRequest { options, ..WriteRequest::new(source) };
    let opening = Opening { room: u64::MAX, only: None, devices: 1, stop: &stop, stages: &stages };
    let OpenImage { info, fetched, .. } = opening.open(request)?;
    let buffers = options.buffers.max(LEAST_BUFFERS);
    let pool = Pool::new(buffers);
    let (out, chunks) = channel(CHUNKS);
    let (stop, stages, info, pool) = (&*stop, &*stages, &info, &pool);
    thread::scope(|scope| {
        let decoder = thread::Builder::new().name("burin-decode".into()).spawn_scoped(scope, move || {
            let waited = AtomicU64::new(0);
            let mut chunker = Chunker::new(Output {
                name: &info.name,
                pool,
                chunks: out,
                waker: None,
                stop,
                stages,
                waited: &waited,
                room: u64::MAX,
                sector: 512,
            });
            match fetched {
                OpenedSource::Parts(Parts::Qcow2(image)) => image.run(options.workers(), buffers, &mut chunker)?,
                OpenedSource::Parts(Parts::Delta(_)) => return Err(ImageError::Broken { stage: "delta" }),
                OpenedSource::Stream { first, stream } => {
                    let mut input = Input::new(Box::new(Replay { first: first.into_iter(), stream }));
                    let limits = info.limits(memory::available().unwrap_or(0));
                    decode::decode(&mut input, info.compression, limits, &info.name, &mut chunker)?;
                }
            }
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
        if index.length == length.length { Ok(index) } else { Err(ImageError::Broken { stage: "index" }) }
    })
}

//! Compares the target with the index, in several threads, and returns the results in the order of the image.

use crate::delta::caibx::{self, Caibx};
use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::pieces::TICK;
use crate::flow::stop::Stop;
use burin_disk::{CHUNK, Pool, PoolBuf};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

/// Buffers of each thread: one being read into, one that waits, and one in use by the caller.
const BUFFERS: usize = 3;

/// The number of threads: enough that some hash while others wait for the device. Their buffers use the part of the
/// budget that is for zstd frames, which are not decoded in parallel here.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get() * 2).clamp(2, 8)
}
const _: () = assert!(8 * BUFFERS * CHUNK <= crate::budget::IN_FLIGHT);

/// A chunk of the writer as found on the target.
pub struct ComparedChunk {
    pub buf: PoolBuf,
    pub len: usize,
    /// For each chunk of the index whether it is as in the image.
    pub same: Vec<bool>,
    /// XXH3-128 of the chunk, if all of it is correct.
    pub digest: Option<u128>,
}

/// Returns the chunks in order, starting with the second.
pub struct Compare<'a> {
    readers: Vec<Consumer<ComparedChunk>>,
    stop: &'a Stop,
    next: usize,
}

impl<'a> Compare<'a> {
    /// Starts to read `file`. The threads end when this is dropped and `over` is set.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        file: &'scope std::fs::File,
        index: &'scope Caibx,
        stop: &'a Stop,
        over: &'scope AtomicBool,
    ) -> Result<Self, ImageError>
    where
        'a: 'scope,
    {
        let threads = threads();
        let mut readers = Vec::new();
        for first in 0..threads {
            let (out, held) = channel(1);
            let work =
                move || read(file, index, (first, threads), &out, &|| stop.is_set() || over.load(Ordering::Relaxed));
            let named = thread::Builder::new().name(format!("burin-compare-{first}"));
            named.spawn_scoped(scope, work).map_err(|source| ImageError::Thread { source })?;
            readers.push(held);
        }
        Ok(Self { readers, stop, next: 0 })
    }

    /// The next chunk of the image.
    pub fn next(&mut self) -> Result<ComparedChunk, ImageError> {
        let broken = || ImageError::Broken { stage: "compare" };
        let reader = self.readers.get(self.next % self.readers.len().max(1)).ok_or_else(broken)?;
        self.next += 1;
        loop {
            self.stop.check()?;
            match reader.pop(TICK) {
                Popped::Item(held) => return Ok(held),
                Popped::Empty => {}
                Popped::End => return Err(broken()),
            }
        }
    }
}

/// Reads every `threads`-th chunk after the first one, which was erased; skips the first `first` of them.
fn read(
    file: &std::fs::File,
    index: &Caibx,
    (first, threads): (usize, usize),
    out: &Producer<ComparedChunk>,
    over: &dyn Fn() -> bool,
) {
    let pool = Pool::lazy(BUFFERS);
    for offset in ((1 + first as u64) * CHUNK as u64..index.length).step_by(threads * CHUNK) {
        let len = (index.length - offset).min(CHUNK as u64) as usize;
        let mut buf = loop {
            if over() {
                return;
            }
            if let Some(buf) = pool.take_within(TICK) {
                break buf;
            }
        };
        // The last may end within a sector.
        let inner = offset + (len as u64) < index.length;
        // What cannot be read is written anew.
        let readable = inner && file.read_exact_at(&mut buf[..len], offset).is_ok();
        let parts = (offset..).step_by(caibx::CHUNK as usize).zip(buf[..len].chunks(caibx::CHUNK as usize));
        let same: Vec<bool> = parts.map(|(offset, part)| readable && index.matches(offset, part)).collect();
        let digest = same.iter().all(|same| *same).then(|| burin_disk::checksum(&buf[..len]));
        if out.push(ComparedChunk { buf, len, same, digest }).is_err() {
            return;
        }
    }
}

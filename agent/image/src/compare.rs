//! What the target holds already: read and compared with the index by several threads, told in the order of the image.

use super::caibx::{self, Caibx};
use super::lane::{Consumer, Popped, Producer, lane};
use super::pieces::TICK;
use super::{ImageError, Stop};
use burin_disk::{CHUNK, Pool, PoolBuf};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};

/// Buffers of each thread: one being read into, one that waits, one in the hands of whoever asked.
const BUFFERS: usize = 3;

/// Threads, so many that some hash while others wait for the device. Their buffers fit in what zstd frames, which are
/// not decoded side by side here, leave of the budget.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get() * 2).clamp(2, 8)
}
const _: () = assert!(8 * BUFFERS * CHUNK <= super::budget::IN_FLIGHT);

/// A chunk of the writer as it is on the target.
pub struct Held {
    pub buf: PoolBuf,
    pub len: usize,
    /// For each chunk of the index whether it is what it shall be.
    pub same: Vec<bool>,
}

/// Gives the chunks one after the other.
pub struct Compare<'a> {
    lanes: Vec<Consumer<Held>>,
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
        let mut lanes = Vec::new();
        for first in 0..threads {
            let (out, held) = lane(1);
            let work =
                move || read(file, index, (first, threads), &out, &|| stop.is_set() || over.load(Ordering::Relaxed));
            let named = thread::Builder::new().name(format!("burin-compare-{first}"));
            named.spawn_scoped(scope, work).map_err(|source| ImageError::Thread { source })?;
            lanes.push(held);
        }
        Ok(Self { lanes, stop, next: 0 })
    }

    /// The next chunk of the image.
    pub fn next(&mut self) -> Result<Held, ImageError> {
        let broken = || ImageError::Broken { stage: "compare" };
        let lane = self.lanes.get(self.next % self.lanes.len().max(1)).ok_or_else(broken)?;
        self.next += 1;
        loop {
            self.stop.check()?;
            match lane.pop(TICK) {
                Popped::Item(held) => return Ok(held),
                Popped::Empty => {}
                Popped::End => return Err(broken()),
            }
        }
    }
}

/// Every `threads`-th chunk, beginning with `first`.
fn read(
    file: &std::fs::File,
    index: &Caibx,
    (first, threads): (usize, usize),
    out: &Producer<Held>,
    over: &dyn Fn() -> bool,
) {
    let pool = Pool::lazy(BUFFERS);
    for offset in (first as u64 * CHUNK as u64..index.length).step_by(threads * CHUNK) {
        let len = (index.length - offset).min(CHUNK as u64) as usize;
        let mut buf = loop {
            if over() {
                return;
            }
            if let Some(buf) = pool.take_within(TICK) {
                break buf;
            }
        };
        // The first chunk was erased, and the last may end within a sector.
        let inner = offset > 0 && offset + (len as u64) < index.length;
        // What cannot be read is written anew.
        let readable = inner && file.read_exact_at(&mut buf[..len], offset).is_ok();
        let parts = (offset..).step_by(caibx::CHUNK as usize).zip(buf[..len].chunks(caibx::CHUNK as usize));
        let same = parts.map(|(offset, part)| readable && index.matches(offset, part)).collect();
        if out.push(Held { buf, len, same }).is_err() {
            return;
        }
    }
}

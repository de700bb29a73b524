//! The threads of a write. They are started before a target is touched, and all of them end with the write.

use crate::budget::MemoryShare;
use crate::codec::decode::{self, DecodeLimits};
use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::chunker::{CHUNKS, Chunked, Chunker, Output};
use crate::flow::input::{Input, Pieces};
use crate::flow::pieces::{PIECES, TICK};
use crate::flow::progress::{Phase, Stages};
use crate::flow::stop::Stop;
use crate::memory;
use crate::pipeline::fan_out::{Branch, DeviceFault, fan_out};
use crate::pipeline::info::ImageInfo;
use crate::pipeline::open::{OpenedSource, Parts};
use crate::pipeline::run::{Ready, Run, Streamed};
use crate::pipeline::stages::{self, ChunkFeed, Piped, Waiting};
use crate::proof::digest::Expected;
use crate::proof::wire::WireDigests;
use burin_disk::{Body, Chunk, Counters, Pool, Target, Waker, WriteFailure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// Interval of progress reports.
const TELL: Duration = Duration::from_millis(200);

type Handle<'scope, T> = ScopedJoinHandle<'scope, T>;
/// The image, and the digest of its content if a delta computed one.
type Decoded = Result<(Chunked, Option<String>), ImageError>;
type Bodies<'scope> = Vec<(usize, Result<Body<'scope>, WriteFailure>)>;

/// State shared by the threads of a write.
pub struct Shared<'a> {
    pub info: &'a ImageInfo,
    pub stop: Arc<Stop>,
    pub stages: Arc<Stages>,
    pub devices: Vec<Device<'a>>,
}

/// A device that is written to.
pub struct Device<'a> {
    pub target: &'a Target,
    pub counters: &'a Counters,
    pub fault: &'a DeviceFault,
}

/// The threads that make chunks from the source.
#[derive(Default)]
pub struct Threads<'scope> {
    wire: Option<Handle<'scope, Result<Option<WireDigests>, ImageError>>>,
    decoder: Option<Handle<'scope, Decoded>>,
    content: Option<Handle<'scope, Option<String>>>,
    /// The download is the content, so one digest is enough.
    same: bool,
    /// Close the channels between the threads.
    closers: Vec<Box<dyn Fn() + Send + Sync>>,
}

/// Starts a thread with this name.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<Handle<'scope, T>, ImageError> {
    let named = thread::Builder::new().name(format!("burin-{name}"));
    named.spawn_scoped(scope, body).map_err(|source| ImageError::Thread { source })
}

impl<'scope> Threads<'scope> {
    /// Starts to fetch and decode. `waker` is notified for each chunk.
    pub fn start(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared<'_>,
        fetched: OpenedSource,
        (pool, share): (&'scope Pool, MemoryShare),
        waker: Option<Waker>,
    ) -> Result<Consumer<Chunk>, ImageError> {
        let (sums, pieces) = channel(PIECES);
        self.closers.push(pieces.closer());
        let parts = match fetched {
            OpenedSource::Parts(parts) => Some(parts),
            OpenedSource::Stream { first, stream } => {
                let digest = move || stages::digest_wire(first, stream, &shared.info.wire, &sums, &shared.stages);
                self.wire = Some(spawn(scope, "wire-sum", digest)?);
                None
            }
        };
        let pieces: Box<dyn Pieces> = Box::new(Piped { pieces, stop: shared.stop.clone() });

        let (out, chunks) = channel(CHUNKS);
        self.closers.push(chunks.closer());
        // With a delta only a part of the content passes here.
        self.same = parts.is_none() && shared.info.is_hashed_as_download();
        let hashed = shared.info.content.as_ref().filter(|_| !self.same && !matches!(parts, Some(Parts::Delta(_))));
        let (out, waker) = match hashed {
            None => (out, waker),
            Some(expected) => (self.hash_content(scope, shared, expected, out, waker)?, None),
        };
        self.decoder =
            Some(spawn(scope, "decode", move || decoded(shared, pieces, parts, (pool, share), (out, waker)))?);
        Ok(chunks)
    }

    fn hash_content(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared<'_>,
        expected: &Expected,
        out: Producer<Chunk>,
        waker: Option<Waker>,
    ) -> Result<Producer<Chunk>, ImageError> {
        let (to, chunks) = channel(CHUNKS);
        self.closers.push(chunks.closer());
        let hasher = expected.hasher();
        let digest = move || stages::digest_content(&chunks, hasher, out, waker.as_ref(), &shared.stop, &shared.stages);
        self.content = Some(spawn(scope, "sum", digest)?);
        Ok(to)
    }

    /// Waits for the first chunk. `None` if the threads ended without one; they know why.
    pub fn first(&self, run: &Run<'_>, chunks: &Consumer<Chunk>) -> Result<Option<Chunk>, ImageError> {
        let mut told = Instant::now();
        loop {
            if run.shared.stop.cancel.is_cancelled() {
                return Err(ImageError::Cancelled);
            }
            match chunks.pop(TICK) {
                Popped::Item(chunk) => return Ok(Some(chunk)),
                Popped::End => return Ok(None),
                Popped::Empty if told.elapsed() >= TELL => {
                    told = Instant::now();
                    run.tell(Phase::Preparing);
                }
                Popped::Empty => {}
            }
        }
    }

    /// Waits for all of them. If `stop` is set they end soon.
    pub fn end(self, stop: &Stop) -> Result<Streamed, ImageError> {
        if stop.is_set() {
            self.closers.iter().for_each(|close| close());
        }
        let decoded = self.decoder.map(|thread| join(thread, "decode").flatten());
        let wire = self.wire.map(|thread| join(thread, "digest").flatten());
        let content = self.content.map(|thread| join(thread, "digest"));
        let (chunked, delta_content) = decoded.unwrap_or(Err(ImageError::Broken { stage: "decode" }))?;
        let wire = wire.transpose()?.flatten().unwrap_or_default();
        let same = || wire.sha256.clone().filter(|_| self.same);
        let content = content.transpose()?.flatten().or(delta_content).or_else(same);
        Ok(Streamed { chunked, wire, content })
    }

    /// Writes everything but the ends of the devices.
    pub fn write(
        self,
        scope: &'scope Scope<'scope, '_>,
        run: &'scope Run<'_>,
        first: Chunk,
        chunks: Consumer<Chunk>,
        ready: Vec<Ready<'scope>>,
    ) -> (Result<Streamed, ImageError>, Bodies<'scope>) {
        let mut threads = self;
        let mut failed = None;
        let mut writing = Vec::new();
        match threads.feeds(scope, run.shared, first, chunks, &ready) {
            Ok(feeds) => {
                for (ready, mut feed) in ready.into_iter().zip(feeds) {
                    let (index, writer) = (ready.index, ready.writer);
                    match spawn(scope, "write", move || writer.run(&mut feed)) {
                        Ok(thread) => writing.push((index, thread)),
                        Err(error) => failed = Some(error),
                    }
                }
            }
            Err(error) => failed = Some(error),
        }
        if failed.is_some() {
            run.shared.stop.fail();
        }
        run.shared.stop.accept();
        watch(run, &writing);
        let bodies: Vec<_> = writing
            .into_iter()
            .map(|(index, thread)| (index, thread.join().unwrap_or_else(|_| Err(run.interrupted(index, 0)))))
            .collect();
        if bodies.iter().all(|(_, body)| body.is_err()) {
            run.shared.stop.fail();
        }
        let streamed = threads.end(&run.shared.stop).and_then(|streamed| {
            let length = streamed.chunked.length;
            match bodies.iter().any(|(_, body)| body.as_ref().is_ok_and(|body| body.image() != length)) {
                true => Err(ImageError::Broken { stage: "writer" }),
                false => Ok(streamed),
            }
        });
        (failed.map_or(streamed, Err), bodies)
    }

    /// The source of each writer's chunks: a single writer takes them from the decoder, several from a thread in
    /// between.
    fn feeds(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        shared: &'scope Shared<'_>,
        first: Chunk,
        chunks: Consumer<Chunk>,
        ready: &[Ready<'scope>],
    ) -> Result<Vec<ChunkFeed>, ImageError> {
        if let ([_], [_]) = (ready, shared.devices.as_slice()) {
            return Ok(vec![ChunkFeed { first: Some(first), chunks }]);
        }
        let (mut branches, mut feeds) = (Vec::new(), Vec::new());
        for Ready { index, waker, .. } in ready {
            let Some(device) = shared.devices.get(*index) else { continue };
            let (out, branch) = channel(CHUNKS);
            self.closers.push(branch.closer());
            branches.push(Branch { out, waker: waker.clone(), room: device.target.size(), fault: device.fault });
            feeds.push(ChunkFeed { first: None, chunks: branch });
        }
        spawn(scope, "fan-out", move || fan_out(first, &chunks, &shared.info.name, branches))?;
        Ok(feeds)
    }
}

/// The work of the decoder's thread.
fn decoded(
    shared: &Shared<'_>,
    pieces: Box<dyn Pieces>,
    parts: Option<Parts>,
    (pool, share): (&Pool, MemoryShare),
    (chunks, waker): (Producer<Chunk>, Option<Waker>),
) -> Decoded {
    let (began, waited, info) = (Instant::now(), Arc::new(AtomicU64::new(0)), shared.info);
    let targets = || shared.devices.iter().map(|device| device.target);
    let (room, sector) = (targets().map(Target::size).max(), targets().map(Target::sector).max());
    let mut input = Input::new(Box::new(Waiting { inner: pieces, waited: waited.clone() }));
    let mut chunker = Chunker::new(Output {
        name: &info.name,
        pool,
        chunks,
        waker,
        stop: &shared.stop,
        stages: &shared.stages,
        waited: &waited,
        room: room.unwrap_or(0),
        sector: sector.unwrap_or(512),
    });
    let workers = info.options.workers();
    let decoded = match (parts, shared.devices.as_slice()) {
        (Some(Parts::Delta(delta)), [only]) => {
            let hasher = info.content.as_ref().map(Expected::hasher);
            delta.run(only.target, &info.options, &mut chunker, only.counters, hasher)
        }
        (Some(Parts::Delta(_)), _) => Err(ImageError::Broken { stage: "delta" }),
        (Some(Parts::Qcow2(image)), _) => image.run(workers, share.buffers, &mut chunker).map(|()| None),
        (None, _) => {
            let available = memory::available().unwrap_or(0);
            let limits = DecodeLimits { in_flight: share.in_flight, ..info.limits(available) };
            decode::decode(&mut input, info.compression, limits, &info.name, &mut chunker).map(|()| None)
        }
    };
    let chunked = decoded.and_then(|digest| Ok((chunker.finish()?, digest)));
    shared.stages.decode_ns.store(stages::busy(began, &waited), Ordering::Relaxed);
    if chunked.is_err() {
        shared.stop.fail();
    }
    chunked
}

/// Reports progress until every writer has ended.
fn watch<T>(run: &Run<'_>, writing: &[(usize, Handle<'_, T>)]) {
    let mut told = Instant::now();
    while !writing.iter().all(|(_, thread)| thread.is_finished()) {
        thread::park_timeout(Duration::from_millis(10).min(TELL));
        if told.elapsed() >= TELL {
            told = Instant::now();
            run.tell(Phase::Writing);
        }
    }
}

fn join<T>(thread: Handle<'_, T>, stage: &'static str) -> Result<T, ImageError> {
    thread.join().map_err(|_| ImageError::Broken { stage })
}

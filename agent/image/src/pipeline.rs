//! What is done once the source is open: prepare, stream, check digests, commit. One download for one device or several:
//! what they share stops all of them, what is a device's own stops that one.

use super::budget::{self, Share};
use super::decode::{self, Limits};
use super::digest::Expected;
use super::fan::{Branch, Left, fan};
use super::input::{Input, Pieces};
use super::lane::{Consumer, lane};
use super::opened::{Facts, Parts};
use super::pieces::PIECES;
use super::progress::{Phase, Stages};
use super::report::{Common, Report, tell_notes};
use super::sniff::{self, Compression};
use super::source::Stream;
use super::stages::{self, CHUNKS, Chunker, Last, Piped, Ports, Replay, Waiting};
use super::{ImageError, Stop};
use burin_disk::{Body, Chunk, DiskError, Failure, Pool, Target, Waker, Writer};
use burin_protocol::ImageReceipt;
use burin_protocol::image::{ImageDigests, Verify};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

/// How it ended on each device, in their order. The outer error: nothing was touched.
pub type Ended = Result<Vec<Result<ImageReceipt, ImageError>>, ImageError>;

pub struct Disk<'a> {
    pub report: Report<'a>,
    pub left: Left,
}

pub struct Run<'a> {
    pub opened: &'a Facts,
    pub disks: &'a [Disk<'a>],
    pub stop: Arc<Stop>,
    pub stages: Arc<Stages>,
    pub began: Instant,
}

/// A device that is ready to be written.
struct Ready<'a> {
    index: usize,
    writer: Writer<'a>,
    waker: Waker,
}

/// What became of the streaming stages: the digests, and each device's body or failure.
struct Streamed<'a> {
    digests: Result<ImageDigests, ImageError>,
    bodies: Vec<(usize, Result<Body<'a>, Failure>)>,
}

impl Run<'_> {
    pub fn write(&self, first: Vec<Vec<u8>>, stream: Stream, parts: Option<Parts>) -> Ended {
        let interrupt = |disk: &'_ Disk<'_>| {
            let (stop, left) = (self.stop.clone(), disk.left.clone());
            move || stop.is_set() || left.has_left()
        };
        let interrupts: Vec<_> = self.disks.iter().map(interrupt).collect();
        let mut ended: Vec<Option<Result<ImageReceipt, ImageError>>> = self.disks.iter().map(|_| None).collect();
        let head = first.first().map_or(&[][..], Vec::as_slice);
        let frames = self.opened.compression == Compression::Zstd
            && self.opened.options.workers() > 1
            && sniff::many_frames(head, budget::LARGEST_FRAME as u64);
        let share = budget::share(&self.opened.options, self.disks.len(), frames);
        let pool = match parts {
            // What is compared has buffers of its own.
            Some(Parts::Delta(_)) => Pool::lazy(share.buffers),
            _ => Pool::new(share.buffers),
        };
        let mut ready = Vec::new();
        for ((index, disk), interrupt) in self.disks.iter().enumerate().zip(&interrupts) {
            let target = disk.report.target;
            match self.opened.image_total.filter(|total| *total > target.size()) {
                Some(at_least) => {
                    let (source_name, device) = (self.opened.name.clone(), target.size());
                    let error = ImageError::TooLarge { source_name, at_least, exact: true, device };
                    ended[index] = Some(Err(error));
                }
                None => match self.writer(disk, &pool, interrupt) {
                    Ok((writer, waker)) => ready.push(Ready { index, writer, waker }),
                    Err(error) => ended[index] = Some(Err(error)),
                },
            }
        }
        self.stop.check()?;
        self.tell(Phase::Preparing);
        let ready = side_by_side(ready, |mut ready| {
            let prepared = ready.writer.prepare();
            (ready.index, prepared.map(|()| ready))
        });
        let mut prepared = Vec::new();
        for (index, outcome) in ready {
            match outcome {
                Ok(ready) => prepared.push(ready),
                Err(failure) => ended[index] = Some(Err(self.stopped(index, Phase::Preparing, failure, None))),
            }
        }
        if !prepared.is_empty() {
            let streamed = self.stream((first, stream, parts), (&pool, share), prepared);
            let checked = streamed.digests.and_then(|digests| self.check_content(digests));
            let (digests, shared) = match checked {
                Ok(digests) => (digests, None),
                Err(error) => (ImageDigests::default(), Some(Arc::new(error))),
            };
            let mut bodies = Vec::new();
            for (index, body) in streamed.bodies {
                let failure = match (body, &shared) {
                    (Ok(body), None) => {
                        bodies.push((index, body));
                        continue;
                    }
                    (Ok(body), Some(_)) => self.interrupted(index, body.image()),
                    (Err(failure), _) => failure,
                };
                ended[index] = Some(Err(self.stopped(index, Phase::Writing, failure, shared.clone())));
            }
            self.tell(Phase::Finishing);
            let committed = side_by_side(bodies, |(index, body)| (index, body.commit()));
            for (index, outcome) in committed {
                ended[index] = Some(match outcome {
                    Ok(written) => {
                        log::debug!("holes punched: {}", written.punched);
                        let disk = &self.disks[index];
                        Ok(disk.report.receipt(self.common(), written.image, digests.clone()))
                    }
                    Err(failure) => Err(self.stopped(index, Phase::Finishing, failure, None)),
                });
            }
        }
        Ok(ended.into_iter().map(|ended| ended.unwrap_or(Err(ImageError::Broken { stage: "writer" }))).collect())
    }

    fn writer<'w>(
        &self,
        disk: &'w Disk<'_>,
        pool: &Pool,
        interrupt: burin_disk::Interrupt<'w>,
    ) -> Result<(Writer<'w>, Waker), ImageError> {
        let target = disk.report.target;
        let limits = target.limits();
        let queue = burin_disk::open_queue(target, self.opened.options.backend, limits.depth, pool)
            .map_err(|source| ImageError::Queue { source })?;
        log::info!("{}: writing through {}", target.path().display(), queue.name());
        let options = burin_disk::Options {
            readback: self.opened.verify == Verify::Readback,
            overlap: !limits.rotational,
            depth: limits.depth,
            request: limits.request,
            patience: burin_disk::PATIENCE,
        };
        let waker = queue.waker();
        Ok((Writer::new(target, queue, options, &disk.report.counters, interrupt), waker))
    }

    /// Runs the stages until everything but the first MiB is on the devices.
    fn stream<'w>(
        &self,
        (first, stream, parts): (Vec<Vec<u8>>, Stream, Option<Parts>),
        (pool, share): (&Pool, Share),
        ready: Vec<Ready<'w>>,
    ) -> Streamed<'w> {
        let facts = self.opened;
        let (stop, stages) = (&self.stop, &self.stages);
        let targets = || self.disks.iter().map(|disk| disk.report.target);
        let (room, sector) = (targets().map(Target::size).max(), targets().map(Target::sector).max());
        let disks = targets().filter(|target| target.kind() == burin_disk::Kind::BlockDevice);
        let tables: Vec<u32> = disks.map(Target::sector).collect();
        let (content_out, last) = lane(CHUNKS);
        let mut closers = vec![last.closer()];
        let waited = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let (wakers, mut fanned) = (self.branch(&ready, last, &mut closers), None);
            let (direct, waker) = match wakers {
                Branched::One(last, waker) => (Some(last), Some(waker)),
                Branched::Several { chunks, branches, lasts } => {
                    let body = move || fan(&chunks, &facts.name, branches);
                    fanned = Some((thread::Builder::new().name("burin-fan".into()).spawn_scoped(scope, body), lasts));
                    (None, None)
                }
            };
            let mut failed = None;
            let mut fail = |source| {
                stop.fail();
                let _ = failed.get_or_insert(ImageError::Thread { source });
            };
            let mut digest_wire = None;
            let pieces: Box<dyn Pieces> = match &facts.wire {
                check if check.is_empty() => Box::new(Replay { first: first.into_iter(), stream }),
                check => {
                    let (out, lane) = lane(PIECES);
                    closers.push(lane.closer());
                    let named = thread::Builder::new().name("burin-wire-sum".into());
                    let body = move || stages::digest_wire(first, stream, check, &out, stages);
                    digest_wire = named.spawn_scoped(scope, body).map_err(&mut fail).ok();
                    Box::new(Piped { lane, stop: stop.clone() })
                }
            };
            let mut digest_content = None;
            // With a delta only a part of the content comes by here.
            let (chunks_out, chunker_waker) =
                match facts.content.as_ref().filter(|_| !matches!(parts, Some(Parts::Delta(_)))) {
                    None => (content_out, waker),
                    Some(expected) => {
                        let (out, chunks) = lane(CHUNKS);
                        closers.push(chunks.closer());
                        let hasher = expected.hasher();
                        let named = thread::Builder::new().name("burin-sum".into());
                        let body =
                            move || stages::digest_content(&chunks, hasher, content_out, waker.as_ref(), stop, stages);
                        digest_content = named.spawn_scoped(scope, body).map_err(&mut fail).ok();
                        (out, None)
                    }
                };
            let decode_waited = waited.clone();
            let only = self.disks.first().map(|disk| (disk.report.target, &disk.report.counters));
            let decoder = thread::Builder::new().name("burin-decode".into()).spawn_scoped(scope, move || {
                let began = Instant::now();
                let mut input = Input::new(Box::new(Waiting { inner: pieces, waited: decode_waited.clone() }));
                let mut chunker = Chunker::new(Ports {
                    name: &facts.name,
                    pool,
                    out: chunks_out,
                    waker: chunker_waker,
                    stop,
                    stages,
                    waited: &decode_waited,
                    room: room.unwrap_or(0),
                    sector: sector.unwrap_or(512),
                    tables,
                    compressed: facts.compression != Compression::None,
                });
                let workers = facts.options.workers();
                let decoded = match (parts, only) {
                    (Some(Parts::Delta(delta)), Some((target, counters))) => {
                        let hasher = facts.content.as_ref().map(Expected::hasher);
                        delta.run(target, &facts.options, &mut chunker, counters, hasher)
                    }
                    (Some(Parts::Qcow2(image)), _) => image.run(workers, share.buffers, &mut chunker).map(|()| None),
                    _ => {
                        let (window_log, in_flight) = (facts.options.window_log, share.in_flight);
                        let limits = Limits { workers, window_log, in_flight };
                        let decoded = decode::decode(&mut input, facts.compression, limits, &facts.name, &mut chunker);
                        decoded.map(|()| None)
                    }
                };
                let length = decoded.and_then(|digest| Ok((chunker.finish()?, digest)));
                stages.decode_ns.store(stages::busy(began, &decode_waited), Ordering::Relaxed);
                if length.is_err() {
                    stop.fail();
                }
                length
            });
            let decoder = decoder.map_err(&mut fail).ok();
            let lasts = match (direct, &mut fanned) {
                (Some(last), _) => vec![last],
                (None, Some((_, lasts))) => std::mem::take(lasts),
                (None, None) => Vec::new(),
            };
            let mut writing = Vec::new();
            for (ready, last) in ready.into_iter().zip(lasts) {
                let (index, writer, mut last) = (ready.index, ready.writer, Last(last));
                let named = thread::Builder::new().name("burin-write".into());
                match named.spawn_scoped(scope, move || writer.run(&mut last)) {
                    Ok(thread) => writing.push((index, thread)),
                    Err(source) => fail(source),
                }
            }
            if let Some((fanned, _)) = fanned
                && let Err(source) = fanned
            {
                fail(source);
            }
            self.watch(&writing);
            let bodies: Vec<_> = writing
                .into_iter()
                .map(|(index, thread)| (index, thread.join().unwrap_or_else(|_| Err(self.interrupted(index, 0)))))
                .collect();
            if bodies.iter().all(|(_, body)| body.is_err()) {
                stop.fail();
            }
            if stop.is_set() {
                closers.iter().for_each(|close| close());
            }
            let decoded = decoder.map(|thread| join(thread, "decode").and_then(|length| length));
            let wire = digest_wire.map(|thread| join(thread, "digest").and_then(|digest| digest));
            let content = digest_content.map(|thread| join(thread, "digest"));
            let digests = || {
                if let Some(error) = failed {
                    return Err(error);
                }
                let (length, delta_digest) = decoded.unwrap_or(Err(ImageError::Broken { stage: "decode" }))?;
                if bodies.iter().any(|(_, body)| body.as_ref().is_ok_and(|body| body.image() != length)) {
                    return Err(ImageError::Broken { stage: "writer" });
                }
                let wire = wire.transpose()?.flatten();
                Ok(ImageDigests { wire, content: content.transpose()?.flatten().or(delta_digest) })
            };
            Streamed { digests: digests(), bodies }
        })
    }

    /// Where the chunks go: to the one writer there is, or to a fan before several.
    fn branch(
        &self,
        ready: &[Ready<'_>],
        last: Consumer<Chunk>,
        closers: &mut Vec<Box<dyn Fn() + Send + Sync>>,
    ) -> Branched<'_> {
        if let [only] = ready
            && self.disks.len() == 1
        {
            return Branched::One(last, only.waker.clone());
        }
        let (mut branches, mut lasts) = (Vec::new(), Vec::new());
        for Ready { index, waker, .. } in ready {
            let Some(disk) = self.disks.get(*index) else { continue };
            let (out, chunks) = lane(CHUNKS);
            closers.push(chunks.closer());
            branches.push(Branch { out, waker: waker.clone(), room: disk.report.target.size(), left: &disk.left });
            lasts.push(chunks);
        }
        Branched::Several { chunks: last, branches, lasts }
    }

    /// Tells progress until every writer ends.
    fn watch<T>(&self, writing: &[(usize, ScopedJoinHandle<'_, T>)]) {
        let mut told = Instant::now();
        while !writing.iter().all(|(_, thread)| thread.is_finished()) {
            thread::park_timeout(Duration::from_millis(10).min(TELL));
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.tell(Phase::Writing);
            }
        }
    }

    /// The download was checked by its own stage.
    fn check_content(&self, actual: ImageDigests) -> Result<ImageDigests, ImageError> {
        if let Some(expected) = &self.opened.content {
            let content = actual.content.as_deref().ok_or(ImageError::Broken { stage: "digest" })?;
            expected.check(content, &self.opened.name, "content")?;
        }
        Ok(actual)
    }

    fn interrupted(&self, index: usize, offset: u64) -> Failure {
        let device = self.disks.get(index).map(|disk| disk.report.target.path().to_owned()).unwrap_or_default();
        Failure { offset, head_erased: true, error: DiskError::Interrupted { device } }
    }

    /// The first cause counts; that a writer was told to stop is no news. `shared` is what stopped all of them.
    fn stopped(&self, index: usize, phase: Phase, failure: Failure, shared: Option<Arc<ImageError>>) -> ImageError {
        let Failure { offset, head_erased, error } = failure;
        let disk = self.disks.get(index);
        let device = disk.map(|disk| disk.report.target.path().to_owned()).unwrap_or_default();
        let own = || disk.and_then(|disk| disk.left.take()).unwrap_or(ImageError::Cancelled);
        let source = match error {
            DiskError::Interrupted { .. } => {
                shared.filter(|shared| !matches!(**shared, ImageError::Cancelled)).unwrap_or_else(|| Arc::new(own()))
            }
            error => Arc::new(ImageError::Disk(error)),
        };
        ImageError::Stopped { device, phase: phase.name(), offset, head_erased, source }
    }

    fn common(&self) -> Common<'_> {
        Common { opened: self.opened, stages: &self.stages, began: self.began, devices: self.disks.len() }
    }

    pub fn tell(&self, phase: Phase) {
        if let Some(first) = self.disks.first() {
            tell_notes(&self.stop, first.report.progress);
        }
        for disk in self.disks {
            disk.report.tell(self.common(), phase);
        }
    }
}

enum Branched<'a> {
    One(Consumer<Chunk>, Waker),
    Several { chunks: Consumer<Chunk>, branches: Vec<Branch<'a>>, lasts: Vec<Consumer<Chunk>> },
}

/// Runs `work` for each item in a thread of its own, or here where there is only one.
fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    if items.len() < 2 {
        return items.into_iter().map(work).collect();
    }
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn join<T>(thread: ScopedJoinHandle<'_, T>, stage: &'static str) -> Result<T, ImageError> {
    thread.join().map_err(|_| ImageError::Broken { stage })
}

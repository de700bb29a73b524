//! One write from beginning to end: open and check, prepare, stream, check digests, commit.

use super::budget;
use super::decode::{self, Limits};
use super::delta::Delta;
use super::digest::Expected;
use super::input::{Input, Pieces};
use super::lane::lane;
use super::opened::{Facts, Opened, check_digest};
use super::progress::{Phase, Progress, Snapshot, Stages};
use super::sniff::Compression;
use super::source::{PIECES, Stream};
use super::stages::{self, CHUNKS, Chunker, Last, Piped, Ports, Replay, Waiting};
use super::{Cancel, ImageError, Stop, WriteRequest};
use crate::disk::{self, Body, Counters, DiskError, Pool, Target, Writer};
use crate::protocol::ImageReceipt;
use crate::protocol::image::{ImageDigests, Verify};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

pub fn write(
    request: WriteRequest,
    target: &Target,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<ImageReceipt, ImageError> {
    let began = Instant::now();
    let stop = Arc::new(Stop::new(cancel));
    let stages = Arc::new(Stages::default());
    let opened = Opened::new(request, target.size(), &stop, &stages)?;
    let run = Run { opened: &opened.facts, target, progress, stop, stages, counters: Counters::default(), began };
    let mut result = run.write(opened.first, opened.stream, opened.delta);
    run.tell(Phase::Finishing);
    if let Ok(receipt) = &mut result
        && receipt.digest.wire.is_none()
    {
        receipt.digest.wire = opened.wire_digest;
    }
    result
}

struct Run<'a> {
    opened: &'a Facts,
    target: &'a Target,
    progress: &'a dyn Progress,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
    counters: Counters,
    began: Instant,
}

/// What the streaming stages found out.
struct Streamed<'a> {
    body: Body<'a>,
    digests: ImageDigests,
}

impl Run<'_> {
    fn write(&self, first: Vec<Vec<u8>>, stream: Stream, delta: Option<Delta>) -> Result<ImageReceipt, ImageError> {
        let pool = Pool::new(self.opened.options.buffers.max(budget::LEAST_BUFFERS));
        let limits = self.target.limits();
        let queue = disk::open_queue(self.target, self.opened.options.backend, limits.depth, &pool)
            .map_err(|source| ImageError::Queue { source })?;
        log::info!("{}: writing through {}", self.target.path().display(), queue.name());
        let backend = queue.name();
        let stop = &self.stop;
        let interrupt = || stop.is_set();
        let options = disk::Options {
            readback: self.opened.verify == Verify::Readback,
            overlap: !limits.rotational,
            depth: limits.depth,
            request: limits.request,
        };
        let waker = queue.waker();
        let mut writer = Writer::new(self.target, queue, options, &self.counters, &interrupt);
        self.stop.check()?;
        self.tell(Phase::Preparing);
        writer.prepare().map_err(|failure| self.stopped_by(Phase::Preparing, failure))?;
        let streamed = self
            .stream((first, stream, delta), &pool, writer, waker)
            .map_err(|(offset, error)| self.stopped(Phase::Writing, offset, error))?;
        let image = streamed.body.image();
        self.check_digests(&streamed.digests).map_err(|error| self.stopped(Phase::Writing, image, error))?;
        self.tell(Phase::Finishing);
        let written = streamed.body.commit().map_err(|failure| self.stopped_by(Phase::Finishing, failure))?;
        log::debug!("holes punched: {}, through {backend}", written.punched);
        Ok(self.receipt(written.image, streamed.digests))
    }

    /// Runs the stages until everything but the first MiB is on the device.
    fn stream<'w>(
        &self,
        (first, stream, delta): (Vec<Vec<u8>>, Stream, Option<Delta>),
        pool: &Pool,
        writer: Writer<'w>,
        waker: disk::Waker,
    ) -> Result<Streamed<'w>, (u64, ImageError)> {
        let facts = self.opened;
        let (stop, stages, target, counters) = (&self.stop, &self.stages, self.target, &self.counters);
        let (content_out, last) = lane(CHUNKS);
        let mut closers = vec![last.closer()];
        let waited = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let spawn_failed = |source| {
                stop.fail();
                (0, ImageError::Thread { source })
            };
            let mut digest_wire = None;
            let pieces: Box<dyn Pieces> = match &facts.wire {
                None => Box::new(Replay { first: first.into_iter(), stream }),
                Some(expected) => {
                    let (out, lane) = lane(PIECES);
                    closers.push(lane.closer());
                    let hasher = expected.hasher();
                    let named = thread::Builder::new().name("burin-wire-sum".into());
                    let body = move || stages::digest_wire(first, stream, hasher, &out, stages);
                    digest_wire = Some(named.spawn_scoped(scope, body).map_err(spawn_failed)?);
                    Box::new(Piped { lane, stop: stop.clone() })
                }
            };
            let mut digest_content = None;
            // With a delta only a part of the content comes by here.
            let (chunks_out, chunker_waker) = match facts.content.as_ref().filter(|_| delta.is_none()) {
                None => (content_out, Some(waker.clone())),
                Some(expected) => {
                    let (out, chunks) = lane(CHUNKS);
                    closers.push(chunks.closer());
                    let (hasher, waker) = (expected.hasher(), waker.clone());
                    let named = thread::Builder::new().name("burin-sum".into());
                    let body = move || stages::digest_content(&chunks, hasher, content_out, &waker, stop, stages);
                    digest_content = Some(named.spawn_scoped(scope, body).map_err(spawn_failed)?);
                    (out, None)
                }
            };
            let decode_waited = waited.clone();
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
                    room: target.size(),
                    sector: target.sector(),
                    table: (target.kind() == disk::Kind::BlockDevice).then(|| target.sector()),
                    compressed: facts.compression != Compression::None,
                });
                if let Some(delta) = delta {
                    let hasher = facts.content.as_ref().map(Expected::hasher);
                    let digest = delta.run(target, &mut chunker, counters, hasher);
                    let length = digest.and_then(|digest| Ok((chunker.finish()?, digest)));
                    if length.is_err() {
                        stop.fail();
                    }
                    return length;
                }
                let limits = Limits { workers: facts.options.workers(), window_log: facts.options.window_log };
                let decoded = decode::decode(&mut input, facts.compression, limits, &facts.name, &mut chunker);
                let length = decoded.and_then(|()| chunker.finish());
                stages.decode_ns.store(stages::busy(began, &decode_waited), Ordering::Relaxed);
                if length.is_err() {
                    stop.fail();
                }
                length.map(|length| (length, None))
            });
            let decoder = decoder.map_err(spawn_failed)?;
            let mut last = Last(last);
            let named = thread::Builder::new().name("burin-write".into());
            let writing = named.spawn_scoped(scope, move || writer.run(&mut last)).map_err(spawn_failed)?;
            self.watch(&writing);
            let written = join(writing, "writer");
            if !matches!(written, Ok(Ok(_))) {
                stop.fail();
            }
            if stop.is_set() {
                closers.iter().for_each(|close| close());
            }
            let decoded = join(decoder, "decode").and_then(|length| length);
            let wire = digest_wire.map(|thread| join(thread, "digest")).transpose();
            let content = digest_content.map(|thread| join(thread, "digest")).transpose();
            // The first cause counts; that others were told to stop is no news.
            let (offset, body) = match written {
                Ok(Ok(body)) => (body.image(), Ok(body)),
                Ok(Err(failure)) => (failure.offset, Err(self.disk(failure.error))),
                Err(error) => (0, Err(error)),
            };
            let frame = |error| (offset, error);
            match (&decoded, &body) {
                (Err(error), _) if !matches!(error, ImageError::Cancelled) => {}
                (_, Err(_)) => return Err((offset, body.err().unwrap_or(ImageError::Cancelled))),
                _ => {}
            }
            let (length, delta_digest) = decoded.map_err(frame)?;
            let body = body.map_err(frame)?;
            if length != body.image() {
                return Err((offset, ImageError::Broken { stage: "writer" }));
            }
            let digests = ImageDigests {
                wire: wire.map_err(frame)?.flatten(),
                content: content.map_err(frame)?.flatten().or(delta_digest),
            };
            Ok(Streamed { body, digests })
        })
    }

    /// Tells progress until the writer ends.
    fn watch<T>(&self, writing: &ScopedJoinHandle<'_, T>) {
        let mut told = Instant::now();
        while !writing.is_finished() {
            thread::park_timeout(Duration::from_millis(10).min(TELL));
            if told.elapsed() >= TELL {
                told = Instant::now();
                self.tell(Phase::Writing);
            }
        }
    }

    fn check_digests(&self, actual: &ImageDigests) -> Result<(), ImageError> {
        let pairs = [("download", &self.opened.wire, &actual.wire), ("content", &self.opened.content, &actual.content)];
        for (what, expected, actual) in pairs {
            let Some(expected) = expected else { continue };
            let actual = actual.clone().ok_or(ImageError::Broken { stage: "digest" })?;
            check_digest(&self.opened.name, what, expected, &actual)?;
        }
        Ok(())
    }

    fn disk(&self, error: DiskError) -> ImageError {
        match error {
            DiskError::Interrupted { .. } => ImageError::Cancelled,
            error => ImageError::Disk(error),
        }
    }

    fn stopped(&self, phase: Phase, offset: u64, source: ImageError) -> ImageError {
        let device = self.target.path().to_owned();
        ImageError::Stopped { device, phase: phase.name(), offset, head_erased: true, source: Box::new(source) }
    }

    fn stopped_by(&self, phase: Phase, failure: disk::Failure) -> ImageError {
        let disk::Failure { offset, head_erased, error } = failure;
        let (device, source) = (self.target.path().to_owned(), Box::new(self.disk(error)));
        ImageError::Stopped { device, phase: phase.name(), offset, head_erased, source }
    }

    fn device_busy(&self) -> Duration {
        let starved = Duration::from_nanos(self.counters.starved_ns.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(starved)
    }

    fn tell(&self, phase: Phase) {
        for note in self.stop.take_notes() {
            log::warn!("{note}");
            self.progress.note(&note);
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let elapsed = self.began.elapsed();
        let (wire_bytes, image_bytes) = (load(&self.stages.wire_bytes), load(&self.stages.image_bytes));
        let (done, total) = match self.opened.image_total {
            Some(total) => (image_bytes, Some(total)),
            None => (wire_bytes, self.opened.wire_total),
        };
        let eta =
            total.filter(|_| done > 0).map(|total| elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64));
        self.progress.tick(&Snapshot {
            phase,
            wire_bytes,
            wire_total: self.opened.wire_total,
            image_bytes,
            image_total: self.opened.image_total,
            written_bytes: load(&self.counters.written),
            zeroed_bytes: load(&self.counters.zeroed),
            skipped_bytes: load(&self.counters.skipped),
            verified_bytes: load(&self.counters.verified),
            elapsed_ms: elapsed.as_millis() as u64,
            eta_ms: eta.map(|eta| eta.as_millis() as u64),
            bottleneck: self.stages.bottleneck(self.device_busy()),
        });
    }

    fn receipt(&self, image_bytes: u64, digest: ImageDigests) -> ImageReceipt {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ImageReceipt {
            device: self.target.path().display().to_string(),
            url: self.opened.name.clone(),
            format: self.opened.format,
            compression: self.opened.compression.name().to_owned(),
            verify: self.opened.verify,
            digest,
            image_bytes,
            wire_bytes: load(&self.stages.wire_bytes),
            written_bytes: load(&self.counters.written),
            zeroed_bytes: load(&self.counters.zeroed),
            skipped_bytes: load(&self.counters.skipped),
            verified_bytes: load(&self.counters.verified),
            memory_bytes: budget::bytes(&self.opened.options) as u64,
            duration_ms: self.began.elapsed().as_millis() as u64,
            bottleneck: self.stages.bottleneck(self.device_busy()).to_owned(),
        }
    }
}

fn join<T>(thread: ScopedJoinHandle<'_, T>, stage: &'static str) -> Result<T, ImageError> {
    thread.join().map_err(|_| ImageError::Broken { stage })
}

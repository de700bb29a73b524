//! The write itself, once the source is open: checks the first MiB, prepares the targets, streams the rest, verifies
//! digests, and commits or returns the two ends. One download may serve several devices: a failure of the shared parts
//! stops all of them, a failure of one device only that one.

use crate::budget::{self, MemoryShare};
use crate::codec::{Codec, sniff};
use crate::container::foreign;
use crate::error::ImageError;
use crate::flow::channel::Consumer;
use crate::flow::chunker::Chunked;
use crate::flow::progress::Phase;
use crate::head::HeadEnds;
use crate::pipeline::fan_out::DeviceFault;
use crate::pipeline::open::{OpenedSource, Parts};
use crate::pipeline::report::{Common, WriteReport, tell_notes};
use crate::pipeline::threads::{Shared, Threads};
use crate::proof::wire::WireDigests;
use crate::request::{Ending, Written};
use burin_disk::{Body, CHUNK, Chunk, DiskError, Pool, Target, TargetKind, Waker, WriteFailure, Writer};
use burin_protocol::image::{ImageDigests, Verify};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

/// The result for each device, in their order. The outer error means that nothing was touched.
pub type Ended = Result<Vec<Result<Written, ImageError>>, ImageError>;

pub struct DeviceWrite<'a> {
    pub report: WriteReport<'a>,
    pub fault: DeviceFault,
}

impl DeviceWrite<'_> {
    pub fn target(&self) -> &Target {
        self.report.target
    }
}

pub struct Run<'a> {
    pub shared: &'a Shared<'a>,
    pub disks: &'a [DeviceWrite<'a>],
    pub began: Instant,
}

/// A device that is ready to be written.
pub struct Ready<'a> {
    pub index: usize,
    pub writer: Writer<'a>,
    pub waker: Waker,
}

/// The results of the streaming stages: the same for all devices.
#[derive(Debug, Clone)]
pub struct Streamed {
    pub chunked: Chunked,
    pub wire: WireDigests,
    pub content: Option<String>,
}

/// The results for the devices, as far as they are known.
struct Ends(Vec<Option<Result<Written, ImageError>>>);

impl Ends {
    fn fail(&mut self, index: usize, error: ImageError) {
        self.put(index, Err(error));
    }

    fn put(&mut self, index: usize, end: Result<Written, ImageError>) {
        if let Some(place) = self.0.get_mut(index) {
            *place = Some(end);
        }
    }

    fn all(self) -> Vec<Result<Written, ImageError>> {
        let broken = || Err(ImageError::Broken { stage: "writer" });
        self.0.into_iter().map(|end| end.unwrap_or_else(broken)).collect()
    }
}

impl Run<'_> {
    pub fn write(&self, fetched: OpenedSource) -> Ended {
        let interrupt = |disk: &'_ DeviceWrite<'_>| {
            let (stop, fault) = (self.shared.stop.clone(), disk.fault.clone());
            move || stop.is_set() || fault.is_set()
        };
        let interrupts: Vec<_> = self.disks.iter().map(interrupt).collect();
        let mut ends = Ends(self.disks.iter().map(|_| None).collect());
        let share = self.share(&fetched);
        let pool = match fetched {
            // Comparison has its own buffers.
            OpenedSource::Parts(Parts::Delta(_)) => Pool::lazy(share.buffers),
            _ => Pool::new(share.buffers),
        };
        let mut ready = Vec::new();
        for ((index, disk), interrupt) in self.disks.iter().enumerate().zip(&interrupts) {
            match self.writer(disk, &pool, interrupt) {
                Ok((writer, waker)) => ready.push(Ready { index, writer, waker }),
                Err(error) => ends.fail(index, error),
            }
        }
        self.shared.stop.check()?;
        self.tell(Phase::Preparing);
        if !ready.is_empty() {
            thread::scope(|scope| {
                let waker = ready.first().filter(|_| self.disks.len() == 1).map(|ready| ready.waker.clone());
                let mut threads = Threads::default();
                let started = threads.start(scope, self.shared, fetched, (&pool, share), waker);
                let judged = started.and_then(|chunks| match threads.first(self, &chunks)? {
                    Some(first) => self.judge(&first, &mut ready, &mut ends).map(|least| Some((first, chunks, least))),
                    None => Ok(None),
                });
                let judged = match judged {
                    // Errors up to here are reported without touching anything.
                    Ok(Some(_)) if self.shared.stop.is_set() => Ok(false),
                    Ok(Some((first, chunks, least))) if !ready.is_empty() => {
                        self.stream(scope, threads, (first, chunks), least, ready, &mut ends);
                        return Ok(());
                    }
                    other => other.map(|first| first.is_some()),
                };
                self.shared.stop.fail();
                let ended = threads.end(&self.shared.stop);
                match judged {
                    Ok(true) => Ok(()),
                    // The threads report why there is no first chunk.
                    Ok(false) => Err(ended.err().unwrap_or(ImageError::Broken { stage: "decode" })),
                    Err(error) => Err(error),
                }
            })?;
        }
        Ok(ends.all())
    }

    /// The division of the memory.
    fn share(&self, fetched: &OpenedSource) -> MemoryShare {
        let head = match fetched {
            OpenedSource::Stream { first, .. } => first.first().map_or(&[][..], Vec::as_slice),
            OpenedSource::Parts(_) => &[],
        };
        let frames = self.shared.info.compression.codec().is_some_and(Codec::seekable)
            && self.shared.info.options.workers() > 1
            && sniff::many_frames(head, crate::codec::zstd::LARGEST_FRAME as u64);
        budget::share(&self.shared.info.options, self.disks.len(), frames)
    }

    fn writer<'w>(
        &self,
        disk: &'w DeviceWrite<'_>,
        pool: &Pool,
        interrupt: burin_disk::Interrupt<'w>,
    ) -> Result<(Writer<'w>, Waker), ImageError> {
        let target = disk.target();
        if let Some(at_least) = self.shared.info.image_total.filter(|total| *total > target.size()) {
            let (source_name, device) = (self.shared.info.name.clone(), target.size());
            return Err(ImageError::TooLarge { source_name, at_least, exact: true, device });
        }
        let limits = target.limits();
        let queue = burin_disk::open_queue(target, self.shared.info.options.backend, limits.depth, pool)
            .map_err(|source| ImageError::Queue { source })?;
        log::info!("{}: writing through {}", target.path().display(), queue.name());
        let options = burin_disk::WriterOptions {
            readback: self.shared.info.verify == Verify::Readback,
            overlap: !limits.rotational,
            depth: limits.depth,
            request: limits.request,
            patience: burin_disk::PATIENCE,
            withhold: match self.shared.info.ending {
                Ending::Commit => None,
                Ending::Withhold { mark } => Some(mark),
            },
        };
        let waker = queue.waker();
        Ok((Writer::new(target, queue, options, &disk.report.counters, interrupt), waker))
    }

    /// Checks the first MiB. Devices on which the image cannot work are dropped; an error if none is left. Also sets
    /// where the image says that it ends.
    fn judge(&self, first: &Chunk, ready: &mut Vec<Ready<'_>>, ends: &mut Ends) -> Result<HeadEnds, ImageError> {
        // All chunks but the last are full.
        let ended = (first.len < CHUNK).then_some(first.len as u64);
        let head = self.shared.info.head(first.bytes(), ended);
        self.shared.info.judge(&head, &self.shared.stop)?;
        ready.retain(|ready| {
            let Some(disk) = self.disks.get(ready.index) else { return false };
            // A file has no sector size of its own.
            let fits = match disk.target().kind() {
                TargetKind::BlockDevice => head.fits_sector(disk.target().sector()),
                TargetKind::File => Ok(()),
            };
            fits.map_err(|error| ends.fail(ready.index, error)).is_ok()
        });
        Ok(head.ends())
    }

    /// Prepares the devices, writes everything but their ends, checks digests, and finishes.
    fn stream<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        threads: Threads<'scope>,
        (first, chunks): (Chunk, Consumer<Chunk>),
        ends_at: HeadEnds,
        ready: Vec<Ready<'scope>>,
        ends: &mut Ends,
    ) {
        let prepared = side_by_side(ready, |mut ready| {
            let prepared = ready.writer.prepare();
            (ready.index, prepared.map(|()| ready))
        });
        let (mut ready, mut unprepared) = (Vec::new(), Vec::new());
        for (index, outcome) in prepared {
            match outcome {
                Ok(device) => ready.push(device),
                Err(failure) => unprepared.push((index, failure)),
            }
        }
        let (streamed, bodies) = threads.write(scope, self, first, chunks, ready);
        let (streamed, shared) = match streamed.and_then(|streamed| self.check_content(streamed, ends_at)) {
            Ok(streamed) => (Some(streamed), None),
            Err(error) => (None, Some(Arc::new(error))),
        };
        for (index, failure) in unprepared {
            ends.fail(index, self.stopped(index, Phase::Preparing, failure, shared.clone()));
        }
        let mut whole = Vec::new();
        for (index, body) in bodies {
            let failure = match (body, &shared) {
                (Ok(body), None) => {
                    whole.push((index, body));
                    continue;
                }
                (Ok(body), Some(_)) => self.interrupted(index, body.image()),
                (Err(failure), _) => failure,
            };
            ends.fail(index, self.stopped(index, Phase::Writing, failure, shared.clone()));
        }
        if let Some(streamed) = streamed {
            self.finish(whole, &streamed, ends);
        }
    }

    fn finish(&self, bodies: Vec<(usize, Body<'_>)>, streamed: &Streamed, ends: &mut Ends) {
        self.tell(Phase::Finishing);
        for (index, outcome) in side_by_side(bodies, |(index, body)| (index, body.finish())) {
            let Some(disk) = self.disks.get(index) else { continue };
            let end = match outcome {
                Ok(burin_disk::Written { image, punched, withheld }) => {
                    log::debug!("holes punched: {punched}");
                    let receipt = disk.report.receipt(self.common(), image, streamed, self.shared.stop.anomalies());
                    Ok(Written { receipt, withheld })
                }
                Err(failure) => Err(self.stopped(index, Phase::Finishing, failure, None)),
            };
            ends.put(index, end);
        }
    }

    /// The download was verified by its own stage.
    fn check_content(&self, streamed: Streamed, ends_at: HeadEnds) -> Result<Streamed, ImageError> {
        self.shared.info.reaches(ends_at, streamed.chunked.length, &self.shared.stop)?;
        if let Some(what) = foreign::trailer(&streamed.chunked.last) {
            return Err(foreign::error(&self.shared.info.name, what));
        }
        if let Some(expected) = &self.shared.info.content {
            let content = streamed.content.as_deref().ok_or(ImageError::Broken { stage: "digest" })?;
            expected.check(content, &self.shared.info.name, "content")?;
        }
        Ok(streamed)
    }

    pub fn interrupted(&self, index: usize, offset: u64) -> WriteFailure {
        let device = self.disks.get(index).map(|disk| disk.target().path().to_owned()).unwrap_or_default();
        WriteFailure { offset, head_erased: true, error: DiskError::Interrupted { device } }
    }

    /// The first cause is reported, not that a writer was told to stop because of it. `shared` is the error that
    /// stopped all of them.
    fn stopped(
        &self,
        index: usize,
        phase: Phase,
        failure: WriteFailure,
        shared: Option<Arc<ImageError>>,
    ) -> ImageError {
        let WriteFailure { offset, head_erased, error } = failure;
        let disk = self.disks.get(index);
        let device = disk.map(|disk| disk.target().path().to_owned()).unwrap_or_default();
        let own = || disk.and_then(|disk| disk.fault.take()).unwrap_or(ImageError::Cancelled);
        let source = match error {
            DiskError::Interrupted { .. } => {
                shared.filter(|shared| !matches!(**shared, ImageError::Cancelled)).unwrap_or_else(|| Arc::new(own()))
            }
            error => Arc::new(ImageError::Disk(error)),
        };
        ImageError::Stopped { device, phase: phase.name(), offset, head_erased, source }
    }

    fn common(&self) -> Common<'_> {
        Common { info: self.shared.info, stages: &self.shared.stages, began: self.began, devices: self.disks.len() }
    }

    pub fn tell(&self, phase: Phase) {
        if let Some(first) = self.disks.first() {
            tell_notes(&self.shared.stop, first.report.progress);
        }
        for disk in self.disks {
            disk.report.tell(self.common(), phase);
        }
    }
}

impl Streamed {
    /// The digests as in receipts.
    pub fn digests(&self) -> ImageDigests {
        ImageDigests { wire: self.wire.asked.clone(), content: self.content.clone() }
    }
}

/// Runs `work` for each item in a thread of its own, or here if there is only one.
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

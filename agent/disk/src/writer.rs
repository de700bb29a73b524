//! Writes chunks to the device, including holes, and reads them back.
//!
//! [`Writer::prepare`] makes the old contents unbootable, [`Writer::run`] writes everything but the first chunk,
//! [`Body::finish`] checks it, wipes what lies beyond, and writes the withheld first chunk last or returns it.

mod chunks;
mod commit;
mod completion;
mod judge;
mod prepare;
mod readback;

use self::judge::Judge;
use super::queue::{Completion, Op, Queue};
use super::{CHUNK, Chunk, DiskError, Target, buffer};
use burin_sys::aligned::AlignedBuf;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes processed so far, for progress displays.
#[derive(Debug, Default)]
pub struct Counters {
    pub written: AtomicU64,
    pub zeroed: AtomicU64,
    pub verified: AtomicU64,
    pub skipped: AtomicU64,
    /// Nanoseconds during which the device waited for chunks.
    pub starved_ns: AtomicU64,
}

/// The source of chunks. `next` never blocks: the queue's waker is rung for each new chunk and at the end.
pub trait Feed {
    fn next(&mut self) -> Fed;
}

#[derive(Debug)]
pub enum Fed {
    Chunk(Chunk),
    /// Nothing at the moment.
    Empty,
    End,
}

/// Returns true to stop the writer.
pub type Interrupt<'a> = &'a (dyn Fn() -> bool + Sync);

#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Read everything back and compare.
    pub readback: bool,
    /// Read back while chunks are still coming in, whenever the device would idle.
    pub overlap: bool,
    /// Number of concurrent operations.
    pub depth: usize,
    /// Largest write in bytes.
    pub request: usize,
    /// How long a request may remain unanswered: [`PATIENCE`], except in tests.
    pub patience: Duration,
    /// Withhold both ends of the device: [`Body::finish`] returns the first MiB and the image's part of the last one,
    /// and leaves zeros in both places, except for these bytes at the very start, which are there from the first write
    /// on. Otherwise the first MiB is written last.
    pub withhold: Option<Mark>,
}

/// The start of a device while its ends are withheld.
pub type Mark = [u8; 512];

/// By then the kernel has failed a request that a disk does not answer: a SCSI command is tried six times, for 30 s
/// each, and an NVMe controller is reset sooner. A disk that takes longer hangs, and must not hold up the machine's
/// other disks.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Maximum number of queued checks; beyond it reading back takes precedence, so that memory does not grow with the
/// image.
const BACKLOG: usize = 8 * 1024;
/// Number of concurrent reads, which have buffers of their own.
const READS: usize = 4;
/// Memory of a writer besides the chunks that it is given: read-back buffers, and queued checks (twice their limit, as
/// the deque doubles).
pub const WRITER_BYTES: usize = READS * CHUNK + BACKLOG * 2 * size_of::<Check>();
/// The longest single hole, so that cancellation is always prompt.
const LONGEST_ZERO: u64 = 64 << 20;
/// How often a waiting writer checks its interrupt.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Check {
    offset: u64,
    len: u64,
    /// `None`: all zero.
    digest: Option<u128>,
    attempts: u32,
}

/// The operations of one chunk, which is checked once all are done.
#[derive(Debug)]
struct Group {
    left: usize,
    _chunk: Option<Chunk>,
    check: Check,
}

#[derive(Debug)]
enum Work {
    Part { group: u64, hole: bool },
    Check(Check),
    Flush,
}

pub struct Writer<'a> {
    target: &'a Target,
    queue: Box<dyn Queue>,
    options: WriterOptions,
    counters: &'a Counters,
    interrupt: Interrupt<'a>,
    /// With the time at which the device was given each.
    work: HashMap<u64, (Work, Instant)>,
    pending: VecDeque<(Work, Op)>,
    groups: HashMap<u64, Group>,
    next: u64,
    backlog: VecDeque<Check>,
    reads: usize,
    spare: Vec<AlignedBuf>,
    zeros: Arc<AlignedBuf>,
    zero_run: Option<Range<u64>>,
    /// Whether holes are punched; false once that failed or proved slower than writing.
    punch: bool,
    judge: Judge,
    head: Option<Chunk>,
    /// A file's last partial block, which direct I/O does not reach.
    partial: Vec<u8>,
    /// The image's part of the device's last MiB, if that is withheld.
    withheld: Vec<u8>,
    end: u64,
    stale: Vec<Range<u64>>,
    position: u64,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("target", &self.target.path()).field("end", &self.end).finish_non_exhaustive()
    }
}

/// Why writing stopped, and the state of the device.
#[derive(Debug)]
pub struct WriteFailure {
    /// Where it stopped.
    pub offset: u64,
    /// Whether the first chunk is known to be zeros now, but for a mark.
    pub head_erased: bool,
    pub error: DiskError,
}

/// Everything but the first chunk is on the device, flushed and, if requested, read back.
#[derive(Debug)]
pub struct Body<'a>(Writer<'a>);

/// The image is on the device, except for what was withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Length of the image in bytes.
    pub image: u64,
    /// Whether holes were punched throughout; false: at least some zeros were written.
    pub punched: bool,
    /// With [`WriterOptions::withhold`].
    pub withheld: Option<Withheld>,
}

/// The image's contents at both ends of the device, by which firmware and kernel find a system. They exist only here;
/// the device has zeros instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The device's first MiB (all of a smaller device): the image's bytes, then zeros.
    pub head: Vec<u8>,
    /// From this offset to the device's end, if the image reaches into its last MiB: the image's bytes, then zeros.
    pub tail: Option<(u64, Vec<u8>)>,
}

impl<'a> Writer<'a> {
    pub fn new(
        target: &'a Target,
        queue: Box<dyn Queue>,
        options: WriterOptions,
        counters: &'a Counters,
        interrupt: Interrupt<'a>,
    ) -> Self {
        let options = WriterOptions {
            depth: options.depth.max(1),
            request: options.request.clamp(4096, CHUNK) / 4096 * 4096,
            ..options
        };
        Self {
            target,
            queue,
            options,
            counters,
            interrupt,
            work: HashMap::new(),
            pending: VecDeque::new(),
            groups: HashMap::new(),
            next: 0,
            backlog: VecDeque::new(),
            reads: 0,
            spare: Vec::new(),
            zeros: buffer::zeros(),
            zero_run: None,
            punch: true,
            judge: Judge::default(),
            head: None,
            partial: Vec::new(),
            withheld: Vec::new(),
            end: 0,
            stale: Vec::new(),
            position: 0,
        }
    }

    /// Writes the chunks of `feed`, except the first, which is withheld for [`Body::finish`].
    pub fn run(mut self, feed: &mut dyn Feed) -> Result<Body<'a>, WriteFailure> {
        match self.run_inner(feed) {
            Ok(()) => Ok(Body(self)),
            Err(error) => Err(WriteFailure { offset: self.position, head_erased: true, error }),
        }
    }

    fn run_inner(&mut self, feed: &mut dyn Feed) -> Result<(), DiskError> {
        self.drive(Some(feed))?;
        self.flush()?;
        self.check_all()
    }

    fn enqueue(&mut self, ops: Vec<Op>, chunk: Option<Chunk>, check: Check) {
        if ops.is_empty() {
            return;
        }
        let group = self.token();
        self.groups.insert(group, Group { left: ops.len(), _chunk: chunk, check });
        for op in ops {
            let hole = matches!(op, Op::Zero { .. });
            self.pending.push_back((Work::Part { group, hole }, op));
        }
    }

    fn token(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn submit(&mut self, work: Work, op: Op) {
        let token = self.token();
        self.work.insert(token, (work, Instant::now()));
        self.queue.submit(token, op);
    }

    /// Refuses operations on kept ranges, whatever the image contains.
    fn guard(&self, op: &Op) -> Result<(), DiskError> {
        match op {
            Op::Write { offset, len, .. } => self.target.may_write(*offset, *len as u64),
            Op::Zero { offset, len } => self.target.may_write(*offset, *len),
            Op::Read { .. } | Op::Flush => Ok(()),
        }
    }

    /// Runs until everything pending, and everything from `feed`, is done.
    fn drive(&mut self, mut feed: Option<&mut dyn Feed>) -> Result<(), DiskError> {
        loop {
            if (self.interrupt)() {
                return Err(DiskError::Interrupted { device: self.target.path().to_owned() });
            }
            let mut starved = false;
            while self.work.len() < self.options.depth {
                if self.backlog.len() > BACKLOG {
                    if self.reads == READS {
                        break;
                    }
                    self.submit_check();
                } else if let Some((work, op)) = self.pending.pop_front() {
                    self.guard(&op)?;
                    self.submit(work, op);
                } else if let Some(source) = &mut feed {
                    match source.next() {
                        Fed::Chunk(chunk) => self.accept(chunk)?,
                        Fed::Empty => {
                            starved = true;
                            break;
                        }
                        Fed::End => {
                            feed = None;
                            self.end_zero_run();
                        }
                    }
                } else {
                    break;
                }
            }
            if starved && self.options.overlap {
                while !self.backlog.is_empty() && self.reads < self.options.depth.div_ceil(2).min(READS) {
                    if self.work.len() >= self.options.depth {
                        break;
                    }
                    self.submit_check();
                }
            }
            if self.work.is_empty() && self.pending.is_empty() && feed.is_none() {
                return Ok(());
            }
            let before = Instant::now();
            self.reap()?;
            if starved {
                self.counters.starved_ns.fetch_add(before.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
        }
    }

    fn reap(&mut self) -> Result<(), DiskError> {
        let done = self.queue.wait(TICK).map_err(|source| self.target.io_error("wait", self.position, source))?;
        let mut outcome = if done.is_empty() { self.answered() } else { Ok(()) };
        for completion in done {
            // If several fail at once, the first one is reported; the others are finished all the same.
            match outcome {
                Ok(()) => outcome = self.complete(completion),
                Err(_) => {
                    self.work.remove(&completion.token);
                }
            }
        }
        outcome
    }

    /// Returns an error if a request has waited too long.
    fn answered(&self) -> Result<(), DiskError> {
        let longest = self.work.values().map(|(_, given)| given.elapsed()).max().unwrap_or_default();
        if longest < self.options.patience {
            return Ok(());
        }
        Err(DiskError::Hung { device: self.target.path().to_owned(), seconds: longest.as_secs() })
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.submit(Work::Flush, Op::Flush);
        while self.work.values().any(|(work, _)| matches!(work, Work::Flush)) {
            if (self.interrupt)() {
                return Err(DiskError::Interrupted { device: self.target.path().to_owned() });
            }
            self.reap()?;
        }
        Ok(())
    }
}

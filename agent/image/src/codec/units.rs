//! Units of a compressed file that can be decoded independently, decoded in parallel and returned in order.
//!
//! At most one more of them is in progress than there are workers, each with its bytes and at most [`PARTS`] pieces of
//! decoded data, whatever their sizes.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::pieces::TICK;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

/// Size of a piece, and how many pieces of one unit may wait for their turn.
const PIECE: usize = 256 * 1024;
const PARTS: usize = 8;

/// Memory of decoded pieces with this many workers.
pub fn memory(workers: usize) -> u64 {
    ((workers + 1) * (PARTS + 2) * PIECE) as u64
}

/// A unit that can be decoded independently.
pub trait DecodeUnit: Send + Sync + 'static {
    /// The result of decoding.
    type Found: Send + 'static;

    /// Passes the decoded data to `put`. Fails if the unit is not complete in itself.
    fn unpack(&self, put: &mut Put<'_>) -> io::Result<Self::Found>;
}

/// Takes decoded bytes.
pub struct Put<'a>(&'a mut dyn FnMut(Vec<u8>) -> io::Result<()>);

impl<'a> Put<'a> {
    pub fn new(take: &'a mut dyn FnMut(Vec<u8>) -> io::Result<()>) -> Self {
        Self(take)
    }

    /// Passes on everything from `reader`.
    pub fn all(&mut self, reader: &mut dyn Read) -> io::Result<()> {
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = reader.take(PIECE as u64).read_to_end(&mut piece);
            if !piece.is_empty() {
                (self.0)(piece)?;
            }
            if read? == 0 {
                return Ok(());
            }
        }
    }
}

enum Done<F> {
    Piece(Vec<u8>),
    End(F),
}

type Reply<F> = io::Result<Done<F>>;

struct Job<S: DecodeUnit> {
    unit: Arc<S>,
    reply: Producer<Reply<S::Found>>,
}

struct Waiting<S: DecodeUnit> {
    unit: Arc<S>,
    parts: Consumer<Reply<S::Found>>,
}

/// A unit that could not be decoded by itself, and the number of decoded bytes up to the failure.
pub struct Failed<S> {
    pub unit: Arc<S>,
    pub handed_on: u64,
    pub error: io::Error,
}

/// The result of a unit.
pub type Decoded<S> = Result<<S as DecodeUnit>::Found, Failed<S>>;

pub struct UnitDecoder<S: DecodeUnit> {
    jobs: Producer<Job<S>>,
    waiting: VecDeque<Waiting<S>>,
    workers: usize,
}

impl<S: DecodeUnit> UnitDecoder<S> {
    /// The threads end when this is dropped.
    pub fn start<'scope>(scope: &'scope Scope<'scope, '_>, workers: usize) -> Result<Self, ImageError> {
        let (jobs, queue) = channel::<Job<S>>(1);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..workers {
            let queue = queue.clone();
            let named = thread::Builder::new().name(format!("burin-unpack-{number}"));
            named.spawn_scoped(scope, move || work(&queue)).map_err(|source| ImageError::Thread { source })?;
        }
        Ok(Self { jobs, waiting: VecDeque::new(), workers })
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() > self.workers
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn put(&mut self, unit: S) -> Result<(), ImageError> {
        let (reply, parts) = channel(PARTS);
        let unit = Arc::new(unit);
        let job = Job { unit: unit.clone(), reply };
        self.jobs.push(job).map_err(|_| ImageError::Broken { stage: "decode" })?;
        self.waiting.push_back(Waiting { unit, parts });
        Ok(())
    }

    /// Passes on the oldest unit. Returns it if it failed.
    pub fn next(&mut self, sink: &mut Chunker<'_>) -> Result<Option<Decoded<S>>, ImageError> {
        let Some(Waiting { unit, parts }) = self.waiting.pop_front() else { return Ok(None) };
        let mut handed_on = 0;
        loop {
            sink.check()?;
            match parts.pop(TICK) {
                Popped::Item(Ok(Done::Piece(piece))) => {
                    handed_on += piece.len() as u64;
                    hand_on(&piece, sink)?;
                }
                Popped::Item(Ok(Done::End(found))) => return Ok(Some(Ok(found))),
                Popped::Item(Err(error)) => return Ok(Some(Err(Failed { unit, handed_on, error }))),
                Popped::Empty => {}
                Popped::End => return Err(ImageError::Broken { stage: "decode" }),
            }
        }
    }

    /// Takes back the waiting units, without their results.
    pub fn take_back(&mut self) -> Vec<Arc<S>> {
        self.waiting.drain(..).map(|waiting| waiting.unit).collect()
    }
}

pub fn hand_on(piece: &[u8], sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    match sink.fill(&mut &piece[..]) {
        Ok(()) => Ok(()),
        Err(DecodeError::Sink(error)) => Err(error),
        Err(DecodeError::Read(_)) => Err(ImageError::Broken { stage: "decode" }),
    }
}

fn work<S: DecodeUnit>(queue: &Mutex<Consumer<Job<S>>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop(TICK);
        let Job { unit, reply } = match job {
            Popped::Item(job) => job,
            Popped::Empty => continue,
            Popped::End => return,
        };
        let mut put = |piece| reply.push(Ok(Done::Piece(piece))).map_err(|_| io::ErrorKind::BrokenPipe.into());
        let end = unit.unpack(&mut Put::new(&mut put)).map(Done::End);
        // Its bytes are no longer needed here.
        drop(unit);
        let _ = reply.push(end);
    }
}

//! Parallel decoding of Zstandard frames.
//!
//! pzstd, the seekable format and joined files are all just several frames (RFC 8878, 3.1). Where a frame ends is read
//! off its block headers as it comes in, so neither a seek table nor pzstd's length headers are needed, and the source
//! may be a stream. Frames that are small enough are decoded by workers into single chunks, each of which goes to the
//! device as soon as all before it did; a larger frame is decoded as a stream, once those before it are done. However
//! many workers there are, a new frame is taken in only when it fits in what `DecodeLimits::in_flight` leaves.

use crate::codec::decode::{Decoder, skip};
use crate::codec::sniff;
use crate::codec::zstd::frame::{Collected, collect};
use crate::codec::zstd::one_frame;
use crate::codec::zstd::workers::{self, CountedFrame, FramePart, Job, PARTS, Queue, WorkerContext};
use crate::error::ImageError;
use crate::flow::byte_queue::ByteQueue;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use crate::flow::pieces::TICK;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope};

pub fn decode(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    let shared = WorkerContext::new(sink, decoder.limits.window_log);
    thread::scope(|scope| {
        let (jobs, queue) = channel::<Job>(1);
        let mut order = Order {
            scope,
            shared: &shared,
            queue: Arc::new(Mutex::new(queue)),
            jobs,
            waiting: VecDeque::new(),
            taken: 0,
            spawned: 0,
            workers: decoder.limits.workers,
            packed: Arc::default(),
            window: 0,
            in_flight: decoder.limits.in_flight,
        };
        let pzstd = sniff::announces(input.peek(8)?);
        // Dropped at its end, which ends the workers.
        loop {
            let announced = pzstd && sniff::announces(input.peek(8)?);
            let step = match sniff::skippable(input.peek(8)?) {
                Some(len) => skip(input, u64::from(len) + 8),
                None => order.frame(input, decoder, sink),
            };
            step.map_err(|fault| decoder.explain(input, fault))?;
            if !decoder.another(input, sink)? {
                return match announced {
                    true => Err(decoder.truncated(input)),
                    false => order.finish(sink).map_err(|fault| decoder.explain(input, fault)),
                };
            }
        }
    })
}

/// A frame whose turn has not come yet.
enum Waiting {
    Parts(Consumer<io::Result<FramePart>>),
    Zeros(usize),
}

/// Frames being decoded by the workers, in the order of the image.
struct Order<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    shared: &'scope WorkerContext<'scope>,
    jobs: Producer<Job>,
    queue: Queue,
    waiting: VecDeque<Waiting>,
    /// Number of frames so far.
    taken: u64,
    spawned: usize,
    workers: usize,
    /// Bytes of compressed frames that wait or are being decoded.
    packed: Arc<AtomicUsize>,
    /// The largest window so far: workers keep their memory.
    window: usize,
    in_flight: usize,
}

/// Whether this many workers may have windows of this size. Windows and compressed frames each get half of `in_flight`.
fn windows_fit(workers: usize, window: usize, in_flight: usize) -> bool {
    workers.saturating_mul(window) <= in_flight / 2
}

/// Whether a frame of `more` bytes may join `packed` bytes of others.
fn packed_fits(packed: usize, more: usize, windows: usize, in_flight: usize) -> bool {
    // A single frame always fits.
    packed == 0 || packed + more + windows <= in_flight
}

impl Order<'_, '_> {
    /// Handles one frame.
    fn frame(&mut self, input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        let rest = match collect(input).map_err(DecodeError::Read)? {
            Collected::Whole { packed, window } => match self.dispatch(packed, window, sink)? {
                Some(packed) => packed,
                None => return Ok(()),
            },
            Collected::Begun(begun) => begun,
        };
        self.finish(sink)?;
        one_frame(rest.chain(input), decoder.limits, sink)
    }

    /// Gives a frame to the workers. Returns it if its window is too large for that.
    fn dispatch(
        &mut self,
        packed: ByteQueue,
        window: usize,
        sink: &mut Chunker<'_>,
    ) -> Result<Option<ByteQueue>, DecodeError> {
        // One more than there are workers, so that they do not idle while the oldest frame is passed to the device.
        while self.waiting.len() > self.spawned {
            self.next(sink)?;
        }
        if let Some(len) = self.shared.zeros.len_of(&packed) {
            self.taken += 1;
            self.waiting.push_back(Waiting::Zeros(len));
            return Ok(None);
        }
        let window = self.window.max(window);
        if !windows_fit(self.spawned.max(1), window, self.in_flight) {
            return Ok(Some(packed));
        }
        self.window = window;
        if self.spawned < self.workers && windows_fit(self.spawned + 1, window, self.in_flight) {
            let (queue, shared) = (self.queue.clone(), self.shared);
            let named = thread::Builder::new().name(format!("burin-zstd-{}", self.spawned));
            let spawned = named.spawn_scoped(self.scope, move || workers::work(&queue, shared));
            spawned.map_err(|source| DecodeError::Sink(ImageError::Thread { source }))?;
            self.spawned += 1;
        }
        let windows = self.spawned * self.window;
        while !self.waiting.is_empty()
            && !packed_fits(self.packed.load(Ordering::Relaxed), packed.memory(), windows, self.in_flight)
        {
            self.next(sink)?;
        }
        let (reply, parts) = channel(PARTS);
        let job = Job { number: self.taken, packed: CountedFrame::new(packed, &self.packed), reply };
        self.jobs.push(job).map_err(|_| DecodeError::Sink(ImageError::Broken { stage: "decode" }))?;
        self.taken += 1;
        self.waiting.push_back(Waiting::Parts(parts));
        Ok(None)
    }

    /// Passes on the oldest frame.
    fn next(&mut self, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        let Some(frame) = self.waiting.front() else { return Ok(()) };
        match frame {
            Waiting::Zeros(len) => sink.zeros(*len)?,
            Waiting::Parts(parts) => loop {
                sink.check().map_err(DecodeError::Sink)?;
                match parts.pop(TICK) {
                    Popped::Item(Ok(FramePart::Chunk(chunk))) => sink.take(chunk)?,
                    Popped::Item(Ok(FramePart::Rest(buf, len))) => sink.fill(&mut &buf[..len])?,
                    Popped::Item(Ok(FramePart::End)) => break,
                    Popped::Item(Err(error)) => return Err(DecodeError::Read(error)),
                    Popped::Empty => {}
                    Popped::End => return Err(DecodeError::Sink(ImageError::Broken { stage: "decode" })),
                }
            },
        }
        self.waiting.pop_front();
        self.shared.turn(self.taken - self.waiting.len() as u64);
        Ok(())
    }

    fn finish(&mut self, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        while !self.waiting.is_empty() {
            self.next(sink)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget;
    use crate::codec::zstd::LARGEST_FRAME;
    use crate::flow::pieces::PIECE;
    use crate::options::Options;

    #[test]
    fn frames_in_flight_stay_within_the_budget() {
        let largest = LARGEST_FRAME + 2 * PIECE;
        for in_flight in [true, false].map(|frames| budget::share(&Options::default(), 1, frames).in_flight) {
            assert!(windows_fit(1, LARGEST_FRAME, in_flight) && windows_fit(2, 4 << 20, in_flight));
            assert!(!windows_fit(1, 128 << 20, in_flight) && !windows_fit(2, usize::MAX, in_flight));
            for (workers, window) in [(1, LARGEST_FRAME), (2, 2 << 20), (4, 2 << 20), (4, 1 << 20)] {
                let windows = workers * window;
                assert!(windows_fit(workers, window, in_flight));
                assert!(largest + windows <= in_flight, "one alone");
                for packed in (0..=largest).step_by(300_000) {
                    for more in (1..=largest).step_by(300_000) {
                        let sum = packed + more + windows;
                        assert_eq!(packed_fits(packed, more, windows, in_flight), packed == 0 || sum <= in_flight);
                    }
                }
            }
        }
    }
}

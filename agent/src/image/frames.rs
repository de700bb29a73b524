//! Zstandard frames side by side.
//!
//! pzstd, the seekable format and joined files are all just several frames (RFC 8878, 3.1). Where a frame ends is read
//! off its block headers as it comes in, so neither a seek table nor pzstd's length headers are needed, and the source
//! may be a stream. Frames that are small enough are decoded in one go by workers into buffers whose pieces go to the
//! device without another copy; a larger frame is decoded as a stream, once those before it are done.

use super::ImageError;
use super::decode::{Decoder, Fault, skip};
use super::input::Input;
use super::lane::{Consumer, Popped, Producer, lane};
use super::sniff;
use super::source::TICK;
use super::stages::Chunker;
use crate::disk::{Chunk, Pool, PoolBuf};
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::thread;

/// Largest decoded frame for a worker: what pzstd makes by default.
const LARGEST: usize = 8 << 20;
/// RFC 8878, 3.1.1.2.4: no block is larger.
const LARGEST_BLOCK: usize = 128 << 10;

/// A frame as far as it was collected.
enum Collected {
    /// All of it; decoded it has at most so many bytes.
    Whole(Vec<u8>, usize),
    /// It is too large, cut short or malformed: the streaming decoder shall see.
    Begun(Vec<u8>),
}

struct Job {
    packed: Vec<u8>,
    room: PoolBuf,
    reply: Producer<io::Result<Frame>>,
}

enum Frame {
    /// Whole chunks.
    Even(Vec<Chunk>),
    Odd(PoolBuf, usize),
}

pub fn decode(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    let workers = decoder.limits.workers;
    thread::scope(|scope| {
        let (jobs, queue) = lane::<Job>(1);
        let queue = std::sync::Mutex::new(queue);
        let queue = std::sync::Arc::new(queue);
        let mut state = Order { jobs: Some(jobs), pool: None, waiting: VecDeque::new(), workers };
        let mut spawned = 0;
        let result = loop {
            let announced = sniff::announces(input.peek(8)?);
            if let Some(len) = sniff::skippable(input.peek(8)?) {
                if let Err(fault) = skip(input, u64::from(len) + 8) {
                    break Err(decoder.explain(input, fault));
                }
            } else {
                let step = match collect(input) {
                    Err(error) => Err(Fault::Read(error)),
                    Ok(Collected::Whole(packed, bound)) => {
                        if spawned < workers {
                            let queue = queue.clone();
                            let named = thread::Builder::new().name(format!("burin-zstd-{spawned}"));
                            if let Err(source) = named.spawn_scoped(scope, move || work(&queue)) {
                                break Err(ImageError::Thread { source });
                            }
                            spawned += 1;
                        }
                        state.dispatch(packed, bound, sink)
                    }
                    Ok(Collected::Begun(begun)) => {
                        let finished = state.finish(sink);
                        finished.and_then(|()| decoder.zstd_frame(io::Cursor::new(begun).chain(&mut *input), sink))
                    }
                };
                if let Err(fault) = step {
                    break Err(decoder.explain(input, fault));
                }
            }
            match decoder.another(input) {
                Ok(true) => {}
                Ok(false) if announced => {
                    break Err(decoder.explain(input, Fault::Read(io::ErrorKind::UnexpectedEof.into())));
                }
                Ok(false) => break state.finish(sink).map_err(|fault| decoder.explain(input, fault)),
                Err(error) => break Err(error),
            }
        };
        // Ends the workers.
        state.jobs = None;
        state.waiting.clear();
        result
    })
}

/// Frames on their way through the workers, in the order of the image.
struct Order {
    jobs: Option<Producer<Job>>,
    pool: Option<Pool>,
    waiting: VecDeque<Consumer<io::Result<Frame>>>,
    workers: usize,
}

impl Order {
    fn dispatch(&mut self, packed: Vec<u8>, bound: usize, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        debug_assert!(bound <= LARGEST);
        while self.waiting.len() >= self.workers {
            self.next(sink)?;
        }
        // Two more than the workers hold: the writer frees those, whatever the workers do.
        let count = self.workers + 2;
        let pool = self.pool.get_or_insert_with(|| Pool::with_size(count, LARGEST));
        let room = sink.wait_for(pool).map_err(Fault::Sink)?;
        let (reply, frame) = lane(1);
        let jobs = self.jobs.as_ref().ok_or(Fault::Sink(ImageError::Broken { stage: "decode" }))?;
        jobs.push(Job { packed, room, reply }).map_err(|_| Fault::Sink(ImageError::Broken { stage: "decode" }))?;
        self.waiting.push_back(frame);
        Ok(())
    }

    /// Hands on the oldest frame.
    fn next(&mut self, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        let Some(frame) = self.waiting.pop_front() else { return Ok(()) };
        loop {
            sink.check().map_err(Fault::Sink)?;
            match frame.pop(TICK) {
                Popped::Item(Ok(Frame::Even(chunks))) => return sink.take(chunks),
                Popped::Item(Ok(Frame::Odd(buf, len))) => return sink.fill(&mut &buf[..len]),
                Popped::Item(Err(error)) => return Err(Fault::Read(error)),
                Popped::Empty => {}
                Popped::End => return Err(Fault::Sink(ImageError::Broken { stage: "decode" })),
            }
        }
    }

    fn finish(&mut self, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        while !self.waiting.is_empty() {
            self.next(sink)?;
        }
        Ok(())
    }
}

fn work(queue: &std::sync::Mutex<Consumer<Job>>) {
    let mut decompressor = zstd::bulk::Decompressor::new();
    loop {
        let job = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop(TICK);
        let Job { packed, mut room, reply } = match job {
            Popped::Item(job) => job,
            Popped::Empty => continue,
            Popped::End => return,
        };
        let unpacked = match &mut decompressor {
            Ok(decompressor) => decompressor.decompress_to_buffer(&packed, &mut room[..]),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        drop(packed);
        let frame = unpacked.map(|len| match Chunk::cut(room, len) {
            Ok(chunks) => Frame::Even(chunks),
            Err(room) => Frame::Odd(room, len),
        });
        let _ = reply.push(frame);
    }
}

/// Takes one frame from `input`, unless it is too large.
fn collect(input: &mut Input) -> io::Result<Collected> {
    let mut packed = Vec::new();
    if !take(input, &mut packed, 5)? {
        return Ok(Collected::Begun(packed));
    }
    let descriptor = packed[4];
    let single = descriptor & 0x20 != 0;
    let content = match (descriptor >> 6, single) {
        (0, false) => 0,
        (0, true) => 1,
        (flag, _) => 1 << flag,
    };
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    if !take(input, &mut packed, usize::from(!single) + dictionary + content)? {
        return Ok(Collected::Begun(packed));
    }
    let mut bound = 0;
    loop {
        if !take(input, &mut packed, 3)? {
            return Ok(Collected::Begun(packed));
        }
        let [.., a, b, c] = packed.as_slice() else { return Ok(Collected::Begun(packed)) };
        let header = u32::from_le_bytes([*a, *b, *c, 0]);
        let (last, kind, size) = (header & 1 != 0, header >> 1 & 3, (header >> 3) as usize);
        let (stored, decoded) = match kind {
            0 => (size, size),
            1 => (1, size),
            2 => (size, LARGEST_BLOCK),
            _ => return Ok(Collected::Begun(packed)),
        };
        bound += decoded;
        if bound > LARGEST || stored > LARGEST_BLOCK || !take(input, &mut packed, stored)? {
            return Ok(Collected::Begun(packed));
        }
        if last {
            let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
            return match take(input, &mut packed, checksum)? {
                true => Ok(Collected::Whole(packed, bound)),
                false => Ok(Collected::Begun(packed)),
            };
        }
    }
}

/// Moves `count` bytes; false where fewer are left.
fn take(input: &mut Input, to: &mut Vec<u8>, mut count: usize) -> io::Result<bool> {
    while count > 0 {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(false);
        }
        let now = available.len().min(count);
        to.extend_from_slice(&available[..now]);
        input.consume(now);
        count -= now;
    }
    Ok(true)
}

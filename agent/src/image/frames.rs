//! Zstandard frames side by side.
//!
//! pzstd, the seekable format and joined files are all just several frames (RFC 8878, 3.1). Where a frame ends is read
//! off its block headers as it comes in, so neither a seek table nor pzstd's length headers are needed, and the source
//! may be a stream. Frames that are small enough are decoded in one go by workers into buffers whose pieces go to the
//! device without another copy; a larger frame is decoded as a stream, once those before it are done. However many
//! workers there are, a new frame is taken in only when it fits in what `Limits::in_flight` leaves.

use super::ImageError;
use super::budget::LARGEST_FRAME as LARGEST;
use super::decode::{Decoder, Fault, skip};
use super::input::Input;
use super::lane::{Consumer, Popped, Producer, lane};
use super::pieces::TICK;
use super::sniff;
use super::stages::Chunker;
use crate::disk::{CHUNK, Chunk, Pool, PoolBuf};
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// RFC 8878, 3.1.1.2.4: no block is larger.
const LARGEST_BLOCK: usize = 128 << 10;

/// A frame as far as it was collected.
enum Collected {
    /// All of it; decoded it has at most so many bytes.
    Whole(Vec<u8>, usize),
    /// It is too large, cut short or malformed: the streaming decoder shall see.
    Begun(Vec<u8>),
}

/// A compressed frame, counted for as long as it is held.
struct Packed {
    bytes: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl Packed {
    fn new(bytes: Vec<u8>, held: &Arc<AtomicUsize>) -> Self {
        held.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, held: held.clone() }
    }
}

impl Drop for Packed {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

struct Job {
    packed: Packed,
    room: PoolBuf,
    reply: Producer<io::Result<Frame>>,
}

enum Frame {
    /// Whole chunks.
    Even(Vec<Chunk>),
    Odd(PoolBuf, usize),
}

pub fn decode(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    let (workers, in_flight) = (decoder.limits.workers, decoder.limits.in_flight);
    thread::scope(|scope| {
        let (jobs, queue) = lane::<Job>(1);
        let queue = std::sync::Mutex::new(queue);
        let queue = Arc::new(queue);
        let mut state = Order {
            jobs: Some(jobs),
            rooms: None,
            packed: Arc::default(),
            waiting: VecDeque::new(),
            workers,
            in_flight,
        };
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
    rooms: Option<Rooms>,
    /// Bytes of compressed frames that wait or are being decoded.
    packed: Arc<AtomicUsize>,
    waiting: VecDeque<Consumer<io::Result<Frame>>>,
    workers: usize,
    in_flight: usize,
}

/// Buffers for decoded frames, all of one size: the frames of one file mostly are, too.
struct Rooms {
    pool: Pool,
    size: usize,
    count: usize,
    in_flight: usize,
}

impl Rooms {
    /// For frames of `bound` bytes and less, `in_flight` bytes of them in all.
    fn new(bound: usize, in_flight: usize) -> Self {
        let size = bound.clamp(1, LARGEST).next_multiple_of(CHUNK);
        let count = (in_flight / size).max(1);
        Self { pool: Pool::with_size(count, size), size, count, in_flight }
    }

    /// How many buffers must be free for one more to be taken, with so many bytes of compressed frames held.
    fn wanted(&self, packed: usize) -> usize {
        let allowed = self.in_flight.saturating_sub(packed) / self.size;
        // One frame alone always goes.
        (self.count + 1).saturating_sub(allowed).clamp(1, self.count)
    }
}

impl Order {
    fn dispatch(&mut self, packed: Vec<u8>, bound: usize, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        debug_assert!(bound <= LARGEST);
        // One more than there are workers: they shall not idle while the oldest frame is handed on to the device.
        while self.waiting.len() > self.workers {
            self.next(sink)?;
        }
        if let Some(rooms) = self.rooms.take_if(|rooms| rooms.size < bound) {
            // Larger ones, once all these came back.
            self.finish(sink)?;
            sink.wait_until_free(&rooms.pool, rooms.count).map_err(Fault::Sink)?;
        }
        let packed = Packed::new(packed, &self.packed);
        let (pool, free) = loop {
            let held = self.packed.load(Ordering::Relaxed);
            let rooms = self.rooms.get_or_insert_with(|| Rooms::new(bound, self.in_flight));
            let (pool, wanted) = (rooms.pool.clone(), rooms.wanted(held));
            if self.waiting.is_empty() || pool.free_count() >= wanted {
                break (pool, wanted);
            }
            self.next(sink)?;
        };
        sink.wait_until_free(&pool, free).map_err(Fault::Sink)?;
        let room = sink.wait_for(&pool).map_err(Fault::Sink)?;
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
            Ok(decompressor) => decompressor.decompress_to_buffer(&packed.bytes, &mut room[..]),
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
        // Empty blocks decode to nothing and still take room.
        if bound.max(packed.len()) > LARGEST || stored > LARGEST_BLOCK || !take(input, &mut packed, stored)? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::budget::IN_FLIGHT;
    use crate::image::input::Pieces;

    struct Once(Option<Vec<u8>>);

    impl Pieces for Once {
        fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
            Ok(self.0.take())
        }
    }

    fn collected(bytes: Vec<u8>) -> Collected {
        collect(&mut Input::new(Box::new(Once(Some(bytes))))).unwrap()
    }

    #[test]
    fn a_frame_of_countless_empty_blocks_is_not_collected() {
        // Single segment, one byte of content size; then raw blocks of no bytes.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0];
        frame.resize(3 * LARGEST, 0);
        match collected(frame) {
            Collected::Begun(begun) => assert!(begun.len() <= LARGEST + LARGEST_BLOCK + 8, "{}", begun.len()),
            Collected::Whole(..) => panic!("a frame without an end"),
        }
    }

    #[test]
    fn whole_frames_are_bounded_by_what_they_hold() {
        let bytes = b"some text, again and again, ".repeat(20_000);
        let frame = zstd::bulk::compress(&bytes, 3).unwrap();
        match collected(frame.clone()) {
            Collected::Whole(packed, bound) => {
                assert_eq!(packed, frame);
                assert!(bound >= bytes.len() && bound <= bytes.len().next_multiple_of(LARGEST_BLOCK));
            }
            Collected::Begun(_) => panic!("not collected"),
        }
    }

    #[test]
    fn frames_in_flight_stay_within_the_budget() {
        for bound in [1, CHUNK, CHUNK + 1, 3 << 20, LARGEST] {
            let rooms = Rooms::new(bound, IN_FLIGHT);
            assert!(rooms.size >= bound && rooms.size * rooms.count <= IN_FLIGHT);
            for packed in (0..=LARGEST).step_by(300_000) {
                let wanted = rooms.wanted(packed);
                assert!((1..=rooms.count).contains(&wanted));
                let taken = rooms.count - wanted + 1;
                assert!(taken * rooms.size + packed <= IN_FLIGHT, "{bound} {packed}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_collected_or_begun(
            mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..4000), magic in proptest::bool::ANY,
        ) {
            if magic && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
            }
            let (Collected::Whole(taken, _) | Collected::Begun(taken)) = collected(bytes.clone());
            proptest::prop_assert!(bytes.starts_with(&taken));
        }
    }
}

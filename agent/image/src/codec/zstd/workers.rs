//! The workers that decode zstd frames into chunks.

use crate::flow::byte_queue::ByteQueue;
use crate::flow::channel::{Consumer, Popped, Producer};
use crate::flow::chunker::Chunker;
use crate::flow::pieces::TICK;
use crate::flow::progress::timed;
use crate::flow::stop::Stop;
use burin_disk::{CHUNK, Chunk, Pool, PoolBuf, is_zero};
use std::io::{self, BufRead};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// The parts of the largest frame and its end: a worker never waits for its parts to be taken.
pub const PARTS: usize = crate::codec::zstd::LARGEST_FRAME / CHUNK + 1;
/// Buffers that frames leave to others. The thread that passes on chunks needs one to copy into if a frame does not
/// start at a chunk boundary, and everything else may be waiting for exactly that.
const KEPT_IN_TURN: usize = 1;
/// Frames whose turn has not come also leave one for the current frame, one for the chunk that two frames share, and
/// the one that holds the image's first chunk until the end.
pub const KEPT: usize = KEPT_IN_TURN + 3;

pub type Queue = Arc<Mutex<Consumer<Job>>>;

/// A compressed frame, counted as long as it is held.
pub struct CountedFrame {
    packed: ByteQueue,
    counted: usize,
    all: Arc<AtomicUsize>,
}

impl CountedFrame {
    pub fn new(packed: ByteQueue, all: &Arc<AtomicUsize>) -> Self {
        let counted = packed.memory();
        all.fetch_add(counted, Ordering::Relaxed);
        Self { packed, counted, all: all.clone() }
    }
}

impl Drop for CountedFrame {
    fn drop(&mut self) {
        self.all.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

/// A frame to be decoded.
pub struct Job {
    /// The number of the frame in the image, from 0.
    pub number: u64,
    pub packed: CountedFrame,
    pub reply: Producer<io::Result<FramePart>>,
}

pub enum FramePart {
    /// A whole chunk.
    Chunk(Chunk),
    /// The rest: this many bytes, less than a chunk.
    Rest(PoolBuf, usize),
    /// The end of the frame.
    End,
}

/// State shared by the workers.
pub struct WorkerContext<'a> {
    pool: &'a Pool,
    stop: &'a Stop,
    waited: &'a AtomicU64,
    window_log: u32,
    /// The frame whose turn it is.
    turn: AtomicU64,
    pub zeros: ZeroFrame,
}

impl<'a> WorkerContext<'a> {
    pub fn new(sink: &Chunker<'a>, window_log: u32) -> Self {
        let (pool, stop, waited) = (sink.pool(), sink.stop(), sink.waited());
        Self { pool, stop, waited, window_log, turn: AtomicU64::new(0), zeros: ZeroFrame::default() }
    }

    /// Starts the turn of this frame.
    pub fn turn(&self, number: u64) {
        self.turn.store(number, Ordering::Release);
        self.pool.ask_again();
    }

    /// A buffer for a frame; `None` once nobody needs it any more.
    fn buffer(&self, number: u64, reply: &Producer<io::Result<FramePart>>) -> Option<PoolBuf> {
        let due = || self.turn.load(Ordering::Acquire) >= number;
        let kept = || if due() { KEPT_IN_TURN } else { KEPT };
        loop {
            if self.stop.is_set() || reply.is_closed() {
                return None;
            }
            let take = || self.pool.take_beyond(&kept, TICK);
            // Frames that wait for their turn delay nobody.
            let taken = if due() { timed(self.waited, take) } else { take() };
            if taken.is_some() {
                return taken;
            }
        }
    }
}

/// A frame of zeros in compressed form: if the same bytes come again, they need no decoding. Encoders write the same
/// few bytes for each equally long range of zeros.
#[derive(Default)]
pub struct ZeroFrame(Mutex<Option<(Vec<u8>, usize)>>);

impl ZeroFrame {
    /// A frame of zeros has a few bytes for each block of up to 128 KiB.
    const LARGEST: usize = 4096;

    /// The number of zeros that `packed` decodes to.
    pub fn len_of(&self, packed: &ByteQueue) -> Option<usize> {
        let packed = packed.small(Self::LARGEST)?;
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(frame, _)| *frame == packed).map(|(_, len)| *len)
    }

    fn learn(&self, frame: Vec<u8>, len: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((frame, len));
    }
}

/// Decodes frames until there are no more.
pub fn work(queue: &Mutex<Consumer<Job>>, shared: &WorkerContext<'_>) {
    let mut decoder = decoder(shared.window_log);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop(TICK);
        let Job { number, mut packed, reply } = match job {
            Popped::Item(job) => job,
            Popped::Empty => continue,
            Popped::End => return,
        };
        let small = packed.packed.small(ZeroFrame::LARGEST);
        let unpacked = match &mut decoder {
            Ok(decoder) => unpack(decoder, &mut packed.packed, &|| shared.buffer(number, &reply), &reply),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        drop(packed);
        match unpacked {
            Ok(Some(zeros)) => {
                if let Some(small) = small.filter(|_| zeros > 0) {
                    shared.zeros.learn(small, zeros);
                }
                let _ = reply.push(Ok(FramePart::End));
            }
            Ok(None) => {}
            Err(error) => {
                let _ = reply.push(Err(error));
            }
        }
    }
}

fn decoder(window_log: u32) -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
    Ok(decoder)
}

/// Decodes a frame. Returns its length if it is all zeros, otherwise 0; `None` once nobody needs it any more.
fn unpack(
    decoder: &mut Decoder<'_>,
    packed: &mut ByteQueue,
    buffer: &dyn Fn() -> Option<PoolBuf>,
    reply: &Producer<io::Result<FramePart>>,
) -> io::Result<Option<usize>> {
    decoder.reinit()?;
    let (mut len, mut zeros, mut ended) = (0, true, false);
    while !ended {
        let Some(mut buf) = buffer() else { return Ok(None) };
        let mut filled = 0;
        while filled < buf.len() && !ended {
            let step = step(decoder, packed, &mut buf[filled..])?;
            if step.made == 0 && step.used == 0 && !step.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += step.made;
            ended = step.ended;
        }
        len += filled;
        let part = if filled == CHUNK {
            let chunk = Chunk::new(0, buf, CHUNK, 1);
            zeros &= chunk.digest.is_none();
            FramePart::Chunk(chunk)
        } else {
            zeros = zeros && is_zero(&buf[..filled]);
            FramePart::Rest(buf, filled)
        };
        if reply.push(Ok(part)).is_err() {
            return Ok(None);
        }
        // The checksum after the last byte needs no buffer.
        ended = ended || step(decoder, packed, &mut [])?.ended;
    }
    match packed.len() {
        0 => Ok(Some(if zeros { len } else { 0 })),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

struct Step {
    used: usize,
    made: usize,
    ended: bool,
}

fn step(decoder: &mut Decoder<'_>, packed: &mut ByteQueue, to: &mut [u8]) -> io::Result<Step> {
    let mut input = InBuffer::around(packed.fill_buf()?);
    let mut output = OutBuffer::around(to);
    let hint = decoder.run(&mut input, &mut output)?;
    let (used, made) = (input.pos(), output.pos());
    packed.consume(used);
    Ok(Step { used, made, ended: hint == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::channel::channel;

    fn packed(bytes: &[u8]) -> ByteQueue {
        let mut packed = ByteQueue::default();
        bytes.chunks(1000).for_each(|piece| packed.push(piece.to_vec(), 0));
        packed
    }

    /// Decodes a frame with a single buffer. Returns the content and the result.
    fn unpacked(frame: &[u8]) -> (Vec<u8>, io::Result<Option<usize>>) {
        let pool = Pool::new(1);
        let (reply, parts) = channel(PARTS);
        std::thread::scope(|scope| {
            let pool = &pool;
            let found = scope.spawn(move || {
                let buffer = || pool.take_within(std::time::Duration::from_secs(60));
                unpack(&mut decoder(27).unwrap(), &mut packed(frame), &buffer, &reply)
            });
            let mut bytes = Vec::new();
            loop {
                match parts.pop(TICK) {
                    Popped::Item(Ok(FramePart::Chunk(chunk))) => bytes.extend_from_slice(chunk.bytes()),
                    Popped::Item(Ok(FramePart::Rest(buf, len))) => bytes.extend_from_slice(&buf[..len]),
                    Popped::Item(_) | Popped::Empty => {}
                    Popped::End => break,
                }
            }
            (bytes, found.join().unwrap())
        })
    }

    #[test]
    fn a_chunk_is_free_as_soon_as_it_is_taken() {
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 8 * CHUNK] {
            let data: Vec<u8> = (0..len).map(|index| (index / 7 + index / CHUNK) as u8).collect();
            let frame = zstd::bulk::compress(&data, 1).unwrap();
            let (bytes, found) = unpacked(&frame);
            assert!(bytes == data, "{len}");
            // The first byte is zero.
            assert_eq!(found.unwrap(), Some(if len == 1 { 1 } else { 0 }));
        }
    }

    #[test]
    fn zeros_are_told_and_known_again_by_their_bytes_alone() {
        let known = ZeroFrame::default();
        for len in [5000, CHUNK, 3 * CHUNK + 9] {
            let frame = zstd::bulk::compress(&vec![0; len], 3).unwrap();
            assert_eq!(known.len_of(&packed(&frame)), None);
            let (bytes, found) = unpacked(&frame);
            assert!(bytes.len() == len && is_zero(&bytes));
            assert_eq!(found.unwrap(), Some(len));
            known.learn(frame.clone(), len);
            assert_eq!(known.len_of(&packed(&frame)), Some(len));
            assert_eq!(known.len_of(&packed(&frame[..frame.len() - 1])), None);
        }
        let mut almost = vec![0; 3 * CHUNK];
        almost[2 * CHUNK + 77] = 1;
        assert_eq!(unpacked(&zstd::bulk::compress(&almost, 3).unwrap()).1.unwrap(), Some(0));
    }

    #[test]
    fn damage_is_an_error() {
        let frame = zstd::bulk::compress(&b"some text, again and again, ".repeat(90_000), 3).unwrap();
        assert!(unpacked(&frame[..frame.len() - 1]).1.is_err(), "cut short");
        assert!(unpacked(&[&frame[..], b"!"].concat()).1.is_err(), "too long");
        let mut summed = zstd::bulk::Compressor::new(3).unwrap();
        summed.include_checksum(true).unwrap();
        let mut frame = summed.compress(&[7; 3 * CHUNK]).unwrap();
        assert!(unpacked(&frame).1.is_ok());
        *frame.last_mut().unwrap() ^= 1;
        assert!(unpacked(&frame).1.is_err(), "another checksum");
    }
}

//! Parallel decoding of bzip2 blocks. bzip2, lbzip2 and pbzip2 all write the same format.
//!
//! A block is decoded as a stream of its own: behind a header, and before an end with the block's checksum. What looks like a
//! block's mark may stand inside of a block (once in tens of terabytes): a block that cannot be decoded is tried again together
//! with what follows it, before it is called corrupt. What looks like the mark of an end, as seldom, is not tried: that is
//! called corrupt, or garbage behind the end.

use super::bits::Bits;
use super::scan::{BLOCK, END, LONGEST, Mark, Scan};
use crate::codec::decode::Decoder;
use crate::codec::units::{DecodeUnit, Failed, Put, UnitDecoder, hand_on};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::thread;

/// A block without its mark.
struct Block {
    level: u8,
    bits: Bits,
}

impl DecodeUnit for Block {
    /// The block's checksum.
    type Found = u32;

    fn unpack(&self, put: &mut Put<'_>) -> io::Result<u32> {
        let sum = self.bits.first_32().ok_or(io::ErrorKind::InvalidData)?;
        let mut stream = Bits::default();
        stream.push(u64::from_be_bytes([0, 0, 0, 0, b'B', b'Z', b'h', self.level]), 32);
        stream.push(BLOCK, 48);
        stream.append(&self.bits);
        stream.push(END, 48);
        stream.push(u64::from(sum), 32);
        let mut decoder = ::bzip2::bufread::BzDecoder::new(stream.bytes());
        put.all(&mut decoder)?;
        // A mark within the data would have ended the block early.
        match decoder.into_inner().is_empty() {
            true => Ok(sum),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The results, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Block,
    End(u32),
}

struct Order {
    units: UnitDecoder<Block>,
    next: VecDeque<Next>,
    /// Checksum of the blocks of this stream that were passed on.
    sum: u32,
}

pub fn decode(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    thread::scope(|scope| {
        let units = UnitDecoder::start(scope, decoder.limits.workers)?;
        let mut order = Order { units, next: VecDeque::new(), sum: 0 };
        loop {
            stream(&mut order, input, sink).map_err(|fault| decoder.explain(input, fault))?;
            let another = decoder.another(input, sink);
            if !matches!(another, Ok(true)) {
                order.finish(sink).map_err(|fault| decoder.explain(input, fault))?;
                return another.map(|_| ());
            }
        }
    })
}

fn corrupt(what: &'static str) -> DecodeError {
    DecodeError::Read(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Reads one stream. Its last blocks may still be in flight.
fn stream(order: &mut Order, input: &mut Input, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
    let mut header = [0; 4];
    input.read_exact(&mut header).map_err(DecodeError::Read)?;
    let level = match header {
        [b'B', b'Z', b'h', level @ b'1'..=b'9'] => level,
        _ => return Err(corrupt("no bzip2 header")),
    };
    let begun = Scan::begin(input);
    let (mut scan, mut mark) = order.or_first(begun, sink)?;
    while mark == Mark::Block {
        let mut bits = Bits::default();
        let next = scan.next(input, &mut bits);
        mark = order.or_first(next, sink)?;
        while order.units.is_full() {
            order.next(sink)?;
        }
        order.units.put(Block { level, bits }).map_err(DecodeError::Sink)?;
        order.next.push_back(Next::Block);
    }
    if let Mark::End(sum) = mark {
        order.next.push_back(Next::End(sum));
    }
    Ok(())
}

impl Order {
    /// Before an error is returned, passes on everything that came before it. If that fails, its error is returned.
    fn or_first<T>(&mut self, found: io::Result<T>, sink: &mut Chunker<'_>) -> Result<T, DecodeError> {
        match found {
            Ok(found) => Ok(found),
            Err(error) => {
                self.finish(sink)?;
                Err(DecodeError::Read(error))
            }
        }
    }

    fn finish(&mut self, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        while !self.next.is_empty() {
            self.next(sink)?;
        }
        Ok(())
    }

    /// Passes on the oldest block. At the end of a stream, compares its checksum.
    fn next(&mut self, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        match self.next.pop_front() {
            None => return Ok(()),
            Some(Next::End(sum)) => return self.end(sum),
            Some(Next::Block) => {}
        }
        let sum = match self.units.next(sink).map_err(DecodeError::Sink)? {
            None => return Err(DecodeError::Sink(ImageError::Broken { stage: "decode" })),
            Some(Ok(sum)) => sum,
            Some(Err(failed)) => self.joined(failed, sink)?,
        };
        self.sum = self.sum.rotate_left(1) ^ sum;
        while let Some(Next::End(sum)) = self.next.front().copied() {
            self.next.pop_front();
            self.end(sum)?;
        }
        Ok(())
    }

    fn end(&mut self, sum: u32) -> Result<(), DecodeError> {
        match std::mem::take(&mut self.sum) == sum {
            true => Ok(()),
            false => Err(corrupt("the checksum of the stream is another")),
        }
    }

    /// Joins a failed block with the blocks after it, as long as there are any.
    fn joined(&mut self, failed: Failed<Block>, sink: &mut Chunker<'_>) -> Result<u32, DecodeError> {
        let (level, mut bits) = (failed.unit.level, failed.unit.bits.clone());
        let behind = self.units.take_back();
        let mut behind = behind.into_iter();
        while self.next.front() == Some(&Next::Block)
            && let Some(block) = behind.next()
        {
            self.next.pop_front();
            bits.push(BLOCK, 48);
            bits.append(&block.bits);
            if bits.bytes().len() > LONGEST {
                break;
            }
            let whole = Block { level, bits: bits.clone() };
            let mut pieces = Vec::new();
            let mut put = |piece| {
                pieces.push(piece);
                Ok(())
            };
            if let Ok(sum) = whole.unpack(&mut Put::new(&mut put)) {
                let mut known = failed.handed_on;
                for piece in &pieces {
                    let skip = known.min(piece.len() as u64);
                    known -= skip;
                    let rest = usize::try_from(skip).ok().and_then(|skip| piece.get(skip..)).unwrap_or_default();
                    hand_on(rest, sink).map_err(DecodeError::Sink)?;
                }
                // The others are decoded again.
                for block in behind {
                    let again = Block { level: block.level, bits: block.bits.clone() };
                    self.units.put(again).map_err(DecodeError::Sink)?;
                }
                return Ok(sum);
            }
        }
        Err(DecodeError::Read(failed.error))
    }
}

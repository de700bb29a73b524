//! Parallel decoding of gzip members: bgzip, eStargz, and concatenated files.
//!
//! Only bgzip's members say how long they are. So a unit goes from what looks like the beginning of a member to the next
//! such place that is far enough, and a worker decodes it as a file of its own. What only looked like a beginning, or is
//! followed by anything else, is no unit that can be decoded by itself: it is put back, and read one member after the
//! other, as if nobody had tried. That also finds every error where it would have been found.

use crate::codec::decode::Decoder;
use crate::codec::units::{DecodeUnit, Put, UnitDecoder};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use flate2::bufread::{GzDecoder, MultiGzDecoder};
use std::io::{self, BufRead, Read};
use std::thread;

/// The least size of a unit, if more members follow.
const SHORTEST: usize = 256 * 1024;
/// A longer member is decoded while it arrives.
pub const LONGEST: usize = 2 << 20;
/// Bytes needed to recognise the start of a member.
const HEADER: usize = 10;

struct Members(Vec<u8>);

impl DecodeUnit for Members {
    type Found = ();

    fn unpack(&self, put: &mut Put<'_>) -> io::Result<()> {
        put.all(&mut MultiGzDecoder::new(self.0.as_slice()))
    }
}

pub fn decode(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<(), ImageError> {
    thread::scope(|scope| {
        let mut units: UnitDecoder<Members> = UnitDecoder::start(scope, decoder.limits.workers)?;
        loop {
            let taken = match take(input).map_err(|error| decoder.explain(input, DecodeError::Read(error)))? {
                Taken::Members(members) => Some(members),
                Taken::Long | Taken::Last if !units.is_empty() => None,
                Taken::Long => {
                    one(input, decoder, sink, 0)?;
                    match decoder.another(input, sink)? {
                        true => continue,
                        false => return Ok(()),
                    }
                }
                Taken::Last => return rest(input, decoder, sink, 0),
            };
            while units.is_full() || taken.is_none() && !units.is_empty() {
                let Some(Err(failed)) = units.next(sink)? else { continue };
                let mut bytes = failed.unit.0.clone();
                units.take_back().iter().for_each(|unit| bytes.extend_from_slice(&unit.0));
                bytes.extend_from_slice(taken.as_ref().map_or(&[], |members| members.0.as_slice()));
                input.unread(bytes);
                return rest(input, decoder, sink, failed.handed_on);
            }
            if let Some(members) = taken {
                units.put(members)?;
            }
        }
    })
}

/// Decodes the rest, without the first `known` bytes of its output.
fn rest(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>, mut known: u64) -> Result<(), ImageError> {
    // Nothing is left if the last unit ended with the file.
    while !input.peek(1)?.is_empty() {
        known = one(input, decoder, sink, known)?;
        if !decoder.another(input, sink)? {
            break;
        }
    }
    Ok(())
}

/// Decodes one member, without the first `known` bytes of its output. Returns how many of those it did not have.
fn one(input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>, known: u64) -> Result<u64, ImageError> {
    let filled = {
        let mut member = GzDecoder::new(&mut *input);
        match io::copy(&mut (&mut member).take(known), &mut io::sink()) {
            Ok(skipped) => sink.fill(&mut member).map(|()| known - skipped),
            Err(error) => Err(DecodeError::Read(error)),
        }
    };
    filled.map_err(|fault| decoder.explain(input, fault))
}

/// The next unit.
enum Taken {
    Members(Members),
    /// A member with no other member soon enough after it. Nothing was read.
    Long,
    /// The same, but the end of the file is near.
    Last,
}

fn take(input: &mut Input) -> io::Result<Taken> {
    let (mut taken, mut searched) = (Vec::new(), SHORTEST);
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            input.unread(taken);
            return Ok(Taken::Last);
        }
        let room = (LONGEST - taken.len()).min(piece.len());
        taken.extend_from_slice(piece.get(..room).unwrap_or_default());
        input.consume(room);
        if let Some(end) = beginning(&taken, searched) {
            input.unread(taken.split_off(end));
            return Ok(Taken::Members(Members(taken)));
        }
        if taken.len() == LONGEST {
            input.unread(taken);
            return Ok(Taken::Long);
        }
        searched = searched.max(taken.len().saturating_sub(HEADER - 1));
    }
}

/// The start of the next member at or after `from`, as far as its header shows (RFC 1952, 2.3).
fn beginning(bytes: &[u8], from: usize) -> Option<usize> {
    let found = bytes.get(from..)?.windows(HEADER).position(|header| {
        matches!(header, [0x1f, 0x8b, 8, flags, _, _, _, _, extra, system]
            if flags & 0xe0 == 0 && matches!(extra, 0 | 2 | 4) && matches!(system, 0..=13 | 255))
    });
    found.map(|at| from + at)
}

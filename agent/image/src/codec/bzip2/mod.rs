//! bzip2, with its blocks decoded in parallel.

mod bits;
mod blocks;
mod scan;

use crate::codec::Codec;
use crate::codec::decode::{DecodeLimits, Decoder};
use crate::codec::units;
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;

pub struct Bzip2;

/// A block starts with digits of pi, the end of a stream with digits of its square root.
const BLOCK: [u8; 6] = [0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
const EMPTY: [u8; 6] = [0x17, 0x72, 0x45, 0x38, 0x50, 0x90];

impl Codec for Bzip2 {
    fn name(&self) -> &'static str {
        "bzip2"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[b"BZh"]
    }

    fn begins(&self, head: &[u8]) -> bool {
        match head {
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] if rest.len() < BLOCK.len() => BLOCK.starts_with(rest),
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..] => rest.starts_with(&BLOCK) || rest.starts_with(&EMPTY),
            _ => false,
        }
    }

    fn member(&self, input: &mut Input, _limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        sink.fill(&mut ::bzip2::bufread::BzDecoder::new(input))
    }

    fn parallel(&self, input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<bool, ImageError> {
        match decoder.limits.workers {
            0 | 1 => Ok(false),
            _ => blocks::decode(input, decoder, sink).map(|()| true),
        }
    }

    /// Four bytes for each byte of a block of at most 900 kB; in parallel also the blocks and their output.
    fn memory(&self, _head: &[u8], limits: DecodeLimits) -> u64 {
        match limits.workers {
            0 | 1 => 4 << 20,
            workers => units::memory(workers) + (workers + 2) as u64 * ((4 << 20) + 2 * scan::LONGEST as u64),
        }
    }
}

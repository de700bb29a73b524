//! gzip (RFC 1952), with its members decoded in parallel.

mod members;

use crate::codec::Codec;
use crate::codec::decode::{DecodeLimits, Decoder};
use crate::codec::units;
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;

pub struct Gzip;

impl Codec for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[&[0x1f, 0x8b, 8]]
    }

    fn member(&self, input: &mut Input, _limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        sink.fill(&mut flate2::bufread::GzDecoder::new(input))
    }

    fn parallel(&self, input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<bool, ImageError> {
        match decoder.limits.workers {
            0 | 1 => Ok(false),
            _ => members::decode(input, decoder, sink).map(|()| true),
        }
    }

    /// Tapes and some builders pad with zeros, which gzip itself ignores.
    fn padding(&self) -> Option<usize> {
        Some(1)
    }

    /// A window of 32 KiB and tables; in parallel also units of members and their output.
    fn memory(&self, _head: &[u8], limits: DecodeLimits) -> u64 {
        match limits.workers {
            0 | 1 => 64 << 10,
            workers => units::memory(workers) + ((workers + 2) * members::LONGEST) as u64,
        }
    }
}

//! gzip (RFC 1952), with its members decoded in parallel.

mod members;

use crate::codec::Codec;
use crate::codec::decode::{Decoder, Limits};
use crate::codec::lanes;
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, Fault};
use crate::flow::input::Input;

pub struct Gzip;

impl Codec for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[&[0x1f, 0x8b, 8]]
    }

    fn member(&self, input: &mut Input, _limits: Limits, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        sink.fill(&mut flate2::bufread::GzDecoder::new(input))
    }

    fn parallel(&self, input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<bool, ImageError> {
        match decoder.limits.workers {
            0 | 1 => Ok(false),
            _ => members::decode(input, decoder, sink).map(|()| true),
        }
    }

    /// Tapes and some builders pad with them, and gzip itself takes no notice.
    fn padding(&self) -> Option<usize> {
        Some(1)
    }

    /// A window of 32 KiB and tables; side by side, stretches of members and what they decode to.
    fn memory(&self, _head: &[u8], limits: Limits) -> u64 {
        match limits.workers {
            0 | 1 => 64 << 10,
            workers => lanes::memory(workers) + ((workers + 2) * members::LONGEST) as u64,
        }
    }
}

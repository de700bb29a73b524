//! Zstandard (RFC 8878): frames decoded in parallel, and random access by a seek table.

pub mod frame;
pub mod parallel;
pub mod seekable;
pub mod workers;

use crate::codec::Codec;
use crate::codec::decode::{DecodeLimits, Decoder};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use std::io::BufRead;

/// The largest frame, compressed or decoded, for a worker: pzstd's default.
pub const LARGEST_FRAME: usize = 8 << 20;

pub struct Zstd;

impl Codec for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[&[0x28, 0xb5, 0x2f, 0xfd]]
    }

    fn member(&self, input: &mut Input, limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        one_frame(input, limits, sink)
    }

    fn parallel(&self, input: &mut Input, decoder: &Decoder<'_>, sink: &mut Chunker<'_>) -> Result<bool, ImageError> {
        match decoder.limits.workers {
            0 | 1 => Ok(false),
            _ => parallel::decode(input, decoder, sink).map(|()| true),
        }
    }

    fn skippable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        true
    }

    /// The window of the first frame. Small frames in parallel are within the buffers of every write.
    fn memory(&self, head: &[u8], _limits: DecodeLimits) -> u64 {
        match frame::window(head) {
            Some(window) if window > LARGEST_FRAME as u64 => window,
            _ => LARGEST_FRAME as u64,
        }
    }
}

/// Decodes one frame of any size.
pub fn one_frame(input: impl BufRead, limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
    let decoder = ::zstd::stream::read::Decoder::with_buffer(input).map_err(DecodeError::Read)?;
    let mut decoder = decoder.single_frame();
    decoder.window_log_max(limits.window_log).map_err(DecodeError::Read)?;
    sink.fill(&mut decoder)
}

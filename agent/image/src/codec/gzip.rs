//! gzip (RFC 1952).

use crate::codec::Codec;
use crate::codec::decode::Limits;
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

    /// Tapes and some builders pad with them, and gzip itself takes no notice.
    fn padding(&self) -> Option<usize> {
        Some(1)
    }

    /// A window of 32 KiB and tables.
    fn memory(&self, _head: &[u8], _limits: Limits) -> u64 {
        64 << 10
    }
}

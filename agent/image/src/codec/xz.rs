//! xz (The .xz File Format 1.2.1).

use crate::codec::Codec;
use crate::codec::decode::DecodeLimits;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{MtStreamBuilder, Stream};

pub struct Xz;

/// Limit for blocks in flight, each with its whole output: four of `xz -6 -T0`. A file with larger blocks is decoded by
/// fewer threads, and by one thread if it is a single block.
const THREADED: u64 = 256 << 20;

impl Codec for Xz {
    fn name(&self) -> &'static str {
        "xz"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[b"\xfd7zXZ\0"]
    }

    fn member(&self, input: &mut Input, limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        // The dictionary, and the decoder's other memory.
        let memory = (1u64 << limits.window_log) + (1 << 20);
        let stream = match u32::try_from(limits.workers) {
            Ok(workers @ 2..) => {
                let threaded = limits.memory.min(THREADED);
                MtStreamBuilder::new().threads(workers).memlimit_threading(threaded).memlimit_stop(memory).decoder()
            }
            _ => Stream::new_stream_decoder(memory, 0),
        };
        let stream = stream.map_err(|error| DecodeError::Read(error.into()))?;
        sink.fill(&mut XzDecoder::new_stream(input, stream))
    }

    /// 2.2: stream padding.
    fn padding(&self) -> Option<usize> {
        Some(4)
    }

    /// The dictionary; with blocks in parallel also their limit, if the block headers contain sizes (3.1.1), which
    /// threads need.
    fn memory(&self, head: &[u8], limits: DecodeLimits) -> u64 {
        let dictionary = dictionary(head).unwrap_or(0);
        let sized = head.get(13).is_some_and(|flags| flags & 0xc0 == 0xc0);
        if limits.workers > 1 && sized { dictionary.max(limits.memory.min(THREADED)) } else { dictionary }
    }
}

/// The dictionary of the first block, from its header after the stream's 12 bytes (3.1, 5.3.1).
fn dictionary(head: &[u8]) -> Option<u64> {
    let header = head.get(12..)?;
    let flags = *header.get(1)?;
    let mut at = 2;
    for size in [0x40, 0x80] {
        if flags & size != 0 {
            at = integer_end(header, at)?;
        }
    }
    for _ in 0..=flags & 3 {
        let (id, end) = (*header.get(at)?, integer_end(header, at)?);
        let properties = usize::from(*header.get(end)?);
        if id == 0x21 {
            let bits = *header.get(end + 1)?;
            return match bits {
                40 => Some(u64::from(u32::MAX)),
                0..40 => Some((2 | u64::from(bits & 1)) << (bits / 2 + 11)),
                _ => None,
            };
        }
        at = end + 1 + properties;
    }
    None
}

/// The position after the variable-length integer at `at` (1.2).
fn integer_end(bytes: &[u8], at: usize) -> Option<usize> {
    let len = bytes.get(at..)?.iter().take(9).position(|byte| byte & 0x80 == 0)?;
    Some(at + len + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_dictionary_is_read_from_the_header() {
        for (preset, wanted) in [(0, 256 << 10), (6, 8 << 20), (9, 64 << 20)] {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), preset);
            encoder.write_all(&[7; 100_000]).unwrap();
            let bytes = encoder.finish().unwrap();
            assert_eq!(dictionary(&bytes), Some(wanted), "{preset}");
        }
        assert_eq!(dictionary(b"\xfd7zXZ\0"), None);
    }
}

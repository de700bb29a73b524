//! lz4: frames (LZ4 Frame Format 1.6) and the legacy format of `lz4 -l` and of kernels.

use crate::codec::Codec;
use crate::codec::decode::DecodeLimits;
use crate::codec::lz4_frame::Watched;
use crate::codec::sniff;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use std::io::{self, BufRead, Read};

pub struct Lz4;

const FRAME: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// Decoded size of a legacy block, except for the last of a file.
const LEGACY_BLOCK: usize = 8 << 20;

impl Codec for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn magics(&self) -> &'static [&'static [u8]] {
        &[&FRAME, &LEGACY]
    }

    fn member(&self, input: &mut Input, _limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
        let head = input.peek(8).map_err(DecodeError::Sink)?;
        // The decoder would accept an end after the magic as the end of the data.
        if head.len() < 7 {
            return Err(DecodeError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        if head.starts_with(&LEGACY) {
            return legacy(input, sink);
        }
        let mut decoder = lz4_flex::frame::FrameDecoder::new(Watched::new(input));
        sink.fill(&mut decoder)?;
        match decoder.into_inner().ended() {
            true => Ok(()),
            false => Err(DecodeError::Read(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn skippable(&self) -> bool {
        true
    }

    /// A block, compressed and decompressed: at most 8 MiB each.
    fn memory(&self, head: &[u8], _limits: DecodeLimits) -> u64 {
        if head.starts_with(&LEGACY) { 2 * LEGACY_BLOCK as u64 } else { 8 << 20 }
    }
}

/// Blocks with a 4-byte length, until the file ends or another frame's magic takes the place of a length. There is no
/// end mark, so a file truncated between two blocks cannot be detected.
fn legacy(input: &mut Input, sink: &mut Chunker<'_>) -> Result<(), DecodeError> {
    input.consume(LEGACY.len());
    let (mut packed, mut out) = (Vec::new(), vec![0; LEGACY_BLOCK]);
    loop {
        let head = input.peek(8).map_err(DecodeError::Sink)?;
        let next_frame = head.starts_with(&FRAME) || head.starts_with(&LEGACY) || sniff::skippable(head).is_some();
        if head.is_empty() || next_frame {
            return Ok(());
        }
        let Some(len) = head.first_chunk().map(|len| u32::from_le_bytes(*len) as usize) else {
            return Err(DecodeError::Read(io::ErrorKind::UnexpectedEof.into()));
        };
        if len == 0 || len > lz4_flex::block::get_maximum_output_size(LEGACY_BLOCK) {
            return Err(DecodeError::Read(io::Error::new(io::ErrorKind::InvalidData, "a block that is too long")));
        }
        input.consume(4);
        packed.resize(len, 0);
        input.read_exact(&mut packed).map_err(DecodeError::Read)?;
        let invalid = |error| DecodeError::Read(io::Error::new(io::ErrorKind::InvalidData, error));
        let count = lz4_flex::block::decompress_into(&packed, &mut out).map_err(invalid)?;
        sink.fill(&mut out.get(..count).unwrap_or_default())?;
    }
}

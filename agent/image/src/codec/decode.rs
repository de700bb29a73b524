//! Decompresses one member or frame after the other, until the source ends exactly where the last one does.

use crate::anomaly::Anomaly;
use crate::codec::sniff;
use crate::codec::{Codec, Compression};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use std::io::{self, BufRead};

#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Threads that decode in parallel; 1 decodes sequentially.
    pub workers: usize,
    /// Largest zstd window and xz dictionary, as a power of two of bytes.
    pub window_log: u32,
    /// Limit for bytes of zstd frames in flight.
    pub in_flight: usize,
    /// Limit for the memory of other blocks in flight, beyond that.
    pub memory: u64,
    /// Whether a digest or signature covers every byte of the download.
    pub proven: bool,
}

/// Decodes all of `input` into `sink`. `name` is the source's name for messages.
pub fn decode(
    input: &mut Input,
    compression: Compression,
    limits: DecodeLimits,
    name: &str,
    sink: &mut Chunker<'_>,
) -> Result<(), ImageError> {
    let Some(codec) = compression.codec() else {
        return match sink.fill(input) {
            Ok(()) => Ok(()),
            Err(DecodeError::Sink(error)) => Err(error),
            Err(DecodeError::Read(source)) => {
                let path = name.into();
                Err(input.take_failure().unwrap_or(ImageError::ReadFile { path, source }))
            }
        };
    };
    let decoder = Decoder { codec, limits, name };
    if codec.parallel(input, &decoder, sink)? {
        return Ok(());
    }
    let pzstd = sniff::announces(input.peek(8)?);
    loop {
        let announced = pzstd && sniff::announces(input.peek(8)?);
        let member = match sniff::skippable(input.peek(8)?).filter(|_| codec.skippable()) {
            Some(len) => skip(input, u64::from(len) + 8),
            None => codec.member(input, limits, sink),
        };
        member.map_err(|fault| decoder.explain(input, fault))?;
        if !decoder.another(input, sink)? {
            return if announced { Err(decoder.truncated(input)) } else { Ok(()) };
        }
    }
}

pub struct Decoder<'a> {
    codec: &'static dyn Codec,
    pub limits: DecodeLimits,
    name: &'a str,
}

impl Decoder<'_> {
    pub fn truncated(&self, input: &Input) -> ImageError {
        ImageError::Truncated { source_name: self.name.to_owned(), offset: input.position(), expected: None }
    }

    /// Whether another member follows. Anything but the end is garbage. If the download is verified, the garbage was
    /// put there by its author, and is only reported.
    pub fn another(&self, input: &mut Input, sink: &Chunker<'_>) -> Result<bool, ImageError> {
        if let Some(unit) = self.codec.padding() {
            while let padding = input.peek(unit)?
                && padding.len() == unit
                && padding.iter().all(|byte| *byte == 0)
            {
                input.consume(unit);
            }
        }
        let offset = input.position();
        let head = input.peek(10)?;
        if head.is_empty() {
            return Ok(false);
        }
        let skippable = self.codec.skippable() && sniff::skippable(head).is_some();
        if skippable || self.codec.begins(head) {
            return Ok(true);
        }
        if head.len() < 10 && sniff::may_begin(self.codec, head) {
            return Err(self.truncated(input));
        }
        let (source_name, compression) = (self.name.to_owned(), self.codec.name());
        if !self.limits.proven {
            return Err(ImageError::TrailingGarbage { source_name, compression, offset });
        }
        while let len = input.peek(1)?.len().max(input.buffered())
            && len > 0
        {
            sink.check()?;
            input.consume(len);
        }
        sink.stop().anomaly(&Anomaly::Trailing { source_name, compression, bytes: input.position() - offset });
        Ok(false)
    }

    pub fn explain(&self, input: &mut Input, fault: DecodeError) -> ImageError {
        let source = match fault {
            DecodeError::Sink(error) => return error,
            DecodeError::Read(source) => source,
        };
        if let Some(error) = input.take_failure() {
            return error;
        }
        let (source_name, compression, offset) = (self.name.to_owned(), self.codec.name(), input.position());
        let text = source.to_string().to_lowercase();
        if text.contains("too much memory") || text.contains("memory limit") || text.contains("mem limit") {
            return ImageError::Window { source_name, compression, limit: 1 << self.limits.window_log };
        }
        // Whatever error the decoder returns: if nothing is left to read, the data ended too early.
        let at_end = input.peek(1).is_ok_and(<[u8]>::is_empty);
        if at_end && source.kind() == io::ErrorKind::UnexpectedEof {
            return ImageError::Truncated { source_name, offset, expected: None };
        }
        ImageError::Corrupt { source_name, compression, offset, source }
    }
}

pub fn skip(input: &mut Input, mut len: u64) -> Result<(), DecodeError> {
    while len > 0 {
        let available = input.fill_buf().map_err(DecodeError::Read)?.len();
        if available == 0 {
            return Err(DecodeError::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let count = usize::try_from(len).unwrap_or(usize::MAX).min(available);
        input.consume(count);
        len -= count as u64;
    }
    Ok(())
}

//! Decompression: members and frames one after the other, until the source ends exactly where the last one does.

use crate::ImageError;
use crate::codec::lz4::Watched;
use crate::codec::sniff::{self, Compression};
use crate::codec::zstd::parallel;
use crate::flow::chunker::{Chunker, Fault};
use crate::flow::input::Input;
use std::io::{self, BufRead};

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Threads for zstd frames; 1 decodes one after the other.
    pub workers: usize,
    /// Largest zstd window and xz dictionary, as a power of two of bytes.
    pub window_log: u32,
    /// Bytes of zstd frames under way at most.
    pub in_flight: usize,
}

/// Decodes everything in `input` into `sink`. `name` is the source's, for messages.
pub fn decode(
    input: &mut Input,
    compression: Compression,
    limits: Limits,
    name: &str,
    sink: &mut Chunker<'_>,
) -> Result<(), ImageError> {
    let decoder = Decoder { compression, limits, name };
    if compression == Compression::None {
        let filled = sink.fill(input);
        return filled.map_err(|fault| decoder.explain(input, fault));
    }
    if compression == Compression::Zstd && limits.workers > 1 {
        return parallel::decode(input, &decoder, sink);
    }
    loop {
        let announced = sniff::announces(input.peek(8)?);
        match decoder.member(input, sink) {
            Ok(()) => {}
            Err(fault) => return Err(decoder.explain(input, fault)),
        }
        if !decoder.another(input)? {
            let whole =
                || ImageError::Truncated { source_name: name.to_owned(), offset: input.position(), expected: None };
            return if announced { Err(whole()) } else { Ok(()) };
        }
    }
}

pub struct Decoder<'a> {
    compression: Compression,
    pub limits: Limits,
    name: &'a str,
}

impl Decoder<'_> {
    /// One gzip member, xz stream, zstd or lz4 frame, bzip2 stream.
    fn member(&self, input: &mut Input, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        let head = input.peek(8).map_err(Fault::Sink)?;
        if matches!(self.compression, Compression::Zstd | Compression::Lz4)
            && let Some(len) = sniff::skippable(head)
        {
            return skip(input, u64::from(len) + 8);
        }
        match self.compression {
            Compression::None => sink.fill(input),
            Compression::Gzip => sink.fill(&mut flate2::bufread::GzDecoder::new(input)),
            Compression::Bzip2 => sink.fill(&mut bzip2::bufread::BzDecoder::new(input)),
            Compression::Xz => {
                // The dictionary and what the decoder keeps beside it.
                let memory = (1u64 << self.limits.window_log) + (1 << 20);
                let stream = liblzma::stream::Stream::new_stream_decoder(memory, 0);
                let stream = stream.map_err(|error| Fault::Read(error.into()))?;
                sink.fill(&mut liblzma::bufread::XzDecoder::new_stream(input, stream))
            }
            Compression::Zstd => self.zstd_frame(input, sink),
            Compression::Lz4 => {
                // The decoder takes an end behind the magic for an end of data.
                if head.len() < 7 {
                    return Err(Fault::Read(io::ErrorKind::UnexpectedEof.into()));
                }
                let mut decoder = lz4_flex::frame::FrameDecoder::new(Watched::new(input));
                sink.fill(&mut decoder)?;
                match decoder.into_inner().ended() {
                    true => Ok(()),
                    false => Err(Fault::Read(io::ErrorKind::UnexpectedEof.into())),
                }
            }
        }
    }

    /// One zstd frame, however large.
    pub fn zstd_frame(&self, input: impl BufRead, sink: &mut Chunker<'_>) -> Result<(), Fault> {
        let decoder = zstd::stream::read::Decoder::with_buffer(input).map_err(Fault::Read)?;
        let mut decoder = decoder.single_frame();
        decoder.window_log_max(self.limits.window_log).map_err(Fault::Read)?;
        sink.fill(&mut decoder)
    }

    /// Whether another member follows; anything else but the end is garbage.
    pub fn another(&self, input: &mut Input) -> Result<bool, ImageError> {
        if self.compression == Compression::Xz {
            self.xz_padding(input)?;
        }
        let offset = input.position();
        let head = input.peek(10)?;
        if head.is_empty() {
            return Ok(false);
        }
        let skippable =
            matches!(self.compression, Compression::Zstd | Compression::Lz4) && sniff::skippable(head).is_some();
        if skippable || sniff::compression(head) == self.compression {
            return Ok(true);
        }
        if head.len() < 10 && sniff::may_begin(self.compression, head) {
            return Err(ImageError::Truncated { source_name: self.name.to_owned(), offset, expected: None });
        }
        Err(ImageError::TrailingGarbage {
            source_name: self.name.to_owned(),
            compression: self.compression.name(),
            offset,
        })
    }

    /// Zeros in multiples of four bytes may stand between and behind streams (the .xz file format, 2.2).
    fn xz_padding(&self, input: &mut Input) -> Result<(), ImageError> {
        while input.peek(4)? == [0; 4] {
            input.consume(4);
        }
        Ok(())
    }

    pub fn explain(&self, input: &mut Input, fault: Fault) -> ImageError {
        let source = match fault {
            Fault::Sink(error) => return error,
            Fault::Read(source) => source,
        };
        if let Some(error) = input.take_failure() {
            return error;
        }
        let (source_name, compression, offset) = (self.name.to_owned(), self.compression.name(), input.position());
        let text = source.to_string().to_lowercase();
        if text.contains("too much memory") || text.contains("memory limit") || text.contains("mem limit") {
            return ImageError::Window { source_name, compression, limit: 1 << self.limits.window_log };
        }
        // Whatever a decoder calls it: where nothing is left to read, it wanted more.
        let at_end = input.peek(1).is_ok_and(<[u8]>::is_empty);
        if at_end && source.kind() == io::ErrorKind::UnexpectedEof {
            return ImageError::Truncated { source_name, offset, expected: None };
        }
        ImageError::Corrupt { source_name, compression, offset, source }
    }
}

pub fn skip(input: &mut Input, mut len: u64) -> Result<(), Fault> {
    while len > 0 {
        let available = input.fill_buf().map_err(Fault::Read)?.len();
        if available == 0 {
            return Err(Fault::Read(io::ErrorKind::UnexpectedEof.into()));
        }
        let count = usize::try_from(len).unwrap_or(usize::MAX).min(available);
        input.consume(count);
        len -= count as u64;
    }
    Ok(())
}

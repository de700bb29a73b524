//! Compression formats: one file each, and one row in [`CODECS`]. Detection by magic number, decoding, the agent's
//! capabilities and the documentation are derived from the table.

mod bzip2;
pub mod decode;
mod gzip;
mod lz4;
mod lz4_frame;
pub mod sniff;
mod units;
mod xz;
pub mod zstd;

use crate::codec::decode::{DecodeLimits, Decoder};
use crate::error::ImageError;
use crate::flow::chunker::{Chunker, DecodeError};
use crate::flow::input::Input;
use std::fmt;

/// All supported compressions.
pub static CODECS: &[&dyn Codec] = &[&gzip::Gzip, &xz::Xz, &zstd::Zstd, &lz4::Lz4, &bzip2::Bzip2];

/// A compression format: files consist of members, each of which starts with a magic number.
pub trait Codec: Sync {
    /// The name in receipts and capabilities.
    fn name(&self) -> &'static str;

    /// The magic numbers with which a member may start.
    fn magics(&self) -> &'static [&'static [u8]];

    /// Whether a member starts here; for codecs whose magic is more than fixed bytes.
    fn begins(&self, head: &[u8]) -> bool {
        self.magics().iter().any(|magic| head.starts_with(magic))
    }

    /// Decodes one member: a gzip member, an xz stream, a zstd or lz4 frame, a bzip2 stream.
    fn member(&self, input: &mut Input, limits: DecodeLimits, sink: &mut Chunker<'_>) -> Result<(), DecodeError>;

    /// Decodes all members in parallel; false if this codec can only decode them one after the other.
    fn parallel(
        &self,
        _input: &mut Input,
        _decoder: &Decoder<'_>,
        _sink: &mut Chunker<'_>,
    ) -> Result<bool, ImageError> {
        Ok(false)
    }

    /// If a member may be followed by zeros: in multiples of this many bytes.
    fn padding(&self) -> Option<usize> {
        None
    }

    /// Whether skippable frames may be between members ([`sniff::skippable`]).
    fn skippable(&self) -> bool {
        false
    }

    /// Whether parts can be read by a seek table.
    fn seekable(&self) -> bool {
        false
    }

    /// Memory for decoding beside the buffers of every write, as far as the start of the file shows.
    fn memory(&self, head: &[u8], limits: DecodeLimits) -> u64;
}

/// The compression of an image.
#[derive(Clone, Copy)]
pub struct Compression(Option<&'static dyn Codec>);

impl Compression {
    pub const NONE: Self = Self(None);

    pub(crate) fn of(codec: &'static dyn Codec) -> Self {
        Self(Some(codec))
    }

    pub(crate) fn codec(self) -> Option<&'static dyn Codec> {
        self.0
    }

    /// `none`, `gzip`, ...
    pub fn name(self) -> &'static str {
        self.0.map_or("none", Codec::name)
    }

    /// The names of all supported compressions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CODECS.iter().map(|codec| codec.name())
    }
}

impl PartialEq for Compression {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Compression {}

impl fmt::Debug for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
#[path = "side_by_side_tests.rs"]
mod side_by_side_tests;

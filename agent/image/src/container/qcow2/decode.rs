//! Decodes the clusters of a qcow2 image.

use super::damaged;
use crate::error::ImageError;
use crate::flow::pieces::TICK;
use crate::flow::stop::Stop;
use burin_disk::{CHUNK, Chunk, Pool, PoolBuf};
use std::io;
use zstd::stream::raw::{InBuffer, Operation, OutBuffer};

/// An extent of the guest's disk, as stored in the image.
pub struct ClusterRun {
    pub parts: Vec<ClusterPart>,
    /// The bytes that the parts need, one after the other.
    pub bytes: Vec<u8>,
    pub len: usize,
}

pub struct ClusterPart {
    pub cluster: u64,
    /// The start within the cluster.
    pub within: usize,
    pub len: usize,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Zero,
    Plain,
    /// This many bytes decompress to the whole cluster.
    Compressed(usize),
}

/// Decoded bytes of an extent.
pub enum Piece {
    Zeros(usize),
    Chunk(Chunk),
    /// Less than a chunk: the last one.
    Rest(PoolBuf, usize),
}

/// Decodes extents.
pub struct ClusterDecoder {
    name: String,
    cluster: usize,
    zstd: bool,
    codec: Option<Codec>,
}

impl ClusterDecoder {
    pub fn new(name: &str, cluster: usize, zstd: bool) -> Self {
        Self { name: name.to_owned(), cluster, zstd, codec: None }
    }
}

impl Clone for ClusterDecoder {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), codec: None, ..*self }
    }
}

enum Codec {
    Deflate(flate2::Decompress),
    Zstd(zstd::stream::raw::Decoder<'static>),
}

impl ClusterDecoder {
    pub fn piece(&mut self, extent: &ClusterRun, pool: &Pool, stop: &Stop) -> Result<Piece, ImageError> {
        if extent.parts.iter().all(|part| part.how == How::Zero) {
            return Ok(Piece::Zeros(extent.len));
        }
        let mut buf = loop {
            stop.check()?;
            if let Some(buf) = pool.take_within(TICK) {
                break buf;
            }
        };
        self.unpack(extent, &mut buf)?;
        match extent.len {
            CHUNK => Ok(Piece::Chunk(Chunk::new(0, buf, CHUNK, 1))),
            len => Ok(Piece::Rest(buf, len)),
        }
    }

    /// Fills the start of `out`, which is large enough for all of `extent`.
    pub fn unpack(&mut self, extent: &ClusterRun, mut out: &mut [u8]) -> Result<(), ImageError> {
        let mut bytes = extent.bytes.as_slice();
        for part in &extent.parts {
            let (to, rest) = std::mem::take(&mut out).split_at_mut(part.len);
            out = rest;
            match part.how {
                How::Zero => to.fill(0),
                How::Plain => {
                    let (from, rest) = bytes.split_at(part.len);
                    to.copy_from_slice(from);
                    bytes = rest;
                }
                How::Compressed(packed) => {
                    let (from, rest) = bytes.split_at(packed);
                    bytes = rest;
                    let unpacked = if part.len == self.cluster {
                        self.decompress(from, to)
                    } else {
                        // A cluster that is larger than a chunk, or the disk's last one.
                        let mut whole = vec![0; self.cluster];
                        let unpacked = self.decompress(from, &mut whole);
                        to.copy_from_slice(&whole[part.within..part.within + part.len]);
                        unpacked
                    };
                    unpacked.map_err(|error| {
                        damaged(&self.name, format!("cluster {} does not decompress: {error}", part.cluster))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Fills all of `out`. More bytes may follow, because compressed clusters occupy whole sectors.
    fn decompress(&mut self, packed: &[u8], out: &mut [u8]) -> io::Result<()> {
        let codec = match (&mut self.codec, self.zstd) {
            (Some(codec), _) => codec,
            (none, false) => none.insert(Codec::Deflate(flate2::Decompress::new(false))),
            (none, true) => none.insert(Codec::Zstd(zstd::stream::raw::Decoder::new()?)),
        };
        let full = match codec {
            Codec::Deflate(decoder) => {
                decoder.reset(false);
                decoder.decompress(packed, out, flate2::FlushDecompress::Finish)?;
                decoder.total_out() == out.len() as u64
            }
            Codec::Zstd(decoder) => {
                decoder.reinit()?;
                let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(out));
                loop {
                    let before = (input.pos(), output.pos());
                    let ended = decoder.run(&mut input, &mut output)? == 0;
                    if ended || before == (input.pos(), output.pos()) {
                        break output.pos() == output.capacity();
                    }
                }
            }
        };
        if full { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

//! Packs an image in the form that burin reads fastest: zstd frames of one chunk each, decoded in parallel straight
//! into the buffers that are written, followed by a seek table (zstd, contrib/seekable_format), so that parts can be
//! fetched.

use crate::budget;
use crate::codec::zstd::LARGEST_FRAME;
use crate::delta::caibx::{Caibx, Indexer};
use crate::error::ImageError;
use crate::flow::progress::Cancel;
use crate::options::Options;
use crate::proof::digest::{Algorithm, Hasher};
use crate::source::random::ReadAt;
use std::io::{self, Write};
use std::path::Path;
use std::thread;

/// Bytes of the image per frame: one chunk of the writer.
const FRAME: usize = burin_disk::CHUNK;
const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;

/// The result. Digests are `sha256:HEX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub wire_bytes: u64,
    pub wire: String,
    pub content_bytes: u64,
    pub content: String,
    pub index: Caibx,
    /// Memory needed for writing it, in bytes.
    pub memory: u64,
}

/// Packs `image` into `out`, which is at `path`. The output depends only on the image and on `level`, not on the number
/// of processors. `progress` gets the number of image bytes done so far.
pub fn pack(
    image: &mut dyn ReadAt,
    out: &mut dyn Write,
    path: &Path,
    level: i32,
    progress: &dyn Fn(u64),
    cancel: &Cancel,
) -> Result<Packed, ImageError> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let failed = |source| ImageError::WriteFile { path: path.to_owned(), source };
    let mut out = Counted::new(out);
    let mut content = Algorithm::Sha256.hasher();
    let (mut indexer, mut frames, mut offset) = (Indexer::default(), Vec::<(u32, u32)>::new(), 0);
    let total = image.len();
    while offset < total {
        if cancel.is_cancelled() {
            return Err(ImageError::Cancelled);
        }
        let mut batch = Vec::new();
        while batch.len() < 4 * workers && offset < total {
            let len = usize::try_from(total - offset).unwrap_or(usize::MAX).min(FRAME);
            let mut bytes = vec![0; len];
            image.read_exact_at(&mut bytes, offset)?;
            content.update(&bytes);
            indexer.update(&bytes);
            batch.push(bytes);
            offset += len as u64;
        }
        for (frame, bytes) in compress(&batch, workers, level).map_err(failed)?.iter().zip(&batch) {
            out.write_all(frame).map_err(failed)?;
            frames.push((frame.len() as u32, bytes.len() as u32));
        }
        progress(offset);
    }
    out.write_all(&table(&frames)).map_err(failed)?;
    let (wire_bytes, wire) = out.finish().map_err(failed)?;
    let memory = budget::bytes(&Options::default(), 1, 1) as u64 + LARGEST_FRAME as u64;
    let index = indexer.finish();
    Ok(Packed { wire_bytes, wire, content_bytes: total, content: content.finish(), index, memory })
}

/// Compresses the pieces into frames, in order.
fn compress(batch: &[Vec<u8>], workers: usize, level: i32) -> io::Result<Vec<Vec<u8>>> {
    let share = batch.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let jobs: Vec<_> = batch
            .chunks(share)
            .map(|part| {
                scope.spawn(move || {
                    let mut compressor = zstd::bulk::Compressor::new(level)?;
                    compressor.include_checksum(true)?;
                    part.iter().map(|bytes| compressor.compress(bytes)).collect::<io::Result<Vec<_>>>()
                })
            })
            .collect();
        let mut frames = Vec::new();
        for job in jobs {
            frames.extend(job.join().map_err(|_| io::Error::other("a compressing thread ended"))??);
        }
        Ok(frames)
    })
}

/// The lengths of all frames, compressed and decoded, in a skippable frame.
fn table(frames: &[(u32, u32)]) -> Vec<u8> {
    let size = frames.len() as u32 * 8 + 9;
    let mut bytes = [SKIPPABLE.to_le_bytes(), size.to_le_bytes()].concat();
    for (packed, len) in frames {
        bytes.extend(packed.to_le_bytes());
        bytes.extend(len.to_le_bytes());
    }
    bytes.extend((frames.len() as u32).to_le_bytes());
    bytes.push(0);
    bytes.extend(SEEKABLE.to_le_bytes());
    bytes
}

/// Counts and hashes the written bytes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    hasher: Hasher,
}

impl<'a> Counted<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self { out, bytes: 0, hasher: Algorithm::Sha256.hasher() }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn finish(self) -> io::Result<(u64, String)> {
        self.out.flush()?;
        Ok((self.bytes, self.hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::zstd::seekable::Seekable;

    fn image(len: usize) -> Vec<u8> {
        (0..len).map(|at| if (at >> 20) % 3 == 1 { 0 } else { (at / 977 + at % 13) as u8 }).collect()
    }

    fn packed(bytes: &[u8]) -> (Vec<u8>, Packed) {
        let (mut out, mut image) = (Vec::new(), bytes.to_vec());
        let packed = pack(&mut image, &mut out, Path::new("out"), 3, &|_| {}, &Cancel::default()).unwrap();
        (out, packed)
    }

    #[test]
    fn what_is_packed_decodes_to_the_same_and_has_a_seek_table() {
        for len in [1, FRAME - 1, FRAME, 5 * FRAME + 77] {
            let bytes = image(len);
            let (out, told) = packed(&bytes);
            assert_eq!(zstd::stream::decode_all(&out[..]).unwrap(), bytes);
            assert_eq!((told.wire_bytes, told.content_bytes), (out.len() as u64, len as u64));
            let mut frames = Seekable::open(Box::new(out.clone()), "test").unwrap();
            assert_eq!(frames.len(), len as u64);
            assert!((len.min(FRAME)..=FRAME + 64).contains(&frames.largest()), "{}", frames.largest());
            let last = frames.fetch(len as u64 - 1..len as u64).unwrap();
            let mut byte = [0];
            frames.decoder().unpack(&last[0], &mut byte, len as u64 - 1).unwrap();
            assert_eq!(byte[0], bytes[len - 1]);
        }
    }

    #[test]
    fn the_same_image_gives_the_same_bytes_with_any_number_of_workers() {
        let bytes = image(7 * FRAME + 5);
        let batch: Vec<Vec<u8>> = bytes.chunks(FRAME).map(<[u8]>::to_vec).collect();
        let one = compress(&batch, 1, 9).unwrap();
        for workers in [2, 3, 16] {
            assert_eq!(compress(&batch, workers, 9).unwrap(), one);
        }
        assert_eq!(packed(&bytes), packed(&bytes));
    }
}

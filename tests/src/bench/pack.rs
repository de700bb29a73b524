//! Images in the zstd seekable format: frames of a fixed length and a table of them at the end.
//! (facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md)

use super::Result;
use super::error::BenchError;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of the image in a frame: a chunk of the index, so that a chunk is one request.
const FRAME: usize = 256 << 10;
const LEVEL: i32 = 6;
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;

/// Compresses `image` into `packed`, on `workers` threads.
pub fn pack(image: &Path, packed: &Path, workers: usize) -> Result<()> {
    let file = File::open(image).map_err(BenchError::file("open", image))?;
    let length = file.metadata().map_err(BenchError::file("open", image))?.len();
    let out = File::create(packed).map_err(BenchError::file("make", packed))?;
    let mut out = BufWriter::new(out);
    let written = BenchError::file("write", packed);
    let mut table = Vec::new();
    let frames = length.div_ceil(FRAME as u64);
    let mut packing = || -> std::io::Result<()> {
        for round in (0..frames).step_by(workers.max(1)) {
            let part: Vec<std::io::Result<(usize, Vec<u8>)>> = std::thread::scope(|scope| {
                let here = round..frames.min(round + workers.max(1) as u64);
                let threads: Vec<_> = here
                    .map(|index| {
                        scope.spawn({
                            let file = &file;
                            move || frame(file, index, length)
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap_or(Err(std::io::ErrorKind::Other.into())))
                    .collect()
            });
            for done in part {
                let (len, bytes) = done?;
                out.write_all(&bytes)?;
                table.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                table.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        out.write_all(&SKIPPABLE.to_le_bytes())?;
        out.write_all(&(table.len() as u32 + 9).to_le_bytes())?;
        out.write_all(&table)?;
        out.write_all(&(frames as u32).to_le_bytes())?;
        out.write_all(&[0])?;
        out.write_all(&SEEKABLE.to_le_bytes())?;
        out.flush()
    };
    packing().map_err(written)
}

fn frame(file: &File, index: u64, length: u64) -> std::io::Result<(usize, Vec<u8>)> {
    let offset = index * FRAME as u64;
    let mut bytes = vec![0; (length - offset).min(FRAME as u64) as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok((bytes.len(), zstd::bulk::compress(&bytes, LEVEL)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_and_ends_in_its_table() {
        let directory = tempfile::tempdir().unwrap();
        let (image, packed) = (directory.path().join("image"), directory.path().join("packed"));
        let bytes: Vec<u8> = (0..3 * FRAME + 77).map(|index| (index / 97) as u8).collect();
        std::fs::write(&image, &bytes).unwrap();
        pack(&image, &packed, 3).unwrap();
        let packed = std::fs::read(&packed).unwrap();
        assert_eq!(zstd::stream::decode_all(packed.as_slice()).unwrap(), bytes);
        assert_eq!(packed[packed.len() - 9..], [4, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f]);
    }
}

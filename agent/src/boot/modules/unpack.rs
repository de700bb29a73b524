//! Unpacks module files: distributions use four compressions, detected by magic number.

use std::io::{self, Read};
use std::path::Path;

/// Far more than any module needs; a corrupt or hostile file must not exhaust the memory of a small machine.
const LIMIT: u64 = 256 << 20;

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    unpack(std::fs::read(path)?)
}

pub fn unpack(file: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut image = Vec::new();
    match file.as_slice() {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => fill(zstd::stream::read::Decoder::new(file.as_slice())?, &mut image)?,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => fill(liblzma::read::XzDecoder::new(file.as_slice()), &mut image)?,
        [0x1f, 0x8b, ..] => fill(flate2::read::GzDecoder::new(file.as_slice()), &mut image)?,
        [0x7f, b'E', b'L', b'F', ..] => return Ok(file),
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "neither an ELF file nor zstd, xz or gzip of one")),
    }
    Ok(image)
}

fn fill(reader: impl Read, image: &mut Vec<u8>) -> io::Result<()> {
    if reader.take(LIMIT + 1).read_to_end(image)? as u64 > LIMIT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any module"));
    }
    Ok(())
}

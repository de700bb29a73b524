//! Compression of kernel files: modules may be plain, xz, zstd or gzip, and are packed as zstd.

use std::io::{self, Read as _, Write as _};

/// A compression, detected by magic number, never by file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCodec {
    /// Not compressed.
    Plain,
    /// RFC 1952.
    Gzip,
    /// The .xz container.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl FileCodec {
    /// Detects it from the first bytes.
    pub fn sniff(data: &[u8]) -> FileCodec {
        match data {
            [0x1f, 0x8b, ..] => FileCodec::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => FileCodec::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => FileCodec::Zstd,
            _ => FileCodec::Plain,
        }
    }
}

/// Undoes whatever compression `data` has.
pub fn decompress(data: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match FileCodec::sniff(&data) {
        FileCodec::Plain => return Ok(data),
        FileCodec::Gzip => flate2::read::MultiGzDecoder::new(&data[..]).read_to_end(&mut out)?,
        FileCodec::Xz => liblzma::read::XzDecoder::new_multi_decoder(&data[..]).read_to_end(&mut out)?,
        FileCodec::Zstd => zstd::stream::read::Decoder::new(&data[..])?.read_to_end(&mut out)?,
    };
    Ok(out)
}

/// One zstd frame with the content size in its header, so that a loader can allocate once. One thread.
pub fn zstd_small(data: &[u8], level: i32) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(data, level)
}

/// Compresses the whole ramdisk into one zstd frame.
///
/// The window stays at 8 MiB whatever the level, because the kernel needs that much memory besides the ramdisk itself
/// while it unpacks. The number of threads does not change the output as long as there is at least one worker, so there
/// always is one.
pub fn zstd_archive(data: &[u8], level: i32, threads: u32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
    encoder.window_log(23)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(data.len() as u64))?;
    encoder.multithread(threads.max(1))?;
    encoder.write_all(data)?;
    encoder.finish()
}

/// The encoder and its version, which affect the output.
pub fn zstd_version() -> String {
    let n = zstd::zstd_safe::version_number();
    format!("{}.{}.{}", n / 10000, n / 100 % 100, n % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        (0..300_000u32).flat_map(|n| (n / 7).wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    }

    #[test]
    fn each_codec_is_found_and_undone() {
        let plain = sample();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&plain).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&plain).unwrap();
        for (codec, packed) in [
            (FileCodec::Plain, plain.clone()),
            (FileCodec::Gzip, gz.finish().unwrap()),
            (FileCodec::Xz, xz.finish().unwrap()),
            (FileCodec::Zstd, zstd_small(&plain, 3).unwrap()),
        ] {
            assert_eq!(FileCodec::sniff(&packed), codec);
            assert_eq!(decompress(packed).unwrap(), plain, "{codec:?}");
        }
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let mut packed = zstd_small(&sample(), 3).unwrap();
        packed.truncate(packed.len() / 2);
        assert!(decompress(packed).is_err());
    }

    #[test]
    fn threads_do_not_change_the_archive() {
        let plain = sample();
        let one = zstd_archive(&plain, 5, 1).unwrap();
        assert_eq!(one, zstd_archive(&plain, 5, 4).unwrap());
        assert_eq!(one, zstd_archive(&plain, 5, 0).unwrap());
        assert_eq!(decompress(one).unwrap(), plain);
    }
}

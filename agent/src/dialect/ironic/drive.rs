//! Config drives: a gzipped ISO 9660 or vfat filesystem in base64, or a URL of such a text.

use super::error::CommandError;
use crate::protocol::order::SeedVolume;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// Size limit of a download: base64 of the largest drive.
pub const MOST_TEXT: u64 = 96 << 20;

fn wrong(why: &str) -> CommandError {
    CommandError::new("ironic.config_drive", format!("the config drive cannot be used: {why}"))
}

/// The filesystem, unpacked.
pub fn volume(
    text: &str,
    fetch: impl FnOnce(&str) -> Result<Vec<u8>, CommandError>,
) -> Result<SeedVolume, CommandError> {
    let bytes = match text.starts_with("http://") || text.starts_with("https://") {
        true => fetch(text)?,
        false => text.as_bytes().to_vec(),
    };
    // A server may have the file itself.
    let packed = if is_gzip(&bytes) || is_iso(&bytes) || is_fat(&bytes) {
        bytes
    } else {
        let text: Vec<u8> = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(text).map_err(|_| wrong("it is not base64"))?
    };
    let volume = match is_gzip(&packed) {
        true => {
            let mut out = Vec::new();
            let most = SeedVolume::MOST as u64 + 1;
            MultiGzDecoder::new(packed.as_slice())
                .take(most)
                .read_to_end(&mut out)
                .map_err(|_| wrong("the gzip is torn"))?;
            out
        }
        false => packed,
    };
    if volume.len() > SeedVolume::MOST {
        return Err(wrong("it is larger than 64 MiB"));
    }
    if !is_iso(&volume) && !is_fat(&volume) {
        return Err(wrong("it is neither an ISO 9660 nor a FAT filesystem"));
    }
    Ok(SeedVolume::new(volume))
}

fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// ECMA-119 section 8.1: the standard identifier of the first volume descriptor, in sector 16.
fn is_iso(volume: &[u8]) -> bool {
    volume.get(0x8001..0x8006) == Some(b"CD001")
}

/// The signature at the end of a boot sector, and a jump at its start.
fn is_fat(volume: &[u8]) -> bool {
    volume.get(510..512) == Some(&[0x55, 0xaa]) && matches!(volume.first(), Some(0xeb | 0xe9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    fn iso() -> Vec<u8> {
        let mut iso = vec![0; 0x9000];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        iso
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    fn none(_: &str) -> Result<Vec<u8>, CommandError> {
        panic!("nothing is to be fetched")
    }

    #[test]
    fn a_drive_comes_inline_or_from_a_url_packed_or_not() {
        let text = STANDARD.encode(gzip(&iso()));
        assert_eq!(volume(&text, none).unwrap().bytes(), iso());
        assert_eq!(volume(&STANDARD.encode(iso()), none).unwrap().bytes(), iso());
        let folded = format!("{}\n{}\n", &text[..20], &text[20..]);
        assert_eq!(volume("http://h/d", |_| Ok(folded.into_bytes())).unwrap().bytes(), iso());
        assert_eq!(volume("http://h/d", |_| Ok(gzip(&iso()))).unwrap().bytes(), iso());
        assert_eq!(volume("http://h/d", |_| Ok(iso())).unwrap().bytes(), iso(), "though it is UTF-8 too");
    }

    #[test]
    fn what_is_none_is_refused() {
        let bomb = gzip(&vec![0; SeedVolume::MOST + 4096]);
        for text in
            ["", "%%%", &STANDARD.encode("hello"), &STANDARD.encode(bomb), &STANDARD.encode(&gzip(&iso())[..40])]
        {
            assert_eq!(volume(text, none).unwrap_err().code, "ironic.config_drive");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = volume(&text, |_| Ok(bytes.clone()));
            let _ = volume(&STANDARD.encode(&bytes), none);
        }
    }
}

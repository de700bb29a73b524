//! The agent's log for Ironic's users: a gzipped tar archive in base64.

use super::error::CommandError;
use crate::api::LogRing;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

pub fn archive(log: &LogRing) -> Result<String, CommandError> {
    let (_, text) = log.read(0, usize::MAX);
    pack(&text).map_err(|error| CommandError::new("ironic.logs", format!("the log cannot be packed: {error}")))
}

fn pack(text: &[u8]) -> io::Result<String> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append_data(&mut header, "burin.log", text)?;
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(STANDARD.encode(gzip.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_was_logged_comes_out_again() {
        let mut ring = LogRing::new(1000);
        ring.write_all(b"a line\n").unwrap();
        let bytes = STANDARD.decode(archive(&ring).unwrap()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut text = String::new();
        tar.entries().unwrap().next().unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a line\n");
    }
}

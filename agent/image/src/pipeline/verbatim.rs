//! Downloads a file unchanged into memory, for files that an order puts into a system.

use crate::error::ImageError;
use crate::flow::progress::{Cancel, Stages};
use crate::flow::stop::Stop;
use crate::proof::digest::Expected;
use crate::source::Source;
use std::sync::Arc;

/// Fetches a file of at most `limit` bytes with this digest (`sha256:HEX` or `sha512:HEX`). Nothing is unpacked.
pub fn fetch_file(source: Source, digest: &str, limit: u64, cancel: &Cancel) -> Result<Vec<u8>, ImageError> {
    let expected = Expected::parse(digest)?;
    let mut hasher = expected.hasher();
    let stop = Arc::new(Stop::new(cancel));
    let stages = Arc::new(Stages::default());
    let mut stream = source.open(&stop, &stages)?;
    let name = stream.name().to_owned();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next()? {
        if bytes.len() as u64 + piece.len() as u64 > limit {
            let what = format!("more than the {limit} bytes that a file of an order may have");
            return Err(ImageError::Unsupported { source_name: name, what });
        }
        hasher.update(&piece);
        bytes.extend(piece);
    }
    expected.check(&hasher.finish(), &name, "wire")?;
    Ok(bytes)
}

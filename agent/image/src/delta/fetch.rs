//! Fetches an existing index.

use crate::delta::caibx::Caibx;
use crate::error::ImageError;
use crate::flow::progress::{Cancel, Stages};
use crate::flow::stop::Stop;
use crate::proof::digest::Expected;
use crate::proof::signature::Signed;
use crate::source::Source;
use std::sync::Arc;

/// Larger indexes would belong to images of several hundred gigabytes.
const LARGEST: usize = 64 << 20;

/// Fetches an existing index. If a digest or a signature is given, it must be correct.
pub fn fetch_index(
    source: Source,
    digest: Option<&str>,
    signature: Option<&Signed>,
    cancel: &Cancel,
) -> Result<Caibx, ImageError> {
    let expected = digest.map(Expected::parse).transpose()?;
    let mut stream = source.open(&Arc::new(Stop::new(cancel)), &Arc::new(Stages::default()))?;
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next()? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LARGEST {
            let what = "is larger than any index that is read (64 MiB)".to_owned();
            return Err(ImageError::Unsupported { source_name: stream.name().to_owned(), what });
        }
    }
    if let Some(expected) = expected {
        let mut hasher = expected.hasher();
        hasher.update(&bytes);
        expected.check(&hasher.finish(), stream.name(), "index")?;
    }
    if let Some(signature) = signature {
        signature.check(&bytes)?;
    }
    Caibx::parse(&bytes, stream.name())
}

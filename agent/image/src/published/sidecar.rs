//! Small files beside an image, such as digests and signatures, by URL or path.

use crate::error::ImageError;
use crate::flow::detached::detached;
use crate::flow::progress::Cancel;
use crate::source::answer::{FetchFailure, refused};
use crate::source::get::{Http, Location};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;
use ureq::RequestBuilder;

/// Limit for such files, which are text.
const LARGEST: u64 = 1 << 20;
/// For each file.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The bytes of a small file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar(pub Vec<u8>);

impl Sidecar {
    /// Fetches `at` with the trust and proxy of `http`, and, on the same server, with its credentials.
    pub fn fetch(http: &Http, at: &str, cancel: &Cancel) -> Result<Self, ImageError> {
        let (http, at) = (http.clone(), at.to_owned());
        detached("sums", &|| cancel.is_cancelled(), move || {
            match at.starts_with("http://") || at.starts_with("https://") {
                true => get(&http, &at),
                false => read(Path::new(&at)),
            }
        })
        .map(Self)
    }

    /// As text. Bytes that are not text cannot match anything.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

fn get(http: &Http, url: &str) -> Result<Vec<u8>, ImageError> {
    let failed = |failure| match failure {
        FetchFailure::Final(error) | FetchFailure::Passing(error) => error,
    };
    let limited = |request: RequestBuilder<_>| request.config().timeout_global(Some(TIMEOUT)).build();
    let (mut response, _) = http.send(&Location::new(url), 0, limited).map_err(failed)?;
    match response.status().as_u16() {
        200 => {
            let body = response.body_mut().with_config().limit(LARGEST).read_to_vec();
            body.map_err(|error| failed(refused(url, &http.name(url), 0, error)))
        }
        // A partial response, which was not requested.
        status => Err(ImageError::Status { url: http.name(url), status }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ImageError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ImageError::NotFound { source_name: path.display().to_string() },
        _ => ImageError::ReadFile { path: path.to_owned(), source },
    };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(failed(io::Error::other("it is larger than any file of digests (1 MiB)")));
    }
    Ok(bytes)
}

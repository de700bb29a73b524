//! What a server answers, and what that means for the fetching: its headers, its status, its pace.

use super::ImageError;
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Response, StatusCode};

/// A URL without user and password.
pub fn display(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

/// What an answer says about its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// Strong ETag, or else Last-Modified.
    pub validator: Option<String>,
    /// Length of the whole, where told.
    pub total: Option<u64>,
    /// First byte of a partial answer.
    pub start: u64,
}

impl Head {
    pub fn of<T>(response: &Response<T>) -> Self {
        let headers = response.headers();
        let status = response.status().as_u16();
        let (mut start, mut total) = (0, None);
        if response.status() == StatusCode::PARTIAL_CONTENT {
            if let Some((first, whole)) = text(headers, "content-range").and_then(content_range) {
                (start, total) = (first, whole);
            } else {
                start = u64::MAX;
            }
        } else {
            total = text(headers, "content-length").and_then(|value| value.parse().ok());
        }
        let etag = text(headers, "etag").filter(|etag| !etag.starts_with("W/"));
        let validator = etag.or_else(|| text(headers, "last-modified")).map(str::to_owned);
        Self { status, validator, total, start }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes FIRST-LAST/TOTAL`, the total may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[derive(Debug)]
pub enum Failure {
    /// This mirror will not do it.
    Final(ImageError),
    /// Another attempt may.
    Passing(ImageError),
}

pub fn status_failure(url: &str, offset: u64, status: u16) -> Option<Failure> {
    let url = display(url);
    match status {
        200 | 206 => None,
        404 | 410 => Some(Failure::Final(ImageError::NotFound { source_name: url })),
        401 | 403 | 407 => Some(Failure::Final(ImageError::Denied { url, status })),
        416 => {
            let why = "it is shorter now".to_owned();
            Some(Failure::Final(ImageError::Changed { url, offset, why }))
        }
        408 | 425 | 429 | 500..=599 => Some(Failure::Passing(ImageError::Status { url, status })),
        _ => Some(Failure::Final(ImageError::Status { url, status })),
    }
}

pub fn refused(url: &str, offset: u64, error: ureq::Error) -> Failure {
    let never = matches!(
        error,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TooManyRedirects | ureq::Error::InvalidProxyUrl
    );
    let error = ImageError::Transfer { url: display(url), offset, source: error.into_io() };
    if never { Failure::Final(error) } else { Failure::Passing(error) }
}

/// Keeps a connection at a rate.
pub struct Pace {
    rate: Option<u64>,
    began: Instant,
    bytes: u64,
}

impl Pace {
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.filter(|rate| *rate > 0), began: Instant::now(), bytes: 0 }
    }

    pub fn wait(&mut self, len: usize) {
        let Some(rate) = self.rate else { return };
        self.bytes += len as u64;
        let due = Duration::from_secs_f64(self.bytes as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["", "bytes", "bytes */10", "lines 1-2/3", "bytes x-9/10"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn credentials_are_never_shown() {
        assert_eq!(display("https://user:secret@host:8443/p?q=a@b"), "https://host:8443/p?q=a@b");
        assert_eq!(display("http://host/p@q"), "http://host/p@q");
        assert_eq!(display("nonsense"), "nonsense");
    }
}

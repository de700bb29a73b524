//! Interprets a server's response for the download: headers, status, pace.

use crate::error::ImageError;
use burin_http::proxy::ProxyError;
use burin_http::redirect::RedirectError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Response, StatusCode};

/// A URL as it may be told: without user, password and query.
pub fn display(url: &str) -> String {
    // A query may be what opens the door: the signature of an object store, a token.
    let url = url.split(['?', '#']).next().unwrap_or_default();
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
pub struct ResponseHead {
    /// Where it came from in the end, after redirects.
    pub url: String,
    pub status: u16,
    /// Strong ETag, or else Last-Modified.
    pub validator: Option<String>,
    /// Length of the whole, where told.
    pub total: Option<u64>,
    /// Whether it comes in chunks, the last of which says so (RFC 9112, 7.1).
    pub delimited: bool,
    /// First byte of a partial answer.
    pub start: u64,
}

impl ResponseHead {
    pub fn of<T>(response: &Response<T>, url: String) -> Self {
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
        let delimited = text(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        Self { url, status, validator, total, delimited, start }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// `bytes FIRST-LAST/TOTAL`, the total may be `*`.
pub fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

#[derive(Debug)]
pub enum FetchFailure {
    /// This mirror will not do it.
    Final(ImageError),
    /// Another attempt may.
    Passing(ImageError),
}

/// `name` is the URL's for messages.
pub fn status_failure(name: &str, offset: u64, status: u16) -> Option<FetchFailure> {
    let url = name.to_owned();
    match status {
        200 | 206 => None,
        404 | 410 => Some(FetchFailure::Final(ImageError::NotFound { source_name: url })),
        401 | 403 | 407 => Some(FetchFailure::Final(ImageError::Denied { url, status })),
        416 => {
            let why = "it is shorter now".to_owned();
            Some(FetchFailure::Final(ImageError::Changed { url, offset, why }))
        }
        408 | 425 | 429 | 500..=599 => Some(FetchFailure::Passing(ImageError::Status { url, status })),
        _ => Some(FetchFailure::Final(ImageError::Status { url, status })),
    }
}

/// Nothing was answered, or nothing that makes sense. `name` is the URL's for messages.
pub fn refused(url: &str, name: &str, offset: u64, error: ureq::Error) -> FetchFailure {
    let error = match error {
        ureq::Error::Other(other) => match other.downcast::<ProxyError>() {
            Ok(error) => {
                let (url, proxy, source) = (display(url), error.proxy, error.source.into_io());
                return FetchFailure::Passing(ImageError::Proxy { url, proxy, source });
            }
            Err(other) => match other.downcast::<RedirectError>() {
                Ok(source) => {
                    let (url, source) = (name.to_owned(), *source);
                    return FetchFailure::Final(ImageError::Redirect { url, source });
                }
                Err(other) => ureq::Error::Other(other),
            },
        },
        other => other,
    };
    let never = matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl);
    let error = ImageError::Transfer { url: name.to_owned(), offset, source: error.into_io() };
    if never { FetchFailure::Final(error) } else { FetchFailure::Passing(error) }
}

/// Keeps a transfer at a rate, however many connections it has.
#[derive(Debug, Clone)]
pub struct Pace(Option<Arc<Paced>>);

#[derive(Debug)]
struct Paced {
    /// Bytes per second.
    rate: u64,
    /// When everything that came so far may have come.
    due: Mutex<Instant>,
}

impl Pace {
    pub fn new(rate: Option<u64>) -> Self {
        let paced = |rate| Arc::new(Paced { rate, due: Mutex::new(Instant::now()) });
        Self(rate.filter(|rate| *rate > 0).map(paced))
    }

    pub fn wait(&self, len: usize) {
        let Some(paced) = &self.0 else { return };
        let now = Instant::now();
        let due = {
            let mut due = paced.due.lock().unwrap_or_else(PoisonError::into_inner);
            // Time in which nothing came is not saved up.
            *due = (*due).max(now) + Duration::from_secs_f64(len as f64 / paced.rate as f64);
            *due
        };
        std::thread::sleep(due.saturating_duration_since(now));
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
        assert_eq!(display("https://user:secret@host:8443/p?signature=a@b"), "https://host:8443/p");
        assert_eq!(display("http://host/p@q"), "http://host/p@q");
        assert_eq!(display("nonsense"), "nonsense");
    }
}

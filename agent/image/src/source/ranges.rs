//! Random access over HTTP, for formats that are read by ranges.

use crate::error::ImageError;
use crate::flow::progress::{Stages, timed};
use crate::flow::stop::Stop;
use crate::source::answer::{FetchFailure, Pace, ResponseHead};
use crate::source::get::Http;
use crate::source::mirrors::Mirrors;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Single ranges of an image over HTTP, with the same retries and checks as `HttpStream`.
pub struct Ranges {
    http: Http,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
    mirrors: Mirrors,
    pace: Pace,
    total: u64,
}

impl Ranges {
    pub fn new(http: Http, total: u64, stop: Arc<Stop>, stages: Arc<Stages>) -> Result<Self, ImageError> {
        let (mirrors, pace) = (Mirrors::new(&http)?, Pace::new(http.rate));
        Ok(Self { http, stop, stages, mirrors, pace, total })
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn url(&self) -> String {
        self.mirrors.name()
    }

    /// Exactly `len` bytes from `offset`.
    pub fn get(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        self.mirrors.progress();
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            self.stop.check()?;
            let before = bytes.len();
            let (start, end) = (offset + before as u64, offset + len as u64 - 1);
            let attempt = self.attempt(start, end, &mut bytes);
            if bytes.len() > before {
                self.mirrors.progress();
            }
            match attempt {
                Ok(()) if bytes.len() >= len => {}
                Ok(()) => {
                    let (source_name, offset, expected) = (self.url(), offset + bytes.len() as u64, Some(self.total));
                    let short = ImageError::Truncated { source_name, offset, expected };
                    self.mirrors.fail(FetchFailure::Passing(short), &self.stop)?;
                }
                Err(failure) => self.mirrors.fail(failure, &self.stop)?,
            }
        }
        Ok(bytes)
    }

    /// One request. Runs in the source's own thread, for which a cancelled write does not wait.
    fn attempt(&mut self, start: u64, end: u64, bytes: &mut Vec<u8>) -> Result<(), FetchFailure> {
        let (place, known) = self.mirrors.current()?;
        let (response, url) = self.http.send(&place, start, |request| {
            let mut request = request.header("range", format!("bytes={start}-{end}"));
            if let Some(validator) = known.as_ref().and_then(|head| head.validator.as_ref()) {
                request = request.header("if-range", validator);
            }
            // A range is short, so a whole stall time is generous, and no watcher is needed.
            let limits = request.config().timeout_recv_response(Some(self.http.stall));
            limits.timeout_recv_body(Some(self.http.stall)).build()
        })?;
        let head = ResponseHead::of(&response, url);
        let name = self.mirrors.name();
        let changed = |why: &str| {
            FetchFailure::Final(ImageError::Changed { url: name.clone(), offset: start, why: why.to_owned() })
        };
        if head.status != 206 {
            if known.is_some() {
                return Err(changed("it is no longer what it was"));
            }
            let what = "must be read in parts, and its server does not send ranges".to_owned();
            return Err(FetchFailure::Final(ImageError::Unsupported { source_name: name, what }));
        }
        if head.start != start {
            return Err(changed("another range than the one asked for was sent"));
        }
        if head.total.is_some_and(|total| total != self.total) {
            return Err(changed("its length is another now"));
        }
        if known.is_some_and(|known| known.url == head.url && known.validator != head.validator) {
            return Err(changed("its ETag or Last-Modified is another"));
        }
        self.mirrors.answered(head);
        let before = bytes.len();
        let mut body = response.into_body().into_reader().take(end - start + 1);
        let read = timed(&self.stages.network_ns, || body.read_to_end(bytes));
        let count = bytes.len() - before;
        self.stages.wire_bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.pace.wait(count);
        match read {
            Ok(_) => Ok(()),
            Err(source) => {
                let (url, offset) = (name, start + count as u64);
                Err(FetchFailure::Passing(ImageError::Transfer { url, offset, source }))
            }
        }
    }
}

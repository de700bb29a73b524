//! Random access over HTTP, for formats that are read by ranges.

use super::answer::{Failure, Head, Pace, display, refused, status_failure};
use super::http::{FIRST_PAUSE, Http, LONGEST_PAUSE};
use super::progress::{Stages, timed};
use super::{ImageError, Stop};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Single ranges of an image over HTTP, with the same retries and checks as `HttpStream`.
pub struct Ranges {
    http: Http,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
    mirrors: Vec<(String, Option<Head>)>,
    current: usize,
    total: u64,
}

impl Ranges {
    pub fn new(http: Http, total: u64, stop: Arc<Stop>, stages: Arc<Stages>) -> Self {
        let mirrors = http.urls.iter().map(|url| (url.clone(), None)).collect();
        Self { http, stop, stages, mirrors, current: 0, total }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn url(&self) -> String {
        self.mirrors.get(self.current).map(|(url, _)| display(url)).unwrap_or_default()
    }

    /// Exactly `len` bytes from `offset`.
    pub fn get(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, ImageError> {
        let mut last_good = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            self.stop.check()?;
            let before = bytes.len();
            let end = offset + len as u64 - 1;
            let failure = match self.attempt(offset + bytes.len() as u64, end, &mut bytes) {
                Ok(()) if bytes.len() >= len => break,
                Ok(()) => {
                    let (source_name, expected) = (self.url(), Some(self.total));
                    Failure::Passing(ImageError::Truncated {
                        source_name,
                        offset: offset + bytes.len() as u64,
                        expected,
                    })
                }
                Err(failure) => failure,
            };
            if bytes.len() > before {
                (last_good, pause) = (Instant::now(), FIRST_PAUSE);
            }
            match failure {
                Failure::Final(error) => {
                    if self.current < self.mirrors.len() {
                        self.mirrors.remove(self.current);
                    }
                    if self.mirrors.is_empty() {
                        return Err(error);
                    }
                    self.stop.note(format!("{error}; trying another mirror"));
                }
                Failure::Passing(error) => {
                    if last_good.elapsed() >= self.http.patience {
                        return Err(error);
                    }
                    self.stop.note(format!("{error}; trying again"));
                    self.current += 1;
                    if self.current >= self.mirrors.len() {
                        self.stop.sleep(pause)?;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            if self.current >= self.mirrors.len() {
                self.current = 0;
            }
        }
        Ok(bytes)
    }

    /// One request. Runs in the source's own thread, which a cancelled write does not wait for.
    fn attempt(&mut self, start: u64, end: u64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        let Some((url, known)) = self.mirrors.get(self.current).cloned() else {
            return Err(Failure::Final(ImageError::NoSource));
        };
        let mut request = self.http.agent.get(&url).header("accept-encoding", "identity");
        for (name, value) in &self.http.headers {
            request = request.header(name, value);
        }
        request = request.header("range", format!("bytes={start}-{end}"));
        if let Some(validator) = known.as_ref().and_then(|head| head.validator.as_ref()) {
            request = request.header("if-range", validator);
        }
        // A range is short: a whole stall's time for it is generous, and no watcher is needed.
        let limits = request.config().http_status_as_error(false).timeout_recv_response(Some(self.http.stall));
        let answer = limits.timeout_recv_body(Some(self.http.stall)).build().call();
        let response = answer.map_err(|error| refused(&url, start, error))?;
        let head = Head::of(&response);
        if let Some(failure) = status_failure(&url, start, head.status) {
            return Err(failure);
        }
        let changed =
            |why: &str| Failure::Final(ImageError::Changed { url: display(&url), offset: start, why: why.to_owned() });
        if head.status != 206 {
            if known.is_some() {
                return Err(changed("it is no longer what it was"));
            }
            let what = "must be read in parts, and its server does not send ranges".to_owned();
            return Err(Failure::Final(ImageError::Unsupported { source_name: display(&url), what }));
        }
        if head.start != start {
            return Err(changed("another range than the one asked for was sent"));
        }
        if head.total.is_some_and(|total| total != self.total) {
            return Err(changed("its length is another now"));
        }
        if known.is_some_and(|known| known.validator != head.validator) {
            return Err(changed("its ETag or Last-Modified is another"));
        }
        if let Some((_, known)) = self.mirrors.get_mut(self.current) {
            known.get_or_insert(head);
        }
        let before = bytes.len();
        let mut pace = Pace::new(self.http.rate);
        let mut body = response.into_body().into_reader().take(end - start + 1);
        let read = timed(&self.stages.network_ns, || body.read_to_end(bytes));
        let count = bytes.len() - before;
        self.stages.wire_bytes.fetch_add(count as u64, Ordering::Relaxed);
        pace.wait(count);
        match read {
            Ok(_) => Ok(()),
            Err(source) => {
                let (url, offset) = (display(&url), start + count as u64);
                Err(Failure::Passing(ImageError::Transfer { url, offset, source }))
            }
        }
    }
}

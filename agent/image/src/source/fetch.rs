//! Fetches an image over one connection, in a thread of its own. With several connections, parts are fetched in
//! parallel, each bound to the first response by validator, range and length, and returned in order.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer, channel};
use crate::flow::pieces::{PIECE, TICK, pump};
use crate::flow::progress::Stages;
use crate::source::answer::{FetchFailure, Pace, ResponseHead};
use crate::source::get::{Http, Location, MOST_CONNECTIONS};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use ureq::Body;
use ureq::http::Response;

/// Bytes per part, if several connections share the work; each part may wait in memory.
pub const PART: u64 = 2 << 20;

type Piece = io::Result<Vec<u8>>;

/// From `start` to the end of the image.
#[derive(Clone)]
pub struct Fetch {
    pub http: Http,
    pub place: Location,
    pub start: u64,
    /// Bytes were passed on before. The response may also start from the beginning, but must be told apart.
    pub resumed: bool,
    /// The validator in this server's first response.
    pub validator: Option<String>,
    pub pace: Pace,
    pub stages: Arc<Stages>,
}

impl Fetch {
    /// Sends the server's response to `told`, then the bytes to `out`. Ends early when nobody listens any more.
    pub fn run(self, told: &Producer<Result<ResponseHead, FetchFailure>>, out: &Producer<Piece>) {
        let connections = self.http.connections.clamp(1, MOST_CONNECTIONS);
        let parts = connections > 1;
        let first = match self.ask(parts.then(|| self.start + PART - 1)) {
            // An empty range cannot be requested; a plain request shows that the file is empty.
            Err(FetchFailure::Final(ImageError::Changed { .. })) if parts && self.start == 0 && !self.resumed => {
                self.ask(None)
            }
            // Without the total length it is unknown where the parts end.
            Ok((_, head)) if parts && head.status == 206 && head.total.is_none() => self.ask(None),
            first => first,
        };
        let (response, head) = match first {
            Ok(answer) => answer,
            Err(failure) => {
                let _ = told.push(Err(failure));
                return;
            }
        };
        let rest = head.total.filter(|_| parts && head.status == 206 && head.start == self.start);
        // The other parts are fetched from where the first one came from.
        let place = Location { direct: Some(head.url.clone()), ..self.place.clone() };
        let validator = head.validator.clone();
        if told.push(Ok(head)).is_err() {
            return;
        }
        let body = response.into_body().into_reader();
        match rest {
            None => self.pump(body, out),
            Some(total) => Self { validator, place, ..self }.side_by_side(body, total, connections, out),
        }
    }

    /// The bytes from `start` to `last`, or to the end.
    fn ask(&self, last: Option<u64>) -> Result<(Response<Body>, ResponseHead), FetchFailure> {
        let (response, url) = self.http.send(&self.place, self.start, |request| {
            if !self.resumed && self.start == 0 && last.is_none() {
                return request;
            }
            let last = last.map(|last| last.to_string()).unwrap_or_default();
            let request = request.header("range", format!("bytes={}-{last}", self.start));
            match &self.validator {
                Some(validator) => request.header("if-range", validator),
                None => request,
            }
        })?;
        let head = ResponseHead::of(&response, url);
        Ok((response, head))
    }

    fn pump(&self, mut body: impl Read, out: &Producer<Piece>) {
        pump(&mut body, out, &self.stages.network_ns, |len| self.pace.wait(len));
    }

    /// `first` is the body of the first part's response.
    fn side_by_side(&self, first: impl Read, total: u64, connections: usize, out: &Producer<Piece>) {
        let end = total.min(self.start + PART);
        let (mut waiting, mut next) = (VecDeque::new(), end);
        let mut left = end - self.start;
        let mut top_up = |waiting: &mut VecDeque<_>, room: usize| {
            while waiting.len() < room && next < total {
                waiting.push_back(self.part(next, total));
                next = total.min(next + PART);
            }
        };
        top_up(&mut waiting, connections - 1);
        // The first part is read here; if it is incomplete, that is detected as for any other part.
        let counted = Counted { inner: first.take(left), left: &mut left };
        self.pump(counted, out);
        loop {
            if left > 0 {
                let _ = out.push(Err(io::ErrorKind::UnexpectedEof.into()));
                return;
            }
            top_up(&mut waiting, connections);
            let Some(part) = waiting.pop_front() else { return };
            let Part { pieces, len } = match part {
                Ok(part) => part,
                Err(error) => {
                    let _ = out.push(Err(error));
                    return;
                }
            };
            left = len;
            loop {
                match pieces.pop(TICK) {
                    Popped::Item(piece) => {
                        let broken = piece.is_err();
                        left = left.saturating_sub(piece.as_ref().map_or(0, Vec::len) as u64);
                        if out.push(piece).is_err() || broken {
                            return;
                        }
                    }
                    Popped::Empty if out.is_closed() => return,
                    Popped::Empty => {}
                    Popped::End => break,
                }
            }
        }
    }

    /// Starts to fetch the part at `start`.
    fn part(&self, start: u64, total: u64) -> io::Result<Part> {
        let (out, pieces) = channel((PART as usize).div_ceil(PIECE));
        let last = total.min(start + PART) - 1;
        let fetch = Self { start, resumed: true, ..self.clone() };
        thread::Builder::new().name("burin-http-part".into()).spawn(move || match fetch.ask(Some(last)) {
            Err(FetchFailure::Final(error) | FetchFailure::Passing(error)) => {
                let _ = out.push(Err(io::Error::other(error)));
            }
            Ok((_, head)) if !fetch.fits(&head, total) => {
                let (url, why) = (fetch.http.name(&fetch.place.url), "a part of another image was sent".to_owned());
                let _ = out.push(Err(io::Error::other(ImageError::Changed { url, offset: start, why })));
            }
            Ok((response, _)) => fetch.pump(response.into_body().into_reader().take(last + 1 - start), &out),
        })?;
        Ok(Part { pieces, len: last + 1 - start })
    }

    fn fits(&self, head: &ResponseHead, total: u64) -> bool {
        let same = head.validator == self.validator && head.total.is_none_or(|told| told == total);
        head.status == 206 && head.start == self.start && same
    }
}

struct Part {
    pieces: Consumer<Piece>,
    len: u64,
}

/// Counts how much is still to come.
struct Counted<'a, R> {
    inner: R,
    left: &'a mut u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        *self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

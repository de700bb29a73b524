//! Downloads an image over HTTP; resumes where the connection broke, from the next mirror if necessary (RFC 9110: Range
//! 14.2, If-Range 13.1.5, Content-Range 14.4).
//!
//! What a resumed answer sends must agree with what came before: the same validator and length on the same mirror, and
//! on every resume the last bytes are fetched again and compared. A server without Range sends everything again; then
//! the whole repeated part is compared by its digest. Disagreement is an error, never a spliced image.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, channel};
use crate::flow::pieces::{PIECES, TICK};
use crate::flow::progress::Stages;
use crate::flow::stop::Stop;
use crate::source::answer::{FetchFailure, Pace, ResponseHead};
use crate::source::fetch::Fetch;
use crate::source::get::{Http, Location};
use crate::source::mirrors::Mirrors;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use twox_hash::xxhash3_128::Hasher;

/// Bytes fetched again and compared on a resume.
const OVERLAP: usize = 64 * 1024;

/// One connection, read in a thread of its own, so that a stall is noticed from outside.
struct Connection {
    head: Consumer<Result<ResponseHead, FetchFailure>>,
    pieces: Consumer<io::Result<Vec<u8>>>,
}

pub struct HttpStream {
    http: Http,
    stop: Arc<Stop>,
    stages: Arc<Stages>,
    mirrors: Mirrors,
    pace: Pace,
    connection: Option<Connection>,
    /// Bytes passed on so far.
    position: u64,
    total: Option<u64>,
    delimited: bool,
    /// Digest of all bytes passed on.
    hasher: Hasher,
    /// The last bytes passed on, up to OVERLAP.
    recent: Vec<u8>,
    /// Bytes of the connection that repeat earlier ones and must still be compared.
    repeat: Repeat,
}

enum Repeat {
    Nothing,
    /// The last bytes again; `done` of `recent[from..]` have been compared.
    Recent {
        from: usize,
    },
    /// Everything again.
    Whole {
        left: u64,
        hasher: Box<Hasher>,
    },
}

impl HttpStream {
    /// Sends the first request and waits for its headers.
    pub fn open(http: Http, stop: Arc<Stop>, stages: Arc<Stages>) -> Result<Self, ImageError> {
        let mut stream = Self {
            mirrors: Mirrors::new(&http)?,
            pace: Pace::new(http.rate),
            http,
            stop,
            stages,
            connection: None,
            position: 0,
            total: None,
            delimited: false,
            hasher: Hasher::new(),
            recent: Vec::new(),
            repeat: Repeat::Nothing,
        };
        while stream.connection.is_none() {
            if let Err(failure) = stream.connect() {
                stream.fail(failure)?;
            }
        }
        Ok(stream)
    }

    /// Whether the current response has an end mark.
    pub fn is_delimited(&self) -> bool {
        self.delimited
    }

    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next piece; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        loop {
            self.stop.check()?;
            if self.connection.is_none()
                && let Err(failure) = self.connect()
            {
                self.fail(failure)?;
                continue;
            }
            match self.receive() {
                Ok(Some(piece)) => {
                    let Some(piece) = self.without_repeat(piece)? else { continue };
                    self.hand_out(&piece);
                    return Ok(Some(piece));
                }
                Ok(None)
                    if matches!(self.repeat, Repeat::Nothing)
                        && self.total.is_none_or(|total| total == self.position) =>
                {
                    return Ok(None);
                }
                Ok(None) => {
                    let (source_name, offset, expected) = (self.url(), self.position, self.total);
                    self.fail(FetchFailure::Passing(ImageError::Truncated { source_name, offset, expected }))?;
                }
                Err(failure) => self.fail(failure)?,
            }
        }
    }

    fn url(&self) -> String {
        self.mirrors.name()
    }

    /// A piece from the connection; `None` at its end.
    fn receive(&mut self) -> Result<Option<Vec<u8>>, FetchFailure> {
        let began = Instant::now();
        loop {
            self.stop.check().map_err(FetchFailure::Final)?;
            let Some(connection) = &self.connection else { return Ok(None) };
            match connection.pieces.pop(TICK.min(self.http.stall)) {
                Popped::Item(Ok(piece)) => return Ok(Some(piece)),
                Popped::Item(Err(source)) => {
                    let (url, offset) = (self.url(), self.position);
                    return Err(FetchFailure::Passing(match source.kind() {
                        io::ErrorKind::UnexpectedEof => {
                            ImageError::Truncated { source_name: url, offset, expected: self.total }
                        }
                        _ => ImageError::Transfer { url, offset, source },
                    }));
                }
                Popped::End => return Ok(None),
                Popped::Empty if began.elapsed() >= self.http.stall => {
                    return Err(FetchFailure::Passing(self.stalled()));
                }
                Popped::Empty => {}
            }
        }
    }

    fn stalled(&self) -> ImageError {
        ImageError::Stalled { url: self.url(), offset: self.position, seconds: self.http.stall.as_secs() }
    }

    /// Opens a connection for the bytes from `position` on, and verifies that they continue the earlier ones.
    fn connect(&mut self) -> Result<(), FetchFailure> {
        let (place, known) = self.mirrors.current()?;
        let start = self.position - self.recent.len() as u64;
        let validator = known.as_ref().and_then(|head| head.validator.clone());
        let connection = self.request(place, start, validator).map_err(FetchFailure::Final)?;
        let began = Instant::now();
        let head = loop {
            self.stop.check().map_err(FetchFailure::Final)?;
            match connection.head.pop(TICK.min(self.http.stall)) {
                Popped::Item(head) => break head?,
                Popped::End => return Err(FetchFailure::Final(ImageError::Broken { stage: "network" })),
                Popped::Empty if began.elapsed() >= self.http.stall => {
                    return Err(FetchFailure::Passing(self.stalled()));
                }
                Popped::Empty => {}
            }
        };
        let changed = |why: &str| {
            FetchFailure::Final(ImageError::Changed { url: self.url(), offset: self.position, why: why.to_owned() })
        };
        if let (Some(mine), Some(theirs)) = (self.total, head.total)
            && mine != theirs
        {
            return Err(changed(&format!("it had {mine} bytes, now {theirs}")));
        }
        if let Some(known) = &known
            && known.url == head.url
            && known.validator != head.validator
        {
            return Err(changed("its ETag or Last-Modified is another"));
        }
        self.repeat = match head.status {
            206 if head.start == start => Repeat::Recent { from: 0 },
            206 => return Err(changed("another range than the one asked for was sent")),
            _ if self.position == 0 => Repeat::Nothing,
            _ => {
                self.stop.note(format!("{}: does not resume, starting over", self.url()));
                Repeat::Whole { left: self.position, hasher: Box::new(Hasher::new()) }
            }
        };
        if let Repeat::Recent { .. } = self.repeat
            && self.recent.is_empty()
        {
            self.repeat = Repeat::Nothing;
        }
        if self.position > 0 && !matches!(self.repeat, Repeat::Whole { .. }) {
            self.stop.note(format!("{}: resumed at byte {}", self.url(), self.position));
        }
        self.total = self.total.or(head.total);
        self.delimited = head.delimited;
        self.mirrors.answered(head);
        self.connection = Some(connection);
        Ok(())
    }

    fn request(&self, place: Location, start: u64, validator: Option<String>) -> Result<Connection, ImageError> {
        let (told, head) = channel(1);
        let (out, pieces) = channel(PIECES);
        let fetch = Fetch {
            http: self.http.clone(),
            place,
            start,
            resumed: self.position > 0,
            validator,
            pace: self.pace.clone(),
            stages: self.stages.clone(),
        };
        let spawned = std::thread::Builder::new().name("burin-http".into()).spawn(move || fetch.run(&told, &out));
        spawned.map_err(|source| ImageError::Thread { source })?;
        Ok(Connection { head, pieces })
    }

    /// Removes repeated bytes from the front of `piece`, and compares them. `None` if nothing is left.
    fn without_repeat(&mut self, mut piece: Vec<u8>) -> Result<Option<Vec<u8>>, ImageError> {
        let differs = match &mut self.repeat {
            Repeat::Nothing => return Ok(Some(piece)),
            Repeat::Recent { from } => {
                let known = self.recent.get(*from..).unwrap_or_default();
                let count = known.len().min(piece.len());
                let differs = known[..count] != piece[..count];
                *from += count;
                piece.drain(..count);
                if *from == self.recent.len() {
                    self.repeat = Repeat::Nothing;
                }
                differs
            }
            Repeat::Whole { left, hasher } => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                hasher.write(&piece[..count]);
                *left -= count as u64;
                piece.drain(..count);
                // A repeated download must not look like a stall.
                self.mirrors.repeating();
                let ended = *left == 0;
                let differs = ended && hasher.finish_128() != self.hasher.finish_128();
                if ended {
                    self.repeat = Repeat::Nothing;
                }
                differs
            }
        };
        if differs {
            let why = "bytes that came before are others now".to_owned();
            self.fail(FetchFailure::Final(ImageError::Changed { url: self.url(), offset: self.position, why }))?;
            return Ok(None);
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn hand_out(&mut self, piece: &[u8]) {
        self.position += piece.len() as u64;
        self.hasher.write(piece);
        self.mirrors.progress();
        let keep = OVERLAP.saturating_sub(piece.len()).min(self.recent.len());
        self.recent.drain(..self.recent.len() - keep);
        self.recent.extend_from_slice(&piece[piece.len().saturating_sub(OVERLAP)..]);
    }

    /// Switches to the next mirror after a pause; an error if none is left.
    fn fail(&mut self, failure: FetchFailure) -> Result<(), ImageError> {
        self.connection = None;
        self.repeat = Repeat::Nothing;
        self.mirrors.fail(failure, &self.stop)
    }
}

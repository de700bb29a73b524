//! The servers of one image, and what follows a failure: the next server, a pause, or the end.

use crate::error::ImageError;
use crate::flow::stop::Stop;
use crate::source::answer::{FetchFailure, ResponseHead};
use crate::source::get::{Http, Location};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The usable mirrors, and each one's first response.
pub struct Mirrors {
    mirrors: Vec<Mirror>,
    current: usize,
    /// Time of the last new byte.
    last_new: Instant,
    /// Time of the last byte, or when waiting for one began.
    last_any: Instant,
    /// Time since the last new byte that was spent on repeated bytes, which is not a stall.
    repeated: Duration,
    pause: Duration,
    patience: Duration,
}

struct Mirror {
    place: Location,
    /// For messages.
    name: String,
    /// Its first response.
    answer: Option<ResponseHead>,
}

impl Mirrors {
    pub fn new(http: &Http) -> Result<Self, ImageError> {
        let mirror = |url: &String| Mirror { place: Location::new(url), name: http.name(url), answer: None };
        let mirrors: Vec<_> = http.urls.iter().map(mirror).collect();
        if mirrors.is_empty() {
            return Err(ImageError::NoSource);
        }
        let (now, repeated) = (Instant::now(), Duration::ZERO);
        Ok(Self {
            mirrors,
            current: 0,
            last_new: now,
            last_any: now,
            repeated,
            pause: FIRST_PAUSE,
            patience: http.patience,
        })
    }

    /// The current mirror, and its first response.
    pub fn current(&self) -> Result<(Location, Option<ResponseHead>), FetchFailure> {
        let mirror = self.mirrors.get(self.current).ok_or(FetchFailure::Final(ImageError::NoSource))?;
        Ok((mirror.place.clone(), mirror.answer.clone()))
    }

    /// For messages.
    pub fn name(&self) -> String {
        self.mirrors.get(self.current).map(|mirror| mirror.name.clone()).unwrap_or_default()
    }

    /// Stores the current mirror's response, if it is the first one, and its URL.
    pub fn answered(&mut self, answer: ResponseHead) {
        self.last_any = Instant::now();
        if let Some(mirror) = self.mirrors.get_mut(self.current) {
            mirror.place.direct = Some(answer.url.clone()).filter(|url| *url != mirror.place.url);
            mirror.answer.get_or_insert(answer);
        }
    }

    /// New bytes arrived: timing restarts here, and pauses are short again.
    pub fn progress(&mut self) {
        self.last_new = Instant::now();
        self.last_any = self.last_new;
        self.repeated = Duration::ZERO;
        self.pause = FIRST_PAUSE;
    }

    /// Repeated bytes arrived: this takes time, but is no progress.
    pub fn repeating(&mut self) {
        self.repeated += self.last_any.elapsed();
        self.last_any = Instant::now();
    }

    /// Switches to the next mirror, with a pause after each round; an error if none is left.
    pub fn fail(&mut self, failure: FetchFailure, stop: &Stop) -> Result<(), ImageError> {
        stop.check()?;
        let outcome = self.turn(failure, stop);
        self.last_any = Instant::now();
        outcome
    }

    fn turn(&mut self, failure: FetchFailure, stop: &Stop) -> Result<(), ImageError> {
        match self.redirected(failure) {
            FetchFailure::Final(error) => {
                if self.current < self.mirrors.len() {
                    self.mirrors.remove(self.current);
                }
                if self.mirrors.is_empty() {
                    return Err(error);
                }
                stop.note(format!("{error}; trying another mirror"));
            }
            FetchFailure::Passing(error) => {
                if self.last_new.elapsed().saturating_sub(self.repeated) >= self.patience {
                    return Err(error);
                }
                stop.note(format!("{error}; trying again"));
                self.current += 1;
                if self.current >= self.mirrors.len() {
                    stop.sleep(self.pause.min(self.patience))?;
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        if self.current >= self.mirrors.len() {
            self.current = 0;
        }
        Ok(())
    }

    /// The target of an earlier redirect may be gone: a mirror that went away, or a signed URL that expired. The next
    /// request asks the redirector again, and its target counts as a new server.
    fn redirected(&mut self, failure: FetchFailure) -> FetchFailure {
        let Some(mirror) = self.mirrors.get_mut(self.current) else { return failure };
        if mirror.place.direct.take().is_none() {
            return failure;
        }
        mirror.answer = None;
        match failure {
            // The same server sent other bytes: no redirect changes that.
            FetchFailure::Final(error @ ImageError::Changed { .. }) => FetchFailure::Final(error),
            FetchFailure::Final(error) | FetchFailure::Passing(error) => FetchFailure::Passing(error),
        }
    }
}

//! The servers of one image, and what follows a failure: the next server, a pause, or the end.

use crate::error::ImageError;
use crate::flow::stop::Stop;
use crate::source::answer::{FetchFailure, ResponseHead};
use crate::source::get::{Http, Location};
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Mirrors still in the race, and what each said at first.
pub struct Mirrors {
    mirrors: Vec<Mirror>,
    current: usize,
    /// When a byte came that had not come before.
    last_new: Instant,
    /// When any byte came, or a wait for one began.
    last_any: Instant,
    /// Time since the last new byte in which bytes came that had come before: nobody waited for nothing then.
    repeated: Duration,
    pause: Duration,
    patience: Duration,
}

struct Mirror {
    place: Location,
    /// For messages.
    name: String,
    /// What it said at first.
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

    /// The one whose turn it is, and what it said at first.
    pub fn current(&self) -> Result<(Location, Option<ResponseHead>), FetchFailure> {
        let mirror = self.mirrors.get(self.current).ok_or(FetchFailure::Final(ImageError::NoSource))?;
        Ok((mirror.place.clone(), mirror.answer.clone()))
    }

    /// For messages.
    pub fn name(&self) -> String {
        self.mirrors.get(self.current).map(|mirror| mirror.name.clone()).unwrap_or_default()
    }

    /// Keeps what the current one said, if it says so for the first time, and where it said it.
    pub fn answered(&mut self, answer: ResponseHead) {
        self.last_any = Instant::now();
        if let Some(mirror) = self.mirrors.get_mut(self.current) {
            mirror.place.direct = Some(answer.url.clone()).filter(|url| *url != mirror.place.url);
            mirror.answer.get_or_insert(answer);
        }
    }

    /// Bytes came that had not come before. Time counts from here, and pauses are short again.
    pub fn progress(&mut self) {
        self.last_new = Instant::now();
        self.last_any = self.last_new;
        self.repeated = Duration::ZERO;
        self.pause = FIRST_PAUSE;
    }

    /// Bytes that came before come once more: that takes time, but it is no progress.
    pub fn repeating(&mut self) {
        self.repeated += self.last_any.elapsed();
        self.last_any = Instant::now();
    }

    /// Turns to the next mirror, after a pause once all had their turn; an error when nothing is left to try.
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

    /// What a redirect once led to may be over: a mirror that went away, a signed URL that expired. The next request asks
    /// the redirector again, and what it leads to then is a server of its own.
    fn redirected(&mut self, failure: FetchFailure) -> FetchFailure {
        let Some(mirror) = self.mirrors.get_mut(self.current) else { return failure };
        if mirror.place.direct.take().is_none() {
            return failure;
        }
        mirror.answer = None;
        match failure {
            // The same server gave other bytes: no redirect changes that.
            FetchFailure::Final(error @ ImageError::Changed { .. }) => FetchFailure::Final(error),
            FetchFailure::Final(error) | FetchFailure::Passing(error) => FetchFailure::Passing(error),
        }
    }
}

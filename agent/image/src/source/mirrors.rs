//! The servers of one image, and what follows when one of them fails: the next, a pause, or the end.

use crate::ImageError;
use crate::flow::stop::Stop;
use crate::source::answer::{Failure, Head};
use crate::source::get::Http;
use std::time::{Duration, Instant};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Mirrors still in the race, and what each said at first.
pub struct Mirrors {
    mirrors: Vec<Mirror>,
    current: usize,
    last_byte: Instant,
    pause: Duration,
    patience: Duration,
}

struct Mirror {
    url: String,
    /// For messages.
    name: String,
    /// What it said at first.
    head: Option<Head>,
}

impl Mirrors {
    pub fn new(http: &Http) -> Result<Self, ImageError> {
        let mirror = |url: &String| Mirror { url: url.clone(), name: http.name(url), head: None };
        let mirrors: Vec<_> = http.urls.iter().map(mirror).collect();
        if mirrors.is_empty() {
            return Err(ImageError::NoSource);
        }
        Ok(Self { mirrors, current: 0, last_byte: Instant::now(), pause: FIRST_PAUSE, patience: http.patience })
    }

    /// The one whose turn it is, and what it said at first.
    pub fn current(&self) -> Result<(String, Option<Head>), Failure> {
        let mirror = self.mirrors.get(self.current).ok_or(Failure::Final(ImageError::NoSource))?;
        Ok((mirror.url.clone(), mirror.head.clone()))
    }

    /// For messages.
    pub fn name(&self) -> String {
        self.mirrors.get(self.current).map(|mirror| mirror.name.clone()).unwrap_or_default()
    }

    /// Keeps what the current one said, if it says so for the first time.
    pub fn answered(&mut self, head: Head) {
        if let Some(mirror) = self.mirrors.get_mut(self.current) {
            mirror.head.get_or_insert(head);
        }
    }

    /// Good bytes came. Time counts from here, and pauses are short again.
    pub fn progress(&mut self) {
        self.last_byte = Instant::now();
        self.pause = FIRST_PAUSE;
    }

    /// As [`Mirrors::progress`] for the time only: bytes that came before come once more.
    pub fn repeating(&mut self) {
        self.last_byte = Instant::now();
    }

    /// Turns to the next mirror, after a pause once all had their turn; an error when nothing is left to try.
    pub fn fail(&mut self, failure: Failure, stop: &Stop) -> Result<(), ImageError> {
        stop.check()?;
        match failure {
            Failure::Final(error) => {
                if self.current < self.mirrors.len() {
                    self.mirrors.remove(self.current);
                }
                if self.mirrors.is_empty() {
                    return Err(error);
                }
                stop.note(format!("{error}; trying another mirror"));
            }
            Failure::Passing(error) => {
                if self.last_byte.elapsed() >= self.patience {
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
}

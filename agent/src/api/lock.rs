//! Checks the API token of this boot, and slows down guesses. No I/O.

use crate::protocol::Secret;
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// Minimum length of a token. 16 random letters and digits have more than 80 bits; a shorter token is probably a word
/// that somebody chose.
pub(super) const LEAST_TOKEN: usize = 16;
/// The delay of the answer to the first wrong token; twice that for the second, and so on.
const STEP: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// One wrong token is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(1);
/// At most this many are remembered at once.
const MOST: u32 = 300;

/// The result for a wrong token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong {
    /// How long to delay the answer.
    pub delay: Duration,
    /// How many there have been in this boot.
    pub count: u64,
    /// Worth an event: the first, the tenth, the hundredth and so on.
    pub notable: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenVerdict {
    Right,
    /// No token, or an empty one: this does not count as a guess.
    None,
    Wrong(Wrong),
}

#[derive(Debug, Default)]
pub(super) struct Lock {
    token: Option<Secret>,
    /// The last one that was too short, so that it is reported once.
    refused: Option<Secret>,
    wrong: u64,
    recent: u32,
    since: Option<Instant>,
}

impl Lock {
    /// Only this token is valid from now on. One that is too short opens nothing; returns false if that should be
    /// reported.
    pub fn set(&mut self, token: Secret) -> bool {
        if token.reveal().chars().count() >= LEAST_TOKEN {
            self.token = Some(token);
            return true;
        }
        self.token = None;
        let told = self.refused.as_ref() == Some(&token);
        self.refused = Some(token);
        told
    }

    /// Tokens are compared as digests in constant time, so that timing reveals neither length nor content. The right
    /// one is accepted at once, however many wrong ones there were.
    pub fn check(&mut self, given: Option<&str>, now: Instant) -> TokenVerdict {
        let Some(given) = given.filter(|given| !given.is_empty()) else { return TokenVerdict::None };
        let right = self.token.as_ref().is_some_and(|token| {
            Sha256::digest(given.as_bytes()).ct_eq(&Sha256::digest(token.reveal().as_bytes())).into()
        });
        if right { TokenVerdict::Right } else { TokenVerdict::Wrong(self.note(now)) }
    }

    fn note(&mut self, now: Instant) -> Wrong {
        let since = self.since.unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs() / FORGOTTEN.as_secs();
        self.recent = self.recent.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        // The rest of the second counts for the next time.
        let next = FORGOTTEN.checked_mul(u32::try_from(passed).unwrap_or(0)).and_then(|time| since.checked_add(time));
        self.since = Some(if self.recent == 0 { now } else { next.unwrap_or(now) });
        self.recent = (self.recent + 1).min(MOST);
        self.wrong += 1;
        let notable = 10u64.checked_pow(self.wrong.ilog10()) == Some(self.wrong);
        Wrong { delay: STEP.saturating_mul(self.recent).min(LONGEST), count: self.wrong, notable }
    }

    /// Wrong tokens in this boot.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn lock() -> Lock {
        let mut lock = Lock::default();
        assert!(lock.set(Secret::new(TOKEN)));
        lock
    }

    #[test]
    fn nothing_is_never_right() {
        let now = Instant::now();
        for (token, told) in [
            ("", false),
            ("", true),
            ("fifteen letters", false),
            ("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", false),
        ] {
            let mut lock = lock();
            lock.refused = told.then(|| Secret::new(token));
            assert_eq!(lock.set(Secret::new(token)), told, "{token:?}");
            for given in [None, Some(""), Some(token), Some(TOKEN)] {
                assert_ne!(lock.check(given, now), TokenVerdict::Right, "{token:?} {given:?}");
            }
        }
        let mut unset = Lock::default();
        for given in [None, Some(""), Some(TOKEN)] {
            assert_ne!(unset.check(given, now), TokenVerdict::Right);
        }
    }

    #[test]
    fn guesses_wait_longer_and_longer_and_the_right_one_never_does() {
        let (mut lock, start) = (lock(), Instant::now());
        let mut guess = |at: u64| match lock.check(Some("0123456789abcdeg"), start + Duration::from_secs(at)) {
            TokenVerdict::Wrong(wrong) => wrong,
            other => panic!("{other:?}"),
        };
        let delays: Vec<u128> = (0..30).map(|_| guess(0).delay.as_millis()).collect();
        assert!(delays.iter().zip(delays.iter().skip(1)).all(|(one, next)| one <= next), "{delays:?}");
        assert_eq!((delays[0], delays[29]), (200, 5000));
        // After a while it is forgotten, but counted.
        let late = guess(3600);
        assert_eq!((late.delay, late.count), (STEP, 31));
        let notable: Vec<u64> =
            (0..1000).map(|_| guess(3600)).filter(|wrong| wrong.notable).map(|wrong| wrong.count).collect();
        assert_eq!(notable, [100, 1000]);
        assert_eq!(lock.check(Some(TOKEN), start), TokenVerdict::Right);
        assert_eq!(lock.wrong(), 1031);
    }
}

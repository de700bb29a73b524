//! The delay before the next attempt.

use std::time::Duration;

/// Exponential back-off with jitter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Approximate first delay, which then doubles.
    pub first: Duration,
    /// The longest delay, unless the controller asks for more.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(30) }
    }
}

/// A longer `Retry-After` is a mistake or malicious.
const MOST_ASKED: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Backoff {
    retry: Retry,
    pub tries: u32,
}

impl Backoff {
    pub fn new(retry: &Retry) -> Self {
        Self { retry: retry.clone(), tries: 0 }
    }

    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next delay: between half and all of the doubled time, and at least as long as the controller asked for.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let mut random = [0; 4];
        // Without randomness the delays are merely equal.
        let _ = getrandom::fill(&mut random);
        self.next_with(asked, u32::from_le_bytes(random))
    }

    /// Like [`Backoff::next`], with the longest delay at once: for conditions that will not change soon.
    pub fn slowest(&mut self, asked: Option<Duration>) -> Duration {
        let tries = std::mem::replace(&mut self.tries, u32::MAX);
        let wait = self.next(asked);
        self.tries = tries.saturating_add(1);
        wait
    }

    fn next_with(&mut self, asked: Option<Duration>, random: u32) -> Duration {
        let factor = 1_u32 << self.tries.min(20);
        self.tries = self.tries.saturating_add(1);
        let full = self.retry.first.saturating_mul(factor).min(self.retry.most);
        let share = 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0;
        let asked = asked.unwrap_or_default().min(MOST_ASKED);
        // Jitter is added to the requested delay, or a whole rack would come back in the same second.
        full.mul_f64(share).max(asked.mul_f64(1.0 + (share - 0.5) / 5.0))
    }
}

/// `Retry-After`, RFC 9110 section 10.2.3: seconds or a date.
pub fn retry_after(header: &str, now: std::time::SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn waits_double_to_a_cap_within_their_jitter() {
        let retry = Retry { first: Duration::from_secs(1), most: Duration::from_secs(10) };
        for random in [0, u32::MAX / 3, u32::MAX] {
            let mut backoff = Backoff::new(&retry);
            for full in [1, 2, 4, 8, 10, 10] {
                let wait = backoff.next_with(None, random);
                let full = Duration::from_secs(full);
                assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
            }
        }
        let mut backoff = Backoff { retry, tries: u32::MAX };
        assert!(backoff.next_with(None, 7) <= Duration::from_secs(10));
        backoff.reset();
        assert!(backoff.slowest(None) >= Duration::from_secs(5), "the longest at once");
        assert_eq!(backoff.tries, 1);
    }

    #[test]
    fn what_the_controller_asks_is_the_least() {
        let mut backoff = Backoff::new(&Retry::default());
        let wait = backoff.next_with(Some(Duration::from_secs(42)), 0);
        assert!(wait >= Duration::from_secs(42) && wait < Duration::from_secs(47));
        let wait = backoff.next_with(Some(Duration::from_secs(u64::MAX)), u32::MAX);
        assert!(wait <= MOST_ASKED.mul_f64(1.2));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 09:00:00 GMT").unwrap();
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:01:30 GMT", now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after("Sun, 22 Nov 2020 09:01:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", SystemTime::UNIX_EPOCH), None);
    }
}

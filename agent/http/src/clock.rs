//! Whether the system's clock may be believed, and how the first believable hint corrects it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// No true clock shows an earlier time, and no certificate that ended earlier is ever accepted: 2026-01-01T00:00:00Z.
pub const FLOOR: Duration = Duration::from_secs(1_767_225_600);

/// Smaller differences are not worth a jump.
const TOLERANCE: Duration = Duration::from_secs(120);

type Setter = dyn Fn(SystemTime) + Send + Sync;

/// Shared by whoever can tell the time (NTP, the controller's `Date`) and whoever needs it (certificate validity).
#[derive(Clone)]
pub struct Clock {
    trusted: Arc<AtomicBool>,
    set: Arc<Setter>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock {{ trusted: {} }}", self.is_trusted())
    }
}

impl Clock {
    /// The clock of a running system, kept by somebody else.
    pub fn trusted() -> Self {
        Self { trusted: Arc::new(AtomicBool::new(true)), set: Arc::new(|_| {}) }
    }

    /// A clock that may be years off; `set` sets it once a `Date` header of the controller tells the time.
    pub fn untrusted(set: impl Fn(SystemTime) + Send + Sync + 'static) -> Self {
        Self { trusted: Arc::new(AtomicBool::new(false)), set: Arc::new(set) }
    }

    pub fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed)
    }

    /// Somebody (NTP) has set the clock.
    pub fn trust(&self) {
        self.trusted.store(true, Ordering::Relaxed);
    }

    /// A `Date` header (RFC 9110 section 6.6.1) of a reply that came at `now`.
    pub fn observe(&self, date: &str, now: SystemTime) {
        if self.is_trusted() {
            return;
        }
        let Ok(date) = httpdate::parse_http_date(date) else { return };
        if date < SystemTime::UNIX_EPOCH + FLOOR {
            return;
        }
        let apart = date.duration_since(now).unwrap_or_else(|error| error.duration());
        if apart > TOLERANCE {
            log::info!("setting the clock by the controller's, it was {} s off", apart.as_secs());
            (self.set)(date);
        }
        self.trust();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const DATE: &str = "Sun, 22 Nov 2026 09:00:00 GMT";

    fn recording() -> (Clock, Arc<Mutex<Vec<SystemTime>>>) {
        let set = Arc::new(Mutex::new(Vec::new()));
        let seen = set.clone();
        (Clock::untrusted(move |time| seen.lock().unwrap().push(time)), set)
    }

    #[test]
    fn the_first_date_sets_a_wrong_clock_once() {
        let (clock, set) = recording();
        clock.observe(DATE, SystemTime::UNIX_EPOCH);
        clock.observe("Mon, 23 Nov 2026 09:00:00 GMT", SystemTime::UNIX_EPOCH);
        assert_eq!(*set.lock().unwrap(), [httpdate::parse_http_date(DATE).unwrap()]);
        assert!(clock.is_trusted());
    }

    #[test]
    fn a_right_clock_is_believed_and_not_set() {
        let (clock, set) = recording();
        clock.observe(DATE, httpdate::parse_http_date(DATE).unwrap() + Duration::from_secs(30));
        assert!(clock.is_trusted() && set.lock().unwrap().is_empty());
    }

    #[test]
    fn nonsense_tells_nothing() {
        let (clock, set) = recording();
        for date in ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            clock.observe(date, SystemTime::UNIX_EPOCH);
        }
        assert!(!clock.is_trusted() && set.lock().unwrap().is_empty());
    }
}

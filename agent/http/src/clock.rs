//! Whether the system clock can be trusted, and which certificate validity periods are accepted accordingly.
//!
//! A netbooted machine may start in 1970, or in the year when its battery died. Until a trusted source has told the
//! time, certificates are checked against what is certain: that the build time of this program is past. From then on
//! the time counts as usual. If a time server and the controller disagree, neither is trusted: a certificate must be
//! valid by both.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Smaller differences are neither corrected nor reported.
const TOLERANCE: Duration = Duration::from_secs(120);
/// If the clock is this long after the build time, it is more likely to be wrong.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 86400);

/// Sets the clock, and returns whether it now shows this time.
type Setter = dyn Fn(SystemTime) -> bool + Send + Sync;
/// Called once with the difference between a time server and the controller.
type Dispute = dyn Fn(Duration) + Send + Sync;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Belief {
    /// The time is unknown.
    None,
    /// The system clock is right: it is managed elsewhere, or was set from the controller's reply.
    System,
    /// Set by a time server, and not contradicted by the controller.
    Server,
    /// The controller's clock is ahead of (`true`) or behind the system's by this much.
    Disputed(bool, Duration),
}

/// Shared by sources and users of the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    belief: Arc<Mutex<Belief>>,
    /// No correct clock shows an earlier time.
    floor: SystemTime,
    set: Arc<Setter>,
    dispute: Arc<Dispute>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock {{ {:?} }}", self.belief())
    }
}

/// The times at which a certificate must be valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validity {
    At(SystemTime),
    /// By two clocks that disagree.
    AtBoth(SystemTime, SystemTime),
    /// It must not have expired at this time; whether it is already valid does not matter.
    NotEndedAt(SystemTime),
}

impl Clock {
    /// The clock of a running system, managed elsewhere.
    pub fn trusted() -> Self {
        Self::new(Belief::System, UNIX_EPOCH, |_| false, |_| {})
    }

    /// A clock that may be years off. `floor` is the build time of this program. `set` sets the clock once a reply of
    /// the controller over TLS has told the time, and returns whether that worked.
    pub fn untrusted(floor: SystemTime, set: impl Fn(SystemTime) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Belief::None, floor, set, |_| {})
    }

    /// A clock that a time server has set. Time servers are not authenticated: `dispute` is called if the controller's
    /// own clock differs.
    pub fn by_time_server(floor: SystemTime, dispute: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        Self::new(Belief::Server, floor, |_| false, dispute)
    }

    fn new(
        belief: Belief,
        floor: SystemTime,
        set: impl Fn(SystemTime) -> bool + Send + Sync + 'static,
        dispute: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Self {
        Self { belief: Arc::new(Mutex::new(belief)), floor, set: Arc::new(set), dispute: Arc::new(dispute) }
    }

    fn belief(&self) -> Belief {
        *self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn believe(&self, belief: Belief) {
        *self.belief.lock().unwrap_or_else(PoisonError::into_inner) = belief;
    }

    /// Whether the time is known.
    pub fn is_trusted(&self) -> bool {
        matches!(self.belief(), Belief::System | Belief::Server)
    }

    /// Uses the `Date` header (RFC 9110 section 6.6.1) of a reply of the controller itself that came over TLS at `now`.
    /// Replies over plain http, or from anybody else, must not be used.
    pub fn observe(&self, date: &str, now: SystemTime) {
        let Ok(date) = httpdate::parse_http_date(date) else { return };
        if date < self.floor || date > self.floor.checked_add(LIFETIME).unwrap_or(date) && self.floor > UNIX_EPOCH {
            return;
        }
        let (ahead, apart) = match date.duration_since(now) {
            Ok(apart) => (true, apart),
            Err(error) => (false, error.duration()),
        };
        match self.belief() {
            Belief::None if apart <= TOLERANCE => self.believe(Belief::System),
            Belief::None => {
                log::info!("setting the clock to the controller's; it was {} s off", apart.as_secs());
                if (self.set)(date) {
                    self.believe(Belief::System);
                }
            }
            Belief::Server if apart > TOLERANCE => {
                self.believe(Belief::Disputed(ahead, apart));
                (self.dispute)(apart);
            }
            Belief::System | Belief::Server | Belief::Disputed(..) => {}
        }
    }

    /// The times at which a certificate must be valid to be accepted, if the system's clock shows `now`.
    pub fn validity(&self, now: SystemTime) -> Validity {
        match self.belief() {
            Belief::System | Belief::Server => Validity::At(now),
            Belief::Disputed(true, apart) => Validity::AtBoth(now, now.checked_add(apart).unwrap_or(now)),
            Belief::Disputed(false, apart) => Validity::AtBoth(now, now.checked_sub(apart).unwrap_or(now)),
            Belief::None => {
                let end = self.floor.checked_add(LIFETIME).unwrap_or(self.floor);
                let plausible = self.floor <= now && now < end;
                Validity::NotEndedAt(if plausible { now } else { self.floor })
            }
        }
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;

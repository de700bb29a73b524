//! Whether the system clock can be trusted, and which certificate validity periods are accepted accordingly.
//!
//! A netbooted machine may come up in 1970, or in the year that a dead battery left. Until somebody who can be believed
//! has told the time, certificates are judged by what is certain: the build time of this program is past. From then on
//! time counts as everywhere. Where a time server and the controller disagree, neither is believed: a certificate has to
//! be valid by both.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Smaller differences are not worth a jump, nor a word.
const TOLERANCE: Duration = Duration::from_secs(120);
/// Who runs a program this long after it was built has a clock that is wrong, rather.
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 86400);

/// Sets the clock, and says whether it now shows this time.
type Setter = dyn Fn(SystemTime) -> bool + Send + Sync;
/// Hears once by how much a time server and the controller differ.
type Dispute = dyn Fn(Duration) + Send + Sync;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Belief {
    /// Nobody has told the time yet.
    None,
    /// The system's clock is right: somebody else keeps it, or the controller's reply has set it.
    System,
    /// A time server has set it; the controller has not contradicted.
    Server,
    /// The controller's clock is ahead of (`true`) or behind the system's by this much.
    Disputed(bool, Duration),
}

/// Shared by whoever can tell the time and whoever needs it. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    belief: Arc<Mutex<Belief>>,
    /// No true clock shows an earlier time.
    floor: SystemTime,
    set: Arc<Setter>,
    dispute: Arc<Dispute>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock {{ {:?} }}", self.belief())
    }
}

/// At which times a certificate has to be valid.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Validity {
    At(SystemTime),
    /// By both of two clocks that disagree.
    AtBoth(SystemTime, SystemTime),
    /// It must not have ended at this time; that it has not begun yet says nothing.
    NotEndedAt(SystemTime),
}

impl Clock {
    /// The clock of a running system, kept by somebody else.
    pub fn trusted() -> Self {
        Self::new(Belief::System, UNIX_EPOCH, |_| false, |_| {})
    }

    /// A clock that may be years off. `floor` is the build time of this program. `set` sets the clock once a reply of the
    /// controller over TLS tells the time, and says whether that worked.
    pub fn untrusted(floor: SystemTime, set: impl Fn(SystemTime) -> bool + Send + Sync + 'static) -> Self {
        Self::new(Belief::None, floor, set, |_| {})
    }

    /// A clock that a time server has set. Such servers are not authenticated: `dispute` hears where the controller's
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

    /// A `Date` header (RFC 9110 section 6.6.1) of a reply of the controller itself that came over TLS at `now`. What
    /// comes over plain http, or from anybody else, must not be told here.
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

    /// When a certificate has to be valid to pass, where the system's clock shows `now`.
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

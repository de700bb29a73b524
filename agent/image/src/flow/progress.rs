//! Progress of a running write, and its cancellation.

use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Calls a write off from another thread or a signal handler's flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a write is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Making the old contents unbootable.
    Preparing,
    Writing,
    /// Wiping beyond the image and writing the withheld first MiB.
    Finishing,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Writing => "writing",
            Self::Finishing => "finishing",
        }
    }
}

/// The state of a write at one moment. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    pub phase: Phase,
    /// Fetched, and how much there is to fetch where that is known.
    pub wire_bytes: u64,
    pub wire_total: Option<u64>,
    /// Decoded, and how much there is where that is known.
    pub image_bytes: u64,
    pub image_total: Option<u64>,
    pub written_bytes: u64,
    pub zeroed_bytes: u64,
    pub skipped_bytes: u64,
    pub verified_bytes: u64,
    pub elapsed_ms: u64,
    /// Milliseconds to go at the mean rate so far, where a total is known.
    pub eta_ms: Option<u64>,
    /// The stage that holds the others up: network, decode, digest or device.
    pub bottleneck: &'static str,
}

/// Whoever watches. Calls come from the thread that called `write`, a few times a second.
pub trait Progress {
    fn tick(&self, _now: &Snapshot) {}
    /// Something worth a line in a log: a retry, a change of mirror.
    fn note(&self, _text: &str) {}
}

/// Nobody watches.
impl Progress for () {}

/// Busy time of each stage in nanoseconds, and how far it is.
#[derive(Debug, Default)]
pub struct Stages {
    pub network_ns: AtomicU64,
    pub decode_ns: AtomicU64,
    pub digest_ns: AtomicU64,
    pub wire_bytes: AtomicU64,
    pub image_bytes: AtomicU64,
}

impl Stages {
    /// A stage that is always busy holds the others up; one that waits for its neighbours does not.
    pub fn bottleneck(&self, device: Duration) -> &'static str {
        let busy = [
            ("device", device.as_nanos() as u64),
            ("network", self.network_ns.load(Ordering::Relaxed)),
            ("decode", self.decode_ns.load(Ordering::Relaxed)),
            ("digest", self.digest_ns.load(Ordering::Relaxed)),
        ];
        busy.iter().max_by_key(|(_, nanos)| nanos).map_or("device", |(name, _)| name)
    }
}

/// Adds the time `work` takes to `counter`.
pub fn timed<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let start = std::time::Instant::now();
    let result = work();
    counter.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_stage_is_the_bottleneck() {
        let stages = Stages::default();
        stages.network_ns.store(5, Ordering::Relaxed);
        stages.decode_ns.store(9, Ordering::Relaxed);
        assert_eq!(stages.bottleneck(Duration::from_nanos(3)), "decode");
        assert_eq!(stages.bottleneck(Duration::from_nanos(30)), "device");
    }
}

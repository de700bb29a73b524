//! Progress of a running write, and its cancellation.

use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Cancels a write, from another thread or from a signal handler's flag.
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

/// The phase of a write.
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

/// The state of a write at one moment. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    pub phase: Phase,
    /// Bytes fetched; the next field is the total, if known.
    pub wire_bytes: u64,
    pub wire_total: Option<u64>,
    /// Bytes decoded; the next field is the total, if known.
    pub image_bytes: u64,
    pub image_total: Option<u64>,
    pub written_bytes: u64,
    pub zeroed_bytes: u64,
    pub skipped_bytes: u64,
    pub verified_bytes: u64,
    pub elapsed_ms: u64,
    /// Remaining milliseconds at the mean rate so far, if a total is known.
    pub eta_ms: Option<u64>,
    /// The slowest stage: network, decode, digest or device.
    pub bottleneck: &'static str,
}

/// An observer. Called from the thread that called `write`, a few times per second.
pub trait Progress {
    fn tick(&self, _now: &Snapshot) {}
    /// An event that deserves a log line: a retry, a change of mirror.
    fn note(&self, _text: &str) {}
}

/// No observer.
impl Progress for () {}

/// Busy time of each stage in nanoseconds, and its progress.
#[derive(Debug, Default)]
pub struct Stages {
    pub network_ns: AtomicU64,
    pub decode_ns: AtomicU64,
    pub digest_ns: AtomicU64,
    pub wire_bytes: AtomicU64,
    pub image_bytes: AtomicU64,
}

impl Stages {
    /// The slowest stage is the one that is always busy; the others wait for it.
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

/// Adds the duration of `work` to `counter`.
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

//! Progress reports for the watchdog. PID 1 feeds the hardware watchdog as long as progress is reported, so that a
//! machine whose agent is stuck is reset.
//!
//! A living process is not enough, because a single thread may hang. Progress means that stages begin and end, bytes
//! are transferred, and loops that wait by design (for an order, a network, a controller) go round.

use crate::protocol::Kind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Time of the last progress, in seconds since the kernel started; PID 1 reads it.
pub const FILE: &str = "run/burin/alive";
/// Not every iteration of a loop is worth writing a file.
const PAUSE: u64 = 5;

static WRITTEN: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Reports progress.
pub fn beat() {
    let now = uptime();
    if now >= WRITTEN.load(Ordering::Relaxed).saturating_add(PAUSE) {
        WRITTEN.store(now, Ordering::Relaxed);
        // Outside of the ramdisk nothing reads it, and its directory does not exist.
        let _ = std::fs::write(Path::new("/").join(FILE), now.to_string());
    }
}

/// Reports progress if the event shows any. Log lines do not count, because one may report that nothing happens.
pub fn heard(kind: &Kind) {
    match kind {
        Kind::Log(_) | Kind::Dropped(_) => {}
        Kind::Progress(progress) => {
            let bytes = [progress.read_bytes, progress.written_bytes, progress.zeroed_bytes, progress.verified_bytes];
            let bytes = bytes.into_iter().fold(0, u64::wrapping_add);
            if BYTES.swap(bytes, Ordering::Relaxed) != bytes {
                beat();
            }
        }
        _ => beat(),
    }
}

/// Seconds since the kernel started, including suspension.
pub fn uptime() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    time.map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or_default())
}

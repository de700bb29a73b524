//! Progress reports for the watchdog. PID 1 feeds the hardware watchdog as long as progress is reported, so that a
//! machine whose agent is stuck for good is reset.
//!
//! A living process is no sign: what hangs is one thread of many. Signs are stages that begin and end, bytes that were
//! not there before, and the turns of loops that wait by design (for an order, a network, a controller).

use crate::protocol::Kind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds since the kernel started, of the last sign; PID 1 reads it.
pub const FILE: &str = "run/burin/alive";
/// Not every turn of a loop is worth a file.
const PAUSE: u64 = 5;

static WRITTEN: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Work goes on.
pub fn beat() {
    let now = uptime();
    if now >= WRITTEN.load(Ordering::Relaxed).saturating_add(PAUSE) {
        WRITTEN.store(now, Ordering::Relaxed);
        // Outside of the ramdisk nobody reads it, and its directory is not there.
        let _ = std::fs::write(Path::new("/").join(FILE), now.to_string());
    }
}

/// An event, as far as it is a sign. Lines of log are none: one that says that nothing happens is a line as well.
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

/// Seconds since the kernel started, suspension included.
pub fn uptime() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME);
    time.map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or_default())
}

//! Waits for disks that have not appeared yet. No event says that all disks are there, but sysfs shows devices that are
//! still starting: a controller that is not ready, a USB adapter without its disk, a port without its target.
//!
//! `sysfs` observes, `decide` evaluates the observations, this module waits.

mod decide;
mod sought;
mod sysfs;

#[cfg(test)]
mod tests;

pub use decide::{Moment, Situation, WaitVerdict, verdict};
pub use sought::{Seeking, Sought};
pub use sysfs::{disks, look};

use crate::boot;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often to read sysfs: the end of some states (NVMe's `resetting`) is not announced.
const TURN: Duration = Duration::from_millis(100);
/// When to report what is being waited for, and the interval after that.
const WORDS: Duration = Duration::from_secs(2);
const WORDS_AGAIN: Duration = Duration::from_secs(10);

/// When each device was first waited for, by its directory. A controller that has shown no disk in its time is not
/// waited for again with the next order.
static SINCE: LazyLock<Mutex<BTreeMap<String, Instant>>> = LazyLock::new(Mutex::default);
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time since this process first looked.
pub fn age() -> Duration {
    BEGAN.elapsed()
}

/// Devices still waited for, each with the time since then.
fn aged(root: &Path) -> Vec<(Sought, Duration)> {
    LazyLock::force(&BEGAN);
    let now = Instant::now();
    let mut since = SINCE.lock().unwrap_or_else(PoisonError::into_inner);
    let sought = look(root).into_iter();
    sought.map(|one| (now.duration_since(*since.entry(one.key()).or_insert(now)), one)).map(|(a, b)| (b, a)).collect()
}

/// Waits for devices as `moment` requires. `abort` is called in each iteration.
pub fn settle(root: &Path, moment: Moment, abort: &dyn Fn() -> bool) -> WaitVerdict {
    let began = Instant::now();
    let mut last = (uevents(root), began);
    let mut said = WORDS;
    let mut waited = Duration::ZERO;
    loop {
        let now = Instant::now();
        let count = uevents(root);
        if !boot::idle(root) || count != last.0 {
            last = (count, now);
        }
        let sought = aged(root);
        let situation = Situation {
            sought: &sought,
            loading: !boot::idle(root),
            quiet: now.duration_since(last.1),
            waited,
            age: age(),
        };
        let verdict = verdict(moment, &situation);
        if verdict != WaitVerdict::Wait || abort() {
            // Before hello, silent devices have not been waited for at all.
            let given_up = matches!(moment, Moment::Plan { .. }) && situation.waited >= WORDS;
            for (one, age) in sought.iter().filter(|_| given_up || verdict == WaitVerdict::TimeOver) {
                log::warn!("{one}: not waited for any longer, after {} s", age.as_secs());
            }
            return verdict;
        }
        if situation.waited >= said {
            said += WORDS_AGAIN;
            tell(moment, &situation);
        }
        thread::sleep(TURN);
        waited = began.elapsed();
    }
}

fn tell(moment: Moment, situation: &Situation<'_>) {
    let waited: Vec<&Sought> = decide::waited_for(moment, situation).collect();
    for one in &waited {
        log::info!("waiting for disks: {one}");
    }
    if waited.is_empty() && situation.loading {
        log::info!("waiting for drivers that are still probing");
    } else if waited.is_empty() {
        log::info!("waiting for devices that may still appear");
    }
}

/// Waits until there is a uevent, a device is ready, or `limit`; true if something may have changed.
pub fn news(root: &Path, limit: Duration, abort: &dyn Fn() -> bool) -> bool {
    let (began, before) = (Instant::now(), (uevents(root), disks(root)));
    while began.elapsed() < limit && !abort() {
        thread::sleep(TURN);
        if (uevents(root), disks(root)) != before {
            return true;
        }
    }
    false
}

/// The kernel's uevent counter.
fn uevents(root: &Path) -> Vec<u8> {
    std::fs::read(root.join("sys/kernel/uevent_seqnum")).unwrap_or_default()
}

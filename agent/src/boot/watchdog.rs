//! Hardware watchdogs. A watchdog armed by firmware would reset the machine in the middle of its work, and one that is
//! always fed is useless. It is fed while the agent makes progress, and no longer when the agent is stuck.
//!
//! `burin.watchdog=auto` (the default) feeds those that are already running; `on` arms all of them; `off` leaves them
//! alone. An optional number gives the longest time without progress in seconds: `on,600`.
//! (Documentation/watchdog/watchdog-api.rst of the kernel.)

use crate::alive;
use crate::config::words;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A watchdog with less than twice this timeout is too short for a busy machine; no server has one.
const PAUSE: Duration = Duration::from_secs(3);
/// The longest time without progress. A disk that hangs is given up after five minutes, and no step goes this long
/// without reading or writing a byte.
const PATIENCE: u64 = 30 * 60;
/// Progress is reported every few seconds at best.
const LEAST_PATIENCE: u64 = 20;

/// The agent has ended deliberately, and the machine waits for a person.
static RESTING: AtomicBool = AtomicBool::new(false);
/// Open watchdogs by name, and whether we armed them.
static OPEN: LazyLock<Mutex<BTreeMap<String, (File, bool)>>> = LazyLock::new(Mutex::default);

/// Which watchdogs are fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Auto,
    On,
    Off,
}

/// `burin.watchdog=`: which ones, and the longest time without progress in seconds.
fn parse(cmdline: &str) -> (Wish, u64) {
    let said = words(cmdline).into_iter().rev().find(|word| word.folded() == "burin.watchdog");
    let said = said.and_then(|word| word.value).unwrap_or_default();
    let (which, seconds) = said.split_once(',').unwrap_or((&said, ""));
    let wish = match which {
        "on" => Wish::On,
        "off" => Wish::Off,
        _ => Wish::Auto,
    };
    (wish, seconds.parse().map_or(PATIENCE, |seconds: u64| seconds.max(LEAST_PATIENCE)))
}

/// Feeds them on a separate thread, as long as the process lives.
pub fn start(root: &Path, cmdline: &str) {
    let (wish, patience) = parse(cmdline);
    if wish == Wish::Off {
        return;
    }
    let root = root.to_owned();
    let began = alive::uptime();
    let feed = move || {
        let mut starving = false;
        loop {
            take(&root, wish);
            let sign = fs::read_to_string(root.join(alive::FILE)).ok().and_then(|text| text.trim().parse().ok());
            let fed = RESTING.load(Ordering::Relaxed) || is_alive(alive::uptime(), sign.unwrap_or(began), patience);
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            if fed {
                open.values_mut().for_each(|(watchdog, _)| drop(watchdog.write_all(b"\0")));
            } else if !starving && !open.is_empty() {
                log::error!("the agent has made no progress for {patience} s: the watchdog is no longer fed");
            }
            starving = !fed;
            drop(open);
            thread::sleep(PAUSE);
        }
    };
    if let Err(error) = thread::Builder::new().name("watchdog".to_owned()).spawn(feed) {
        log::error!("the watchdog cannot be fed: {error}");
    }
}

/// Whether the last progress is recent enough; in seconds since the kernel started.
fn is_alive(now: u64, sign: u64, patience: u64) -> bool {
    now.saturating_sub(sign) < patience
}

/// The agent is running, or has ended and will not be restarted.
pub fn rest(resting: bool) {
    RESTING.store(resting, Ordering::Relaxed);
}

/// The machine is shutting down: watchdogs that we armed are disarmed, so that they do not interrupt the next system's
/// boot. Those armed by firmware are fed a last time and stay armed.
pub fn release() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    for (name, (mut watchdog, ours)) in std::mem::take(&mut *open) {
        // The magic close.
        let last = if ours { b"V" } else { b"\0" };
        if let Err(error) = watchdog.write_all(last) {
            log::warn!("{name}: {error}");
        }
    }
}

/// Opens watchdogs that should be fed and are not open yet, because drivers may load late.
fn take(root: &Path, wish: Wish) {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    for entry in fs::read_dir(root.join("sys/class/watchdog")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        let runs = runs(&path);
        if open.contains_key(&name) || !(wish == Wish::On || runs) {
            continue;
        }
        let device: PathBuf = root.join("dev").join(&name);
        match OpenOptions::new().write(true).open(&device) {
            Ok(watchdog) => {
                let text = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default().trim().to_owned();
                let who = if runs { "was armed by firmware" } else { "is armed" };
                log::info!(
                    "watchdog {name} ({}, {} s) {who}: fed while work makes progress",
                    text("identity"),
                    text("timeout")
                );
                open.insert(name, (watchdog, !runs));
            }
            // In use elsewhere, for example by the kernel's pretimeout: tried again next time.
            Err(error) => log::debug!("{}: {error}", device.display()),
        }
    }
}

/// Whether it is open, or was running before its driver loaded: the kernel then feeds it for ever and holds the
/// driver's module (WDOG_HW_RUNNING, drivers/watchdog/watchdog_dev.c).
fn runs(watchdog: &Path) -> bool {
    let text = |file: &str| fs::read_to_string(watchdog.join(file)).unwrap_or_default().trim().to_owned();
    let held = text("device/driver/module/refcnt").parse::<u32>().is_ok_and(|count| count > 0);
    text("state") == "active" || held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word() {
        for (cmdline, wish) in [
            ("quiet", (Wish::Auto, PATIENCE)),
            ("burin.watchdog=on burin.watchdog=off", (Wish::Off, PATIENCE)),
            ("burin.watchdog=on", (Wish::On, PATIENCE)),
            ("burin.watchdog=on,600", (Wish::On, 600)),
            ("burin.watchdog=auto,1", (Wish::Auto, LEAST_PATIENCE)),
            ("burin.watchdog=on,soon", (Wish::On, PATIENCE)),
            ("burin.watchdog", (Wish::Auto, PATIENCE)),
        ] {
            assert_eq!(parse(cmdline), wish, "{cmdline}");
        }
    }

    #[test]
    fn only_what_runs_is_taken_and_what_is_stuck_is_not_fed() {
        let root = tempfile::tempdir().unwrap();
        let watchdog = |name: &str, state: &str, held: &str| {
            let path = root.path().join("sys/class/watchdog").join(name);
            fs::create_dir_all(path.join("device/driver/module")).unwrap();
            fs::write(path.join("state"), format!("{state}\n")).unwrap();
            fs::write(path.join("device/driver/module/refcnt"), format!("{held}\n")).unwrap();
            path
        };
        assert!(runs(&watchdog("watchdog0", "active", "1")));
        assert!(runs(&watchdog("watchdog1", "inactive", "1")), "armed by firmware, fed by the kernel");
        assert!(!runs(&watchdog("watchdog2", "inactive", "0")));
        assert!(is_alive(699, 100, 600) && !is_alive(700, 100, 600));
    }
}

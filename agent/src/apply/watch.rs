//! Runs disk work in a thread that can be abandoned, so that a device that does not answer blocks neither a
//! cancellation nor the machine's other disks.
//!
//! A thread that waits for a device inside the kernel cannot be interrupted, not even by a signal. So the work gets a
//! thread of its own, which owns what it needs, and the caller polls.

use super::bound::{BoundDisk, Until};
use super::{ApplyError, look};
use crate::disk;
use crate::image::Cancel;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Timeouts.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Without any progress on a step's disks. A little longer than the writer's own timeout, which is more specific.
    pub progress: Duration,
    /// For work to end by itself once it is cancelled.
    pub cancel: Duration,
    /// For a child process that inspects an image.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            progress: disk::PATIENCE + Duration::from_secs(30),
            cancel: Duration::from_millis(1500),
            look: look::PATIENCE,
        }
    }
}

const TICK: Duration = Duration::from_millis(50);
/// If no request is in flight on any disk and still nothing happens, this many times the patience until it is given up
/// too.
const IDLE: u32 = 2;

/// Runs `work`, which uses `disks`, and waits for it to end.
pub fn run<T: Send + 'static>(
    step: &'static str,
    disks: &[Arc<BoundDisk>],
    patience: Patience,
    cancel: &Cancel,
    work: impl FnOnce() -> Result<T, ApplyError> + Send + 'static,
) -> Result<T, ApplyError> {
    let (tell, told) = mpsc::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let ends = Ends(ended.clone());
    let spawned = thread::Builder::new().name(step.to_owned()).spawn(move || {
        let _ends = ends;
        let _ = tell.send(work());
    });
    spawned.map_err(|source| ApplyError::Thread { step, source })?;
    let mut watch = Watch { step, disks, patience, ended, seen: None, moved: Instant::now() };
    let mut called_off: Option<Instant> = None;
    loop {
        match told.recv_timeout(TICK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(ApplyError::Broken { step }),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cancel.is_cancelled() {
            let since = *called_off.get_or_insert_with(Instant::now);
            if since.elapsed() >= patience.cancel {
                return Err(watch.left_behind());
            }
        }
        watch.look()?;
    }
}

/// Signals the end of a thread, even if it panics.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Watch<'a> {
    step: &'static str,
    disks: &'a [Arc<BoundDisk>],
    patience: Patience,
    ended: Arc<AtomicBool>,
    /// Completed requests of all disks.
    seen: Option<u64>,
    moved: Instant,
}

impl Watch<'_> {
    /// Returns an error once there has been no progress for too long.
    fn look(&mut self) -> Result<(), ApplyError> {
        let counted: Vec<_> = self.disks.iter().filter_map(|disk| Some((disk, disk.requests()?))).collect();
        let done = counted.iter().fold(0u64, |sum, (_, requests)| sum.wrapping_add(requests.done));
        if self.seen.replace(done) != Some(done) {
            self.moved = Instant::now();
        }
        let still = self.moved.elapsed();
        if still < self.patience.progress {
            return Ok(());
        }
        let mut waiting: Vec<&Arc<BoundDisk>> =
            counted.iter().filter(|(_, requests)| requests.waiting > 0).map(|(disk, _)| *disk).collect();
        // Some drivers do not count requests in flight; a thread that waits inside the kernel shows the same.
        if waiting.is_empty() && is_blocked() {
            waiting = self.disks.iter().collect();
        }
        if let Some(first) = waiting.first() {
            waiting.iter().for_each(|disk| disk.keep_off(Until::Boot));
            let (device, seconds) = (first.name().to_owned(), still.as_secs());
            return Err(ApplyError::Hung { device, step: self.step, seconds });
        }
        // The kernel does not count, or the work waits for something else.
        if still >= self.patience.progress * IDLE {
            self.keep_off();
            return Err(ApplyError::Stalled { step: self.step, seconds: still.as_secs() });
        }
        Ok(())
    }

    /// The thread continues without us, perhaps for ever: nothing else may touch its disks.
    fn left_behind(&self) -> ApplyError {
        let disks: Vec<String> = self.disks.iter().map(|disk| disk.name().display().to_string()).collect();
        log::warn!("{}: cancelled but does not end: left behind with {}", self.step, disks.join(", "));
        self.keep_off();
        ApplyError::Cancelled
    }

    fn keep_off(&self) {
        self.disks.iter().for_each(|disk| disk.keep_off(Until::Ended(self.ended.clone())));
    }
}

/// Whether one of our threads, or a program that we started, waits uninterruptibly for a device (proc(5), state D).
fn is_blocked() -> bool {
    let ours = std::process::id().to_string();
    let stats = |directory: &str| fs::read_dir(directory).into_iter().flatten().flatten().map(|one| one.path());
    let blocked = |path: PathBuf, parent: Option<&str>| {
        let text = fs::read_to_string(path.join("stat")).unwrap_or_default();
        let mut fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, above) = (fields.next(), fields.next());
        state == Some("D") && parent.is_none_or(|parent| above == Some(parent))
    };
    stats("/proc/self/task").any(|path| blocked(path, None)) || stats("/proc").any(|path| blocked(path, Some(&ours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(millis: u64) -> Patience {
        let progress = Duration::from_millis(millis);
        Patience { progress, cancel: Duration::from_millis(50), ..Patience::default() }
    }

    #[test]
    fn what_ends_is_what_comes_back() {
        let cancel = Cancel::default();
        assert_eq!(run("wipe", &[], Patience::default(), &cancel, || Ok(7)).unwrap(), 7);
        let error = run::<()>("wipe", &[], Patience::default(), &cancel, || Err(ApplyError::NoSeed)).unwrap_err();
        assert!(matches!(error, ApplyError::NoSeed));
    }

    #[test]
    fn a_panic_is_an_error_of_the_step() {
        let error = run::<()>("wipe", &[], Patience::default(), &Cancel::default(), || panic!("on purpose"));
        assert!(matches!(error.unwrap_err(), ApplyError::Broken { step: "wipe" }));
    }

    #[test]
    fn work_that_does_not_end_is_left_behind_when_called_off_or_out_of_patience() {
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let forever = || {
            let held = held.clone();
            move || {
                let _ = held.lock().map(|held| held.recv());
                Ok(())
            }
        };
        let error = run("wipe", &[], patience(20), &Cancel::default(), forever()).unwrap_err();
        assert!(matches!(error, ApplyError::Stalled { .. }));
        let cancel = Cancel::default();
        cancel.cancel();
        let error = run("wipe", &[], Patience { cancel: Duration::ZERO, ..Patience::default() }, &cancel, forever());
        assert!(matches!(error.unwrap_err(), ApplyError::Cancelled));
        drop(hold);
    }
}

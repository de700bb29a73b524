//! Turns Ctrl-C and SIGTERM into a request to stop cleanly.

use crate::image::Cancel;
use nix::sys::signal::{SigSet, Signal};

/// Set by the first SIGINT or SIGTERM; the second one ends the process at once, with status 1.
///
/// Call it before any other thread is started: threads inherit the signal mask, and one that has these signals
/// unblocked would be killed by them.
pub fn cancelled_by_signals() -> Cancel {
    let cancel = Cancel::default();
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    let waiting = cancel.clone();
    let started = signals.thread_block().map_err(std::io::Error::from).and_then(|()| {
        let wait = move || {
            if signals.wait().is_err() {
                return;
            }
            waiting.cancel();
            if let Ok(signal) = signals.wait() {
                eprintln!("burin: {signal} again: ended at once, the state of the target is not known");
                std::process::exit(1);
            }
        };
        std::thread::Builder::new().name("burin-signals".into()).spawn(wait)
    });
    if let Err(error) = started {
        // After that, the signals' default action applies; the disk is safe because its first MiB is still withheld.
        let _ = signals.thread_unblock();
        log::warn!("signals cannot be handled: {error}");
    }
    cancel
}

//! Waits for events while a machine runs: lines on its console, and what its controller sees.

use crate::controller::Observation;
use crate::vm::{Console, Machine};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Longer than any step takes, even if two cores emulate two others.
const LONG: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Watch {
    seen: Receiver<Observation>,
    console: Console,
}

impl Watch {
    /// `seen` must be subscribed to before the machine is started, so that nothing is missed.
    pub fn new(seen: Receiver<Observation>, machine: &Machine) -> Self {
        Self { seen, console: machine.console().clone() }
    }

    /// Waits until `wanted` is true for an observation of the controller; each observation is passed to it once.
    ///
    /// # Panics
    /// If there is none within five minutes. The message contains `what` and the end of the console's text.
    pub fn observe(&self, what: &str, mut wanted: impl FnMut(&Observation) -> bool) {
        let until = Instant::now() + LONG;
        loop {
            match self.seen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(seen) if wanted(&seen) => return,
                Ok(_) => {}
                Err(_) => panic!("the controller saw no {what}; the console:\n{}", self.console.tail(60)),
            }
        }
    }

    /// Waits until the console shows `text` after the byte `position` of its whole text.
    ///
    /// # Panics
    /// If it does not within five minutes.
    pub fn console(&self, text: &str, position: usize) {
        self.console.wait_for_after(position, text, LONG).unwrap_or_else(|error| panic!("{error}"));
    }
}

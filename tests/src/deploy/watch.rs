//! Waits for events while a machine runs: lines on its console, and what its controller sees.

use crate::controller::Observation;
use crate::vm::{Console, Machine};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Longer than any step takes, even where two cores emulate two others.
const LONG: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub struct Watch {
    seen: Receiver<Observation>,
    console: Console,
}

impl Watch {
    /// `seen` is subscribed to before the machine is started, so that nothing is missed.
    pub fn new(seen: Receiver<Observation>, machine: &Machine) -> Self {
        Self { seen, console: machine.console().clone() }
    }

    /// Waits until `wanted` is true of something that the controller sees; every observation is shown to it once.
    ///
    /// # Panics
    /// When nothing of it comes in five minutes; `what` and the console's end are in the message.
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

    /// Waits until the console says `text`, behind the byte `position` of everything that it said.
    ///
    /// # Panics
    /// When it does not in five minutes.
    pub fn console(&self, text: &str, position: usize) {
        self.console.wait_for_after(position, text, LONG).unwrap_or_else(|error| panic!("{error}"));
    }
}

//! The thread that sends the events of an outlet. It retries for ever, and nothing waits for it.

use super::outlet::Outlet;
use crate::calls::ControllerError;
use crate::protocol::Event;
use burin_http::backoff::{Backoff, Retry};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Largest batch, in events and in bytes.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 512 << 10;

/// Delivers batches.
pub trait Deliver: Send + 'static {
    /// Returns the highest sequence that is safe now. An empty batch only asks for news.
    fn deliver(&mut self, batch: &[Event]) -> Result<u64, ControllerError>;

    /// How long to stay silent if there is nothing to send; `None`: for ever.
    fn heartbeat(&self) -> Option<Duration>;

    /// What the receiver said it has.
    fn known(&self) -> u64;
}

/// Stops its thread when dropped, without waiting for a call that may hang.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    outlet: Arc<Outlet>,
}

impl Sender {
    pub fn start(outlet: Arc<Outlet>, retry: &Retry, deliver: impl Deliver) -> Result<Self, ControllerError> {
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, backoff) = ((stop.clone(), outlet.clone()), Backoff::new(retry));
        std::thread::Builder::new()
            .name(format!("events-{}", outlet.name))
            .spawn(move || run(&theirs.1, &theirs.0, backoff, deliver))
            .map_err(|source| ControllerError::Thread { source })?;
        Ok(Self { stop, outlet })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.outlet.wake();
    }
}

/// How often a waiting thread checks whether to stop.
const LOOK: Duration = Duration::from_millis(200);

fn run(outlet: &Outlet, stop: &AtomicBool, mut backoff: Backoff, mut deliver: impl Deliver) {
    let mut most = MOST_EVENTS;
    let mut spoken = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let batch = outlet.wait_batch(deliver.known(), most, MOST_BYTES, LOOK);
        let due = deliver.heartbeat().is_some_and(|heartbeat| spoken.elapsed() >= heartbeat);
        if batch.is_empty() && !due {
            continue;
        }
        spoken = Instant::now();
        let error = match deliver.deliver(&batch) {
            Ok(acked) => {
                outlet.ack(acked);
                most = (most * 2).min(MOST_EVENTS);
                // A receiver that accepts nothing must not be flooded.
                if batch.last().is_none_or(|event| outlet.acked() >= event.id.sequence) {
                    backoff.reset();
                    continue;
                }
                None
            }
            Err(error) => Some(error),
        };
        if let Some(error) = &error
            && error.rejects_request()
        {
            // The receiver rejects one of these events: find it, and drop it.
            match batch.as_slice() {
                [one] => outlet.reject(one.id.sequence),
                _ => most = (batch.len() / 2).max(1),
            }
        }
        let wait = backoff.next(error.as_ref().and_then(ControllerError::retry_after));
        if let Some(error) = error
            && backoff.tries == 1
        {
            log::warn!("events are waiting: {error}");
        }
        sleep(wait, stop);
    }
}

fn sleep(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

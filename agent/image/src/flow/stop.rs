//! The stop flag of a write, which any thread can set.

use crate::anomaly::Anomaly;
use crate::error::ImageError;
use crate::flow::pieces::TICK;
use crate::flow::progress::Cancel;
use burin_protocol::Problem;
use burin_protocol::error::Coded;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Makes all stages of one write end, and passes their notes to the observer.
#[derive(Debug)]
pub struct Stop {
    pub cancel: Cancel,
    failed: AtomicBool,
    /// The first MiB was accepted and the targets are ready: comparison with an index may start.
    accepted: AtomicBool,
    notes: Mutex<Vec<String>>,
    anomalies: Mutex<Vec<Problem>>,
}

impl Stop {
    pub fn new(cancel: &Cancel) -> Self {
        Self {
            cancel: cancel.clone(),
            failed: AtomicBool::new(false),
            accepted: AtomicBool::new(false),
            notes: Mutex::default(),
            anomalies: Mutex::default(),
        }
    }

    pub fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.cancel.is_cancelled() || self.failed.load(Ordering::Relaxed)
    }

    pub fn check(&self) -> Result<(), ImageError> {
        if self.is_set() { Err(ImageError::Cancelled) } else { Ok(()) }
    }

    pub fn sleep(&self, pause: Duration) -> Result<(), ImageError> {
        let until = Instant::now() + pause;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            self.check()?;
            std::thread::sleep(left.min(TICK));
        }
        self.check()
    }

    /// The targets can be compared now.
    pub fn accept(&self) {
        self.accepted.store(true, Ordering::Release);
    }

    /// Waits for [`Stop::accept`].
    pub fn until_accepted(&self) -> Result<(), ImageError> {
        while !self.accepted.load(Ordering::Acquire) {
            self.check()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub fn note(&self, text: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Adds something to the receipt; the observer gets a note at once.
    pub fn anomaly(&self, anomaly: &Anomaly) {
        self.note(anomaly.to_string());
        let mut all = self.anomalies.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.iter().any(|known| known.code == anomaly.code() && known.message == anomaly.to_string()) {
            all.push(anomaly.problem());
        }
    }

    pub fn anomalies(&self) -> Vec<Problem> {
        self.anomalies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

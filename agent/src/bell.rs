//! Wakes the agent's main loop.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Cheap to clone. A ring before anybody waits is not lost.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<(Mutex<bool>, Condvar)>);

impl Bell {
    pub fn ring(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits for a ring, at most `patience`.
    pub fn wait(&self, patience: Duration) {
        let rung = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(rung, patience, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_counts() {
        let bell = Bell::default();
        bell.ring();
        bell.wait(Duration::from_secs(3600));
        let other = bell.clone();
        let thread = std::thread::spawn(move || other.ring());
        bell.wait(Duration::from_secs(3600));
        thread.join().unwrap();
    }
}

//! Requests from outside to the current work, such as cancelling it.

use crate::protocol::Control;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests from outside for the current work, checked between steps and chunks.
///
/// There are two sources: the controller, whose latest word counts, and callers of the agent's own API, who can cancel.
/// A cancellation by a caller stays until [`ControlFlag::renew`].
#[derive(Debug, Clone, Default)]
pub struct ControlFlag(Arc<(Mutex<Words>, Condvar)>);

#[derive(Debug, Default)]
struct Words {
    controller: Control,
    cancelled_here: bool,
}

impl Words {
    fn word(&self) -> Control {
        if self.cancelled_here { Control::Cancel } else { self.controller }
    }
}

impl ControlFlag {
    fn lock(&self) -> MutexGuard<'_, Words> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self) -> Control {
        self.lock().word()
    }

    pub fn is_cancelled(&self) -> bool {
        self.get() == Control::Cancel
    }

    /// The controller's word.
    pub fn set(&self, control: Control) {
        let mut words = self.lock();
        if words.controller != control {
            log::info!("the controller says {control:?}");
            words.controller = control;
            self.0.1.notify_all();
        }
    }

    /// Cancels the current work, whatever the controller says.
    pub fn cancel(&self) {
        self.lock().cancelled_here = true;
        self.0.1.notify_all();
    }

    /// Other work begins: a cancellation of the previous work does not apply to it.
    pub fn renew(&self) {
        self.lock().cancelled_here = false;
    }

    /// At a safe point: waits while the word is `hold`, at most `patience`; returns the word after that.
    pub fn wait_while_held(&self, patience: Duration) -> Control {
        let held = |words: &mut Words| words.word() == Control::Hold;
        let waited = self.0.1.wait_timeout_while(self.lock(), patience, held);
        waited.unwrap_or_else(PoisonError::into_inner).0.word()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_here_outlives_what_the_controller_says() {
        let flag = ControlFlag::default();
        flag.cancel();
        flag.set(Control::Hold);
        flag.set(Control::Continue);
        assert!(flag.is_cancelled());
        assert_eq!(flag.wait_while_held(Duration::ZERO), Control::Cancel);
        flag.renew();
        assert_eq!(flag.get(), Control::Continue);
    }

    #[test]
    fn who_is_held_goes_on_when_told() {
        let flag = ControlFlag::default();
        flag.set(Control::Hold);
        assert_eq!(flag.wait_while_held(Duration::ZERO), Control::Hold);
        let other = flag.clone();
        let thread = std::thread::spawn(move || other.set(Control::Continue));
        assert_eq!(flag.wait_while_held(Duration::from_secs(60)), Control::Continue);
        thread.join().unwrap();
    }
}

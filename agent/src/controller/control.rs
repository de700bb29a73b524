use crate::protocol::Control;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The controller's latest word, for whoever works: looked at between steps and chunks.
#[derive(Debug, Clone, Default)]
pub struct ControlFlag(Arc<(Mutex<Control>, Condvar)>);

impl ControlFlag {
    pub fn get(&self) -> Control {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_cancelled(&self) -> bool {
        self.get() == Control::Cancel
    }

    pub fn set(&self, control: Control) {
        let mut word = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *word != control {
            log::info!("the controller says {control:?}");
            *word = control;
            self.0.1.notify_all();
        }
    }

    /// At a safe point: waits while the word is `hold`, at most `patience`; what it is then.
    pub fn wait_while_held(&self, patience: Duration) -> Control {
        let word = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |word: &mut Control| *word == Control::Hold;
        let waited = self.0.1.wait_timeout_while(word, patience, held);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

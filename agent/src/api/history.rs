//! Recent events, for followers of `GET /v1/events` that may have been disconnected for a moment.

use crate::protocol::Event;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

const MOST: usize = 2048;

#[derive(Debug)]
pub(super) struct History {
    events: Mutex<VecDeque<Arc<Event>>>,
    last: watch::Sender<u64>,
}

impl Default for History {
    fn default() -> Self {
        Self { events: Mutex::default(), last: watch::Sender::new(0) }
    }
}

impl History {
    pub fn push(&self, event: Arc<Event>) {
        let last = event.id.sequence;
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == MOST {
            events.pop_front();
        }
        events.push_back(event);
        drop(events);
        self.last.send_replace(last);
    }

    /// Events after a sequence; those older than the oldest stored one are gone.
    pub fn after(&self, sequence: u64) -> Vec<Arc<Event>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.id.sequence > sequence).cloned().collect()
    }

    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }
}

//! A recording of all requests to disks, in order.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One request to one of the disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Write {
        disk: usize,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// What was written to this disk before outlives a power cut.
    Flush {
        disk: usize,
    },
}

/// A recording.
#[derive(Debug, Default)]
pub struct Tape(Mutex<Vec<Event>>);

impl Tape {
    pub fn add(&self, event: Event) {
        self.lock().push(event);
    }

    /// All of it; it goes on empty.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.lock())
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

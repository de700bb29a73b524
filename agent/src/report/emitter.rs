//! Emits events, from any thread, at any time, without waiting.

use super::outlet::{Outlet, SpoolError};
use super::spool::{LAST_SEQUENCE, SpoolLimits};
use crate::protocol::{Event, EventId, Kind};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Emitter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    boot_id: String,
    outlets: Vec<Arc<Outlet>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    source: String,
    subject: Option<String>,
    last: u64,
    listeners: Vec<SyncSender<Arc<Event>>>,
}

impl Emitter {
    /// Continues the sequence that a previous process of this boot left in `directory` (usually `/run/burin`).
    ///
    /// `outlets` names the consumers of events: [`super::CONTROLLER`], [`super::SINK`], both or neither.
    pub fn open(
        directory: Option<&Path>,
        boot_id: &str,
        source: &str,
        outlets: &[&'static str],
        limits: SpoolLimits,
    ) -> Result<Self, SpoolError> {
        let outlets: Vec<Arc<Outlet>> = outlets
            .iter()
            .map(|name| Outlet::open(directory, name, boot_id, limits.clone()).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let last = outlets.iter().map(|outlet| outlet.last()).max().unwrap_or(0);
        let state = State { source: source.to_owned(), subject: None, last, listeners: Vec::new() };
        Ok(Self(Arc::new(Inner { boot_id: boot_id.to_owned(), outlets, state: Mutex::new(state) })))
    }

    /// Events for listeners only: for tools and tests.
    pub fn disconnected() -> Self {
        let state = State { source: "/".to_owned(), subject: None, last: 0, listeners: Vec::new() };
        Self(Arc::new(Inner { boot_id: "none".to_owned(), outlets: Vec::new(), state: Mutex::new(state) }))
    }

    /// Stamps and stores an event. A listener that cannot keep up loses it; nobody waits.
    pub fn emit(&self, kind: Kind) {
        crate::alive::heard(&kind);
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = state.last.saturating_add(1);
        let id = EventId { boot_id: self.0.boot_id.clone(), sequence: state.last };
        let event = Event::new(id, &state.source, SystemTime::now(), state.subject.as_deref(), &kind);
        for outlet in &self.0.outlets {
            outlet.push(&event);
        }
        if !state.listeners.is_empty() {
            let event = Arc::new(event);
            state.listeners.retain(|listener| {
                !matches!(listener.try_send(event.clone()), Err(std::sync::mpsc::TrySendError::Disconnected(_)))
            });
        }
    }

    /// Sets the order to which later events refer.
    pub fn set_subject(&self, order: Option<&str>) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).subject = order.map(str::to_owned);
    }

    /// Sets the machine's name, once the inventory knows it; earlier events have the one known at [`Emitter::open`].
    pub fn set_source(&self, source: &str) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).source = source.to_owned();
    }

    /// Every event from now on, for the console or the agent's own API; up to `backlog` wait for a slow listener.
    pub fn listen(&self, backlog: usize) -> Receiver<Arc<Event>> {
        let (sender, receiver) = sync_channel(backlog);
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).listeners.push(sender);
        receiver
    }

    /// Waits until all consumers have acknowledged everything emitted so far; false after `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        let deadline = std::time::Instant::now() + patience;
        let left = || deadline.saturating_duration_since(std::time::Instant::now());
        self.0.outlets.iter().all(|outlet| outlet.wait_empty(left()))
    }

    pub fn boot_id(&self) -> &str {
        &self.0.boot_id
    }

    pub fn outlet(&self, name: &str) -> Option<Arc<Outlet>> {
        self.0.outlets.iter().find(|outlet| outlet.name == name).cloned()
    }

    /// A controller may know higher sequences of this boot than this process.
    pub fn skip_to(&self, sequence: u64) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = state.last.max(sequence.min(LAST_SEQUENCE));
    }
}

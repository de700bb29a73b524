//! Observations of the controller's work, for tests and the demo.

use burin::protocol::{Event, GrantReply, GrantRequest, Hello, Receipt};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// One thing that happened, in the order it happened.
#[derive(Debug, Clone)]
pub enum Observation {
    /// An iPXE script was served; `agent` is false where it sent the machine to its own disk.
    BootScript {
        mac: Option<String>,
        uuid: Option<String>,
        agent: bool,
    },
    Hello {
        machine: String,
        hello: Box<Hello>,
    },
    /// The order was sent.
    OrderSent {
        machine: String,
        etag: String,
        attempt: u32,
    },
    /// A new event; repetitions are not observed.
    Event {
        machine: String,
        event: Box<Event>,
    },
    Grant {
        machine: String,
        request: Box<GrantRequest>,
        reply: Box<GrantReply>,
    },
    /// A receipt was recorded durably.
    Receipt {
        machine: String,
        receipt: Box<Receipt>,
    },
    /// A file was served: artefact or image.
    File {
        path: String,
        status: u16,
        range: Option<String>,
    },
}

#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<Vec<Sender<Observation>>>);

impl Watchers {
    pub fn subscribe(&self) -> Receiver<Observation> {
        let (sender, receiver) = channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }

    pub fn tell(&self, observation: &Observation) {
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| sender.send(observation.clone()).is_ok());
    }
}

//! Sends events without a controller: POSTs them to any URL that accepts CloudEvents (`burin.events=URL`).

use super::emitter::Emitter;
use super::outlet::SINK;
use super::sender::{Deliver, Sender};
use crate::calls::ControllerError;
use crate::calls::{Call, Client};
use crate::protocol::{Event, event};
use burin_http::Timeouts;
use burin_http::Trust;
use burin_http::backoff::Retry;
use std::time::Duration;
use ureq::http::Method;

/// Posts the events of an emitter's [`SINK`] outlet until dropped. Any 2xx acknowledges a batch.
#[derive(Debug)]
pub struct Sink {
    _sender: Option<Sender>,
}

impl Sink {
    pub fn start(url: &str, trust: &Trust, retry: &Retry, emitter: &Emitter) -> Result<Self, ControllerError> {
        let client = Client::new(url, trust, &Timeouts::CALLS)?;
        let post = Post { client, single: false };
        let sender = emitter.outlet(SINK).map(|outlet| Sender::start(outlet, retry, post)).transpose()?;
        Ok(Self { _sender: sender })
    }
}

struct Post {
    client: Client,
    /// The receiver does not support batches: HTTP binding section 3.2 instead of 3.3.
    single: bool,
}

impl Post {
    fn post(&self, kind: &str, body: Vec<u8>) -> Result<(), ControllerError> {
        let call = Call { method: Method::POST, path: "", body: Some((kind, body)), ..Call::default() };
        self.client.call(call).map(drop)
    }
}

impl Deliver for Post {
    fn deliver(&mut self, batch: &[Event]) -> Result<u64, ControllerError> {
        let Some(last) = batch.last() else { return Ok(0) };
        let encode = |error| ControllerError::Body { url: self.client.base().to_owned(), source: error };
        if !self.single {
            let body = serde_json::to_vec(batch).map_err(encode)?;
            match self.post(event::BATCH_CONTENT_TYPE, body) {
                Ok(()) => return Ok(last.id.sequence),
                Err(error) if error.rejects_request() => self.single = true,
                Err(error) => return Err(error),
            }
        }
        let mut acked = 0;
        for event in batch {
            let encode = |error| ControllerError::Body { url: self.client.base().to_owned(), source: error };
            let body = serde_json::to_vec(event).map_err(encode)?;
            match self.post("application/cloudevents+json", body) {
                Ok(()) => acked = event.id.sequence,
                Err(error) if acked == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(acked)
    }

    fn heartbeat(&self) -> Option<Duration> {
        None
    }

    fn known(&self) -> u64 {
        // A sink acknowledges by accepting; it has no state with gaps.
        u64::MAX - 1
    }
}

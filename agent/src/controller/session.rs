//! A machine's standing with its controller, from hello to the acknowledged receipt.

use super::backoff::{Backoff, Retry};
use super::client::{Call, Client, ORDER_LIMIT, segment};
use super::control::ControlFlag;
use super::emitter::Emitter;
use super::error::ControllerError;
use super::http::Timeouts;
use super::memory::Memory;
use super::order::parse_order;
use super::outlet::CONTROLLER;
use super::sender::{Deliver, Sender};
use super::trust::Trust;
use crate::error::Coded;
use crate::protocol::event::OrderRefused;
use crate::protocol::{
    Ack, Decision, Event, GrantReply, GrantRequest, Hello, HelloReply, Kind, Order, Problem, Receipt, ReceiptReply,
    ReceiptState, Secret, event, grant, hello, receipt, version,
};
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::{Method, StatusCode};

/// Told before every wait; may end the patience.
pub type Notify = Arc<dyn Fn(&Waiting<'_>) -> ControlFlow<()> + Send + Sync>;

/// A call failed and will be tried again.
#[derive(Debug)]
pub struct Waiting<'a> {
    /// `hello`, `order`, `grant` or `receipt`.
    pub call: &'static str,
    /// Tries that failed in a row.
    pub tries: u32,
    pub error: &'a ControllerError,
    pub next: Duration,
}

/// How a controller is spoken to.
#[derive(Clone)]
pub struct Options {
    /// Base URL; the protocol's paths follow it.
    pub url: String,
    pub trust: Trust,
    /// One-time join token, `burin.token`.
    pub join_token: Option<Secret>,
    pub timeouts: Timeouts,
    pub retry: Retry,
    /// Usually `/run/burin`.
    pub state: PathBuf,
    pub notify: Notify,
    /// Shared with the agent's own API, if there is one.
    pub control: ControlFlag,
}

impl Options {
    /// With the usual patience: endless, and a line in the log for every failure.
    pub fn new(url: &str, trust: Trust, state: PathBuf) -> Self {
        let notify = |waiting: &Waiting<'_>| {
            log::warn!("{}: {}; again in {:.1} s", waiting.call, waiting.error, waiting.next.as_secs_f32());
            ControlFlow::Continue(())
        };
        let (timeouts, retry, control) = (Timeouts::CALLS, Retry::default(), ControlFlag::default());
        Self { url: url.to_owned(), trust, join_token: None, timeouts, retry, state, notify: Arc::new(notify), control }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options {{ url: {} }}", super::client::shown(&self.url))
    }
}

/// An order with what came beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub order: Order,
    pub etag: Option<String>,
    /// For the grant and the receipt; the controller counts.
    pub attempt: u32,
    /// As received, for digests and for keeping.
    pub raw: Vec<u8>,
}

/// Bytes that are not an order. The event is already emitted, and the same bytes will not be asked for again.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedOrder {
    pub etag: Option<String>,
    pub attempt: u32,
    pub raw: Vec<u8>,
    pub problem: Problem,
}

/// Answer to asking for an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Order(Box<Offer>),
    Refused(RefusedOrder),
    /// Nothing yet.
    None,
    /// There will be none: stop asking.
    Gone,
}

#[derive(Debug, Clone)]
struct Credentials {
    machine: String,
    token: Secret,
    /// Rises with every hello, so that of many that met the same expired token only one says hello again.
    generation: u64,
}

struct Link {
    client: Client,
    join_token: Option<Secret>,
    hello: Mutex<Hello>,
    credentials: Mutex<Option<Credentials>>,
    control: ControlFlag,
    emitter: Emitter,
    known: AtomicU64,
    heartbeat: AtomicU64,
}

/// See the module.
pub struct Session {
    link: Arc<Link>,
    options: Options,
    memory: Memory,
    /// ETag of the order that was refused or is done with.
    seen: Option<String>,
    _sender: Option<Sender>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session {{ url: {}, machine: {:?} }}", self.link.client.base(), self.machine())
    }
}

impl Session {
    /// Says hello until somebody answers, then starts to send the emitter's events.
    ///
    /// Fails only where trying again cannot help (URL, protocol version), or where `notify` gave up.
    pub fn connect(options: Options, hello: Hello, emitter: &Emitter) -> Result<Self, ControllerError> {
        let link = Arc::new(Link {
            client: Client::new(&options.url, &options.trust, &options.timeouts)?,
            join_token: options.join_token.clone(),
            hello: Mutex::new(hello),
            credentials: Mutex::new(None),
            control: options.control.clone(),
            emitter: emitter.clone(),
            known: AtomicU64::new(0),
            heartbeat: AtomicU64::new(10),
        });
        patiently("hello", &options, None, || link.hello(None))?;
        let memory = Memory::new(&options.state);
        let deliver = Batches { link: link.clone() };
        let outlet = emitter.outlet(CONTROLLER);
        let sender = outlet.map(|outlet| Sender::start(outlet, &options.retry, deliver)).transpose()?;
        Ok(Self { link, options, memory, seen: None, _sender: sender })
    }

    /// The controller's name for this machine.
    pub fn machine(&self) -> String {
        let credentials = self.link.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        credentials.as_ref().map(|credentials| credentials.machine.clone()).unwrap_or_default()
    }

    /// The controller's latest word.
    pub fn control(&self) -> ControlFlag {
        self.link.control.clone()
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// For the next hello, e.g. once the inventory is there.
    pub fn update_hello(&self, change: impl FnOnce(&mut Hello)) {
        change(&mut self.link.hello.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says hello again at once, to bring what [`Session::update_hello`] changed.
    pub fn hello_again(&self) -> Result<(), ControllerError> {
        patiently("hello", &self.options, None, || self.link.hello(None))
    }

    /// Asks for an order; the controller may hold its answer for `wait` (at most 60 s are asked for).
    pub fn next_order(&mut self, wait: Duration) -> Result<Next, ControllerError> {
        let wait = Duration::from_secs(wait.as_secs().min(60));
        let seen = self.seen.clone();
        let reply = patiently("order", &self.options, None, || {
            self.link.authorised(|machine, token| {
                let path = format!("/v1/machines/{machine}/order?wait={}", wait.as_secs());
                let (token, if_none_match) = (Some(token), seen.as_deref());
                let call = Call { path: &path, token, if_none_match, wait, limit: ORDER_LIMIT, ..Call::default() };
                let reply = self.link.client.call(call)?;
                if reply.status == StatusCode::OK {
                    reply.check_json()?;
                }
                Ok(reply)
            })
        })?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::GONE => return Ok(Next::Gone),
            _ => return Ok(Next::None),
        }
        let etag = reply.header("etag").map(str::to_owned);
        let attempt = reply.header("burin-attempt").and_then(|attempt| attempt.parse().ok()).unwrap_or(1);
        match parse_order(&reply.body) {
            Ok(order) => Ok(Next::Order(Box::new(Offer { order, etag, attempt, raw: reply.body }))),
            Err(error) => {
                let problem = error.problem();
                let refused = OrderRefused { order: None, etag: etag.clone(), problem: problem.clone() };
                self.link.emitter.emit(Kind::OrderRefused(refused));
                self.seen.clone_from(&etag);
                Ok(Next::Refused(RefusedOrder { etag, attempt, raw: reply.body, problem }))
            }
        }
    }

    /// The order with this ETag is done with, or cannot be done: only another one is asked for.
    pub fn done_with(&mut self, etag: Option<&str>) {
        self.seen = etag.map(str::to_owned);
    }

    /// Leave to destroy what the plan names. Waits for the controller's answer however long it takes; a refusal is
    /// [`ControllerError::Refused`].
    pub fn grant(&self, order: &str, attempt: u32, plan_digest: &str) -> Result<(), ControllerError> {
        let (boot_id, instance) = {
            let hello = self.link.hello.lock().unwrap_or_else(PoisonError::into_inner);
            (hello.boot_id.clone(), hello.instance.clone())
        };
        let request = GrantRequest {
            version: grant::VERSION.to_owned(),
            order: order.to_owned(),
            attempt,
            plan_digest: plan_digest.to_owned(),
            boot_id,
            instance,
        };
        loop {
            let reply: GrantReply = patiently("grant", &self.options, None, || {
                let reply: GrantReply = self.link.post("grants", "application/json", &request)?;
                self.link.speaks(&reply.version, grant::VERSION)?;
                Ok(reply)
            })?;
            match reply.decision {
                Decision::Granted => return Ok(()),
                Decision::Refused => {
                    let problem = reply.problem.map(Box::new);
                    return Err(ControllerError::Refused { order: order.to_owned(), attempt, problem });
                }
                Decision::Wait => {
                    if self.link.control.is_cancelled() {
                        return Err(ControllerError::Refused { order: order.to_owned(), attempt, problem: None });
                    }
                    std::thread::sleep(self.options.retry.first.max(Duration::from_millis(50)) * 4);
                }
            }
        }
    }

    /// Posts the receipt, after the events before it, and returns once the controller acknowledged it; after `deadline`
    /// an error. Until acknowledged it is kept for a successor of this process, see [`Memory::receipt`].
    pub fn post_receipt(&self, receipt: &Receipt, deadline: Duration) -> Result<(), ControllerError> {
        if let Err(error) = self.memory.keep_receipt(Some(receipt)) {
            log::warn!("the receipt cannot be kept in {}: {error}", self.options.state.display());
        }
        let end = Instant::now() + deadline;
        // Events first, so that who sees the receipt can see how it came about. But not at any price.
        if let Some(outlet) = self.link.emitter.outlet(CONTROLLER) {
            outlet.wait_empty(deadline / 4);
        }
        let mut reply = self.receipt_call(end, deadline, || {
            let reply: ReceiptReply = self.link.post("receipts", "application/json", receipt)?;
            self.link.speaks(&reply.version, receipt::VERSION)?;
            Ok(reply)
        })?;
        let place = format!("{}/{}", segment(&receipt.order), receipt.attempt);
        while reply.state != ReceiptState::Acknowledged {
            let left = end.saturating_duration_since(Instant::now());
            let wait = left.min(Duration::from_secs(30)).as_secs().max(1);
            reply = self.receipt_call(end, deadline, || {
                self.link.authorised(|machine, token| {
                    let path = format!("/v1/machines/{machine}/receipts/{place}?wait={wait}");
                    let wait = Duration::from_secs(wait);
                    let call = Call { path: &path, token: Some(token), wait, ..Call::default() };
                    let reply: ReceiptReply = self.link.client.call(call)?.json()?;
                    self.link.speaks(&reply.version, receipt::VERSION)?;
                    Ok(reply)
                })
            })?;
            if reply.state != ReceiptState::Acknowledged && Instant::now() >= end {
                return Err(ControllerError::Unacknowledged { seconds: deadline.as_secs(), source: None });
            }
        }
        if let Err(error) = self.memory.keep_receipt(None) {
            log::warn!("the acknowledged receipt cannot be removed: {error}");
        }
        Ok(())
    }

    fn receipt_call<T>(
        &self,
        end: Instant,
        deadline: Duration,
        call: impl FnMut() -> Result<T, ControllerError>,
    ) -> Result<T, ControllerError> {
        patiently("receipt", &self.options, Some(end), call).map_err(|error| {
            let source = Some(Box::new(error));
            ControllerError::Unacknowledged { seconds: deadline.as_secs(), source }
        })
    }
}

/// Tries until it works, a final error comes, `notify` gives up, or `end` has passed.
fn patiently<T>(
    name: &'static str,
    options: &Options,
    end: Option<Instant>,
    mut call: impl FnMut() -> Result<T, ControllerError>,
) -> Result<T, ControllerError> {
    let mut backoff = Backoff::new(&options.retry);
    loop {
        let error = match call() {
            Ok(done) => return Ok(done),
            Err(error) if error.is_final() => return Err(error),
            Err(error) => error,
        };
        let mut next = backoff.next(error.retry_after());
        if let Some(end) = end {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            next = next.min(left);
        }
        let waiting = Waiting { call: name, tries: backoff.tries, error: &error, next };
        if (options.notify)(&waiting).is_break() {
            let url = super::client::shown(&options.url);
            return Err(ControllerError::GaveUp { url, source: Box::new(error) });
        }
        std::thread::sleep(next);
    }
}

impl Link {
    /// One hello. Where another thread has already said it since `generation`, that one counts.
    fn hello(&self, generation: Option<u64>) -> Result<(), ControllerError> {
        let mut credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let current = credentials.as_ref().map_or(0, |credentials| credentials.generation);
        if generation.is_some_and(|generation| generation < current) {
            return Ok(());
        }
        let body = {
            let hello = self.hello.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_vec(&*hello)
                .map_err(|source| ControllerError::Body { url: self.client.base().to_owned(), source })?
        };
        let token = self.join_token.as_ref();
        let body = Some(("application/json", body));
        let call = Call { method: Method::POST, path: "/v1/hello", token, body, ..Call::default() };
        let reply = self.client.call(call)?;
        // The version before the shape: of another version, nothing else can be expected to fit.
        let value: serde_json::Value = reply.json()?;
        if let Some(version) = value.get("version").and_then(|version| version.as_str()) {
            self.speaks(version, hello::VERSION)?;
        }
        let reply: HelloReply = reply.json()?;
        if let Some(notice) = &reply.notice {
            log::warn!("the controller says: {}", notice.message);
        }
        if let Some(seconds) = reply.heartbeat_seconds {
            self.heartbeat.store(u64::from(seconds.clamp(1, 3600)), Ordering::Relaxed);
        }
        self.known.store(reply.acked, Ordering::Relaxed);
        self.emitter.skip_to(reply.acked);
        if let Some(outlet) = self.emitter.outlet(CONTROLLER) {
            outlet.rebase(reply.acked);
        }
        self.control.set(reply.control);
        let machine = segment(&reply.machine);
        *credentials = Some(Credentials { machine, token: reply.token, generation: current + 1 });
        Ok(())
    }

    /// A call with machine and token; where the token is not known any more, hello and once more.
    fn authorised<T>(&self, call: impl Fn(&str, &Secret) -> Result<T, ControllerError>) -> Result<T, ControllerError> {
        let current = || self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if current().is_none() {
            self.hello(None)?;
        }
        let Some(credentials) = current() else {
            return Err(ControllerError::Url { url: self.client.base().to_owned() });
        };
        match call(&credentials.machine, &credentials.token) {
            Err(error) if error.status() == Some(401) => {
                self.hello(Some(credentials.generation))?;
                let Some(credentials) = current() else { return Err(error) };
                call(&credentials.machine, &credentials.token)
            }
            result => result,
        }
    }

    fn post<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        kind: &str,
        body: &(impl serde::Serialize + ?Sized),
    ) -> Result<T, ControllerError> {
        let url = || self.client.base().to_owned();
        let body = serde_json::to_vec(body).map_err(|source| ControllerError::Body { url: url(), source })?;
        self.authorised(|machine, token| {
            let path = format!("/v1/machines/{machine}/{what}");
            let body = Some((kind, body.clone()));
            let call = Call { method: Method::POST, path: &path, token: Some(token), body, ..Call::default() };
            self.client.call(call)?.json()
        })
    }

    fn speaks(&self, found: &str, expected: &'static str) -> Result<(), ControllerError> {
        let url = || self.client.base().to_owned();
        version::check(found, expected).map_err(|source| ControllerError::Version { url: url(), source })
    }
}

/// Events to the controller.
struct Batches {
    link: Arc<Link>,
}

impl Deliver for Batches {
    fn deliver(&mut self, batch: &[Event]) -> Result<u64, ControllerError> {
        let ack: Ack = self.link.post("events", event::BATCH_CONTENT_TYPE, batch)?;
        self.link.control.set(ack.control);
        self.link.known.store(ack.acked, Ordering::Relaxed);
        Ok(ack.acked)
    }

    fn heartbeat(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.link.heartbeat.load(Ordering::Relaxed)))
    }

    fn known(&self) -> u64 {
        self.link.known.load(Ordering::Relaxed)
    }
}

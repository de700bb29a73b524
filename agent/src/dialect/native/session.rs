//! A machine's session with its controller, from hello to the acknowledged receipt.

use super::link::{Batches, ControllerLink, Introduced};
use crate::attest::Chip;
use crate::calls::{Call, Client, ControllerError, ORDER_LIMIT, segment, shown};
use crate::control::ControlFlag;
use crate::error::Coded;
use crate::policy::{Rules, admit};
use crate::protocol::event::OrderRefused;
use crate::protocol::{
    Decision, GrantReply, GrantRequest, Hello, Kind, Order, Problem, Receipt, ReceiptReply, ReceiptState, Secret,
    grant, receipt,
};
use crate::report::{CONTROLLER, Emitter, Memory, Sender};
use burin_http::backoff::{Backoff, Retry};
use burin_http::{Timeouts, Trust};
use burin_sign::SecretKey;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::http::StatusCode;

/// How long a receipt waits for the events before it.
const EVENTS_FIRST: Duration = Duration::from_secs(30);

/// Called before every wait; may stop the retries.
pub type Notify = Arc<dyn Fn(&RetryNotice<'_>) -> ControlFlow<()> + Send + Sync>;

/// A call failed and will be tried again.
#[derive(Debug)]
pub struct RetryNotice<'a> {
    /// `hello`, `order`, `grant` or `receipt`.
    pub call: &'static str,
    /// Number of consecutive failures.
    pub tries: u32,
    pub error: &'a ControllerError,
    pub next: Duration,
}

/// Settings for talking to a controller.
#[derive(Clone)]
pub struct SessionOptions {
    /// Base URL; the protocol's paths follow it.
    pub url: String,
    pub trust: Trust,
    /// One-time join token, `burin.token`.
    pub join_token: Option<Secret>,
    /// The machine's key, which hello contains.
    pub key: Option<Arc<SecretKey>>,
    /// The machine's TPM, for a controller that requires attestation.
    pub chip: Option<Chip>,
    /// The requirements on orders.
    pub rules: Option<Rules>,
    pub timeouts: Timeouts,
    pub retry: Retry,
    /// Usually `/run/burin`.
    pub state: PathBuf,
    pub notify: Notify,
    /// Shared with the agent's own API, if there is one.
    pub control: ControlFlag,
}

impl SessionOptions {
    /// With the default behaviour: endless retries, and a log line for every failure.
    pub fn new(url: &str, trust: Trust, state: PathBuf) -> Self {
        let notify = |waiting: &RetryNotice<'_>| {
            let problem = waiting.error.problem();
            let chain = [vec![problem.message], problem.causes].concat().join(": ");
            crate::alive::beat();
            log::warn!("{}: {chain}; again in {:.1} s", waiting.call, waiting.next.as_secs_f32());
            ControlFlow::Continue(())
        };
        let (timeouts, retry, control) = (Timeouts::CALLS, Retry::default(), ControlFlag::default());
        let (url, notify) = (url.to_owned(), Arc::new(notify));
        let (join_token, key, chip, rules) = (None, None, None, None);
        Self { url, trust, join_token, key, chip, rules, timeouts, retry, state, notify, control }
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Options {{ url: {} }}", shown(&self.url))
    }
}

/// An order with its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub order: Order,
    pub etag: Option<String>,
    /// For the grant and the receipt; assigned by the controller.
    pub attempt: u32,
    /// As received, for digests and for storing.
    pub raw: Vec<u8>,
}

/// Bytes that are not a valid order. The event has been emitted, and the same bytes will not be requested again.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedOrder {
    pub etag: Option<String>,
    pub attempt: u32,
    pub raw: Vec<u8>,
    pub problem: Problem,
}

/// The result of asking for an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    Order(Box<Offer>),
    Refused(RefusedOrder),
    /// Nothing yet.
    None,
    /// There will be none: stop asking.
    Gone,
}

/// See the module documentation.
pub struct Session {
    link: Arc<ControllerLink>,
    options: SessionOptions,
    memory: Memory,
    /// ETag of the order that was refused or is finished.
    seen: Mutex<Option<String>>,
    _sender: Option<Sender>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session {{ url: {}, machine: {:?} }}", self.link.client().base(), self.machine())
    }
}

impl Session {
    /// Says hello until it is answered, then starts to send the emitter's events.
    ///
    /// Fails only if retrying cannot help (invalid URL), or if `notify` stopped it.
    pub fn connect(options: SessionOptions, hello: Hello, emitter: &Emitter) -> Result<Self, ControllerError> {
        let client = Client::new(&options.url, &options.trust, &options.timeouts)?;
        let (token, key, chip) = (options.join_token.clone(), options.key.clone(), options.chip.clone());
        let who = Introduced { join_token: token, key, chip };
        let link = Arc::new(ControllerLink::new(client, who, hello, options.control.clone(), emitter.clone()));
        patiently("hello", &options, None, || link.hello(None))?;
        let memory = Memory::new(&options.state);
        let deliver = Batches::new(link.clone());
        let outlet = emitter.outlet(CONTROLLER);
        let sender = outlet.map(|outlet| Sender::start(outlet, &options.retry, deliver)).transpose()?;
        Ok(Self { link, options, memory, seen: Mutex::default(), _sender: sender })
    }

    /// The controller's name for this machine.
    pub fn machine(&self) -> String {
        self.link.machine()
    }

    /// The bearer token of this boot, from the last hello; callers of the agent's own API need it too.
    pub fn token(&self) -> Option<Secret> {
        self.link.token()
    }

    /// The controller's latest `control`.
    pub fn control(&self) -> ControlFlag {
        self.link.control().clone()
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// For the next hello, e.g. once the inventory is there.
    pub fn update_hello(&self, change: impl FnOnce(&mut Hello)) {
        self.link.change_hello(change);
    }

    /// Says hello again at once, to send what [`Session::update_hello`] changed.
    pub fn hello_again(&self) -> Result<(), ControllerError> {
        patiently("hello", &self.options, None, || self.link.hello(None))
    }

    /// Asks for an order; the controller may delay its answer for `wait` (at most 60 s are requested).
    pub fn next_order(&self, wait: Duration) -> Result<Next, ControllerError> {
        let wait = Duration::from_secs(wait.as_secs().min(60));
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reply = patiently("order", &self.options, None, || {
            self.link.authorised(|machine, token| {
                let path = format!("/v1/machines/{machine}/order?wait={}", wait.as_secs());
                let (token, if_none_match) = (Some(token), seen.as_deref());
                let call = Call { path: &path, token, if_none_match, wait, limit: ORDER_LIMIT, ..Call::default() };
                let reply = self.link.client().call(call)?;
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
        match admit(self.options.rules.as_ref(), &reply.body).map(|admitted| admitted.order) {
            Ok(order) => Ok(Next::Order(Box::new(Offer { order, etag, attempt, raw: reply.body }))),
            Err(error) => {
                let problem = error.problem();
                let refused = OrderRefused { order: None, etag: etag.clone(), problem: problem.clone() };
                self.link.emitter().emit(Kind::OrderRefused(refused));
                self.done_with(etag.as_deref());
                Ok(Next::Refused(RefusedOrder { etag, attempt, raw: reply.body, problem }))
            }
        }
    }

    /// The order with this ETag is finished or impossible: only another one is requested.
    pub fn done_with(&self, etag: Option<&str>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = etag.map(str::to_owned);
    }

    /// Permission to destroy what the plan names. Waits for the controller's answer however long it takes; a refusal is
    /// [`ControllerError::Refused`].
    pub fn grant(&self, order: &str, attempt: u32, plan_digest: &str) -> Result<(), ControllerError> {
        let (boot_id, instance) = self.link.instance();
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
                    if self.link.control().is_cancelled() {
                        return Err(ControllerError::Refused { order: order.to_owned(), attempt, problem: None });
                    }
                    std::thread::sleep(self.options.retry.first.max(Duration::from_millis(50)) * 4);
                }
            }
        }
    }

    /// Posts the receipt, after the events before it, and returns once the controller has acknowledged it; after
    /// `deadline` an error. Until then it is stored for a successor of this process, see [`Memory::receipt`].
    pub fn post_receipt(&self, receipt: &Receipt, deadline: Duration) -> Result<(), ControllerError> {
        if let Err(error) = self.memory.keep_receipt(Some(receipt)) {
            log::warn!("the receipt cannot be kept in {}: {error}", self.options.state.display());
        }
        let end = Instant::now() + deadline;
        // Events first, so that the receipt's history is available with it, but only within limits.
        if let Some(outlet) = self.link.emitter().outlet(CONTROLLER) {
            outlet.wait_empty((deadline / 4).min(EVENTS_FIRST));
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
                    let reply: ReceiptReply = self.link.client().call(call)?.json()?;
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

/// Tries until it works, a final error occurs, `notify` stops it, or `end` has passed.
fn patiently<T>(
    name: &'static str,
    options: &SessionOptions,
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
        let mut next = match error.is_other_version() {
            // One of the two sides must be updated, which takes time.
            true => backoff.slowest(error.retry_after()),
            false => backoff.next(error.retry_after()),
        };
        if let Some(end) = end {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            next = next.min(left);
        }
        let waiting = RetryNotice { call: name, tries: backoff.tries, error: &error, next };
        if (options.notify)(&waiting).is_break() {
            let url = shown(&options.url);
            return Err(ControllerError::GaveUp { url, source: Box::new(error) });
        }
        std::thread::sleep(next);
    }
}

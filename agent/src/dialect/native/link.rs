//! Calls with the identity and token from hello; says hello again if the controller no longer knows the token.

use crate::attest::Chip;
use crate::calls::{Call, Client, ControllerError, Reply, segment};
use crate::control::ControlFlag;
use crate::protocol::{Ack, AttestReply, Event, Hello, HelloReply, Secret, attestation, event, hello, version};
use crate::report::{CONTROLLER, Deliver, Emitter};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_sign::{SecretKey, pae};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use ureq::http::Method;

/// The default interval.
const HEARTBEAT_SECONDS: u64 = 10;

#[derive(Debug, Clone)]
struct Credentials {
    machine: String,
    token: Secret,
    /// Increases with every hello, so that if several threads see an expired token, only one says hello again.
    generation: u64,
}

/// How this machine introduces itself.
pub(super) struct Introduced {
    pub join_token: Option<Secret>,
    /// Hello is signed with it.
    pub key: Option<Arc<SecretKey>>,
    pub chip: Option<Chip>,
}

/// What the session and its sender thread share.
pub(super) struct ControllerLink {
    client: Client,
    who: Introduced,
    hello: Mutex<Hello>,
    credentials: Mutex<Option<Credentials>>,
    /// Held during a hello.
    greeting: Mutex<()>,
    control: ControlFlag,
    emitter: Emitter,
    known: AtomicU64,
    heartbeat: AtomicU64,
}

impl ControllerLink {
    pub fn new(client: Client, who: Introduced, hello: Hello, control: ControlFlag, emitter: Emitter) -> Self {
        let (hello, credentials) = (Mutex::new(hello), Mutex::new(None));
        let (known, heartbeat) = (AtomicU64::new(0), AtomicU64::new(HEARTBEAT_SECONDS));
        Self { client, who, hello, credentials, greeting: Mutex::new(()), control, emitter, known, heartbeat }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn control(&self) -> &ControlFlag {
        &self.control
    }

    pub fn emitter(&self) -> &Emitter {
        &self.emitter
    }

    /// As a path segment; empty before the first hello.
    pub fn machine(&self) -> String {
        self.lock_credentials().as_ref().map(|credentials| credentials.machine.clone()).unwrap_or_default()
    }

    pub fn token(&self) -> Option<Secret> {
        self.lock_credentials().as_ref().map(|credentials| credentials.token.clone())
    }

    pub fn change_hello(&self, change: impl FnOnce(&mut Hello)) {
        change(&mut self.hello.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Boot id and agent process, as in hello.
    pub fn instance(&self) -> (String, String) {
        let hello = self.hello.lock().unwrap_or_else(PoisonError::into_inner);
        (hello.boot_id.clone(), hello.instance.clone())
    }

    fn lock_credentials(&self) -> MutexGuard<'_, Option<Credentials>> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says hello once. If another thread has already done so since `generation`, that counts.
    pub fn hello(&self, generation: Option<u64>) -> Result<(), ControllerError> {
        // One at a time; reading the token does not wait for calls or a TPM.
        let _one = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.lock_credentials().as_ref().map_or(0, |credentials| credentials.generation);
        if generation.is_some_and(|generation| generation < current) {
            return Ok(());
        }
        let reply = match self.introduce() {
            Err(error) if error.problem_code() == Some(attestation::REQUIRED) => {
                self.attest()?;
                self.introduce()?
            }
            reply => reply?,
        };
        // The version before the rest, because another version may have any shape.
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
        *self.lock_credentials() = Some(Credentials { machine, token: reply.token, generation: current + 1 });
        Ok(())
    }

    /// A single call. An attestation answers one challenge, and is not sent twice.
    fn introduce(&self) -> Result<Reply, ControllerError> {
        let body = {
            let mut hello = self.hello.lock().unwrap_or_else(PoisonError::into_inner);
            let body = serde_json::to_vec(&*hello);
            hello.attestation = None;
            body.map_err(|source| ControllerError::Body { url: self.client.base().to_owned(), source })?
        };
        let sign = |key: &Arc<SecretKey>| STANDARD.encode(key.sign(&pae(hello::PAYLOAD_TYPE, &body)));
        let (token, signature) = (self.who.join_token.as_ref(), self.who.key.as_ref().map(sign));
        let (body, signature) = (Some(("application/json", body)), signature.as_deref());
        let call = Call { method: Method::POST, path: "/v1/hello", token, body, signature, ..Call::default() };
        self.client.call(call)
    }

    /// The controller requires attestation: the next hello will contain it.
    fn attest(&self) -> Result<(), ControllerError> {
        let url = || self.client.base().to_owned();
        let failed = |source| ControllerError::Attest { url: url(), source };
        let chip = self.who.chip.as_ref().ok_or_else(|| ControllerError::NoChip { url: url() })?;
        let key = self.hello.lock().unwrap_or_else(PoisonError::into_inner).key.clone().unwrap_or_default();
        let request = chip.introduce().map_err(failed)?;
        let body = serde_json::to_vec(&request).map_err(|source| ControllerError::Body { url: url(), source })?;
        let (token, body) = (self.who.join_token.as_ref(), Some(("application/json", body)));
        let call = Call { method: Method::POST, path: "/v1/attestation", token, body, ..Call::default() };
        let reply: AttestReply = self.client.call(call)?.json()?;
        self.speaks(&reply.version, attestation::VERSION)?;
        let answer = chip.answer(&reply, &key).map_err(failed)?;
        self.change_hello(|hello| hello.attestation = Some(answer));
        Ok(())
    }

    /// A call with machine and token; if the token is no longer known, says hello and repeats it.
    pub fn authorised<T>(
        &self,
        call: impl Fn(&str, &Secret) -> Result<T, ControllerError>,
    ) -> Result<T, ControllerError> {
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

    pub fn post<T: serde::de::DeserializeOwned>(
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

    pub fn speaks(&self, found: &str, expected: &'static str) -> Result<(), ControllerError> {
        let url = || self.client.base().to_owned();
        version::check(found, expected).map_err(|source| ControllerError::Version { url: url(), source })
    }
}

/// Sends events to the controller.
pub(super) struct Batches {
    link: Arc<ControllerLink>,
}

impl Batches {
    pub fn new(link: Arc<ControllerLink>) -> Self {
        Self { link }
    }
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

//! The calls that the agent makes to Ironic, on a thread of its own: inspection, lookup, heartbeats.

use super::client::IronicClient;
use super::error::IronicError;
use super::inspect;
use super::service::{Service, router};
use super::state::IronicState;
use crate::api::Listener;
use crate::bell::Bell;
use crate::calls::shown;
use crate::config::Ironic;
use crate::error::Coded;
use crate::http::{Backoff, Retry, Trust};
use crate::net::lock_down;
use crate::report::Emitter;
use crate::report::stage::{Failure, Stages};
use hwinventory::Inventory;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Same back-off between lookups as ironic-python-agent: up to a minute.
const LOOKUP: Retry = Retry { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// Minimum interval between heartbeats, however many commands end.
const CLOSEST: Duration = Duration::from_secs(5);
/// Interval after a failed heartbeat.
const AGAIN: Duration = Duration::from_secs(7);

/// When the next heartbeat is due. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Beat(Arc<(Mutex<Wanted>, Condvar)>);

#[derive(Debug, Default)]
struct Wanted {
    now: bool,
    silent: bool,
    locked: bool,
}

impl Beat {
    fn set(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.0.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.1.notify_all();
    }

    /// A command has ended: the conductor continues only after a heartbeat.
    pub fn now(&self) {
        self.set(|wanted| wanted.now = true);
    }

    /// The machine shuts down: the token is no longer valid.
    pub fn stop(&self) {
        self.set(|wanted| wanted.silent = true);
    }

    /// The API closes too.
    pub fn lock_down(&self) {
        self.set(|wanted| (wanted.silent, wanted.locked) = (true, true));
    }

    /// Waits until a heartbeat is due. Returns false if there will be no more, and true early if one is requested.
    fn wait(&self, patience: Duration) -> bool {
        let wanted = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(wanted, patience, |wanted| !wanted.now && !wanted.silent);
        let mut wanted = waited.unwrap_or_else(PoisonError::into_inner).0;
        wanted.now = false;
        !wanted.silent
    }

    fn is_locked(&self) -> bool {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).locked
    }
}

/// What the thread works with.
pub struct Worker {
    pub config: Ironic,
    pub trust: Trust,
    pub directory: PathBuf,
    pub boot_id: String,
    pub macs: Vec<String>,
    pub inventory: Inventory,
    /// Where the API listens: on all addresses, except in tests.
    pub listen: IpAddr,
    pub emitter: Emitter,
    pub bell: Bell,
    pub service: Service,
    pub failed: Arc<Mutex<Option<Failure>>>,
}

impl Worker {
    pub fn start(self) -> Result<(), IronicError> {
        let thread = std::thread::Builder::new().name("ironic".to_owned());
        thread.spawn(move || self.run()).map(drop).map_err(|source| IronicError::Thread { source })
    }

    fn run(self) {
        let mut stages = Stages::new(self.emitter.clone());
        if let Err(failure) = self.converse(&mut stages) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            self.bell.ring();
        }
    }

    fn converse(&self, stages: &mut Stages) -> Result<(), Failure> {
        let client = IronicClient::new(&self.config.api_urls, &self.trust, self.config.request_id.clone());
        let node = match self.config.inspection() {
            None => None,
            Some(url) => {
                let body = inspect::body(&self.inventory, &self.config, &self.service.log);
                stages.run("inspection", || inspect::post(&client, &url, &body, self.config.api_urls.is_empty()))?
            }
        };
        if self.config.api_urls.is_empty() {
            log::info!("inspected; Ironic will power this machine off, or reboot it for the next step");
            return Ok(());
        }
        let mut state = match IronicState::load(&self.directory, &self.boot_id).filter(|state| state.token.is_some()) {
            Some(state) => {
                log::info!("an earlier agent of this boot was looked up as node {}", state.node);
                state
            }
            None => stages.run("lookup", || self.look_up(&client, node.as_deref()))?,
        };
        *self.service.installed.lock().unwrap_or_else(PoisonError::into_inner) = state.installed.clone();
        let (_listener, callback) = stages.run("ironic-api", || self.listen(&client, &mut state))?;
        self.beat(&client, &state, &callback);
        Ok(())
    }

    /// Tries for ever: a node may not be waiting for an agent yet.
    fn look_up(&self, client: &IronicClient, node: Option<&str>) -> Result<IronicState, IronicError> {
        let mut backoff = Backoff::new(&LOOKUP);
        let found = loop {
            match client.check_version().and_then(|()| client.lookup(&self.macs, node)) {
                Ok(found) => break found,
                Err(error) => wait(&mut backoff, "lookup", &error),
            }
        };
        // With virtual media the token is given in advance.
        let token = self.config.token.clone().or(found.token).ok_or(IronicError::TokenGone)?;
        let (node, heartbeat_seconds) = (found.node, found.heartbeat_timeout.as_secs());
        log::info!("known to Ironic as node {node}");
        let boot_id = self.boot_id.clone();
        let state = IronicState { boot_id, node, token: Some(token), heartbeat_seconds, ..IronicState::default() };
        state.save(&self.directory)?;
        Ok(state)
    }

    fn listen(&self, client: &IronicClient, state: &mut IronicState) -> Result<(Listener, String), IronicError> {
        let address = match (self.config.advertise, state.address) {
            (Some((address, _)), _) => address,
            // Ironic refuses a changed address within a boot.
            (None, Some(address)) => address,
            (None, None) => towards(client.url())?,
        };
        state.certify(address)?;
        state.save(&self.directory)?;
        let service = Service { token: state.token.clone().ok_or(IronicError::TokenGone)?, ..self.service.clone() };
        let place = SocketAddr::new(self.listen, self.config.listen_port);
        let listener = Listener::start(place, state.tls()?, router(service), "ironic-api")
            .map_err(|error| IronicError::Thread { source: std::io::Error::other(error) })?;
        let port = self.config.advertise.and_then(|(_, port)| port).unwrap_or(listener.address().port());
        let callback = format!("https://{}", SocketAddr::new(address, port));
        log::info!("Ironic calls {callback}");
        Ok((listener, callback))
    }

    fn beat(&self, client: &IronicClient, state: &IronicState, callback: &str) {
        let Some(token) = &state.token else { return };
        let mut spoken: Option<Instant> = None;
        loop {
            let since = spoken.map_or(CLOSEST, |spoken| spoken.elapsed());
            std::thread::sleep(CLOSEST.saturating_sub(since));
            spoken = Some(Instant::now());
            let next = match client.heartbeat(&state.node, token, callback, &state.certificate) {
                Ok(()) => Duration::from_secs(state.heartbeat_seconds).mul_f64(0.3 + 0.3 * random()),
                Err(error) => {
                    let problem = error.problem();
                    log::warn!("heartbeat: {}", [vec![problem.message], problem.causes].concat().join(": "));
                    AGAIN
                }
            };
            if !self.service.beat.wait(next) {
                break;
            }
        }
        // The API stays open for a conductor that still asks, until the machine shuts down or must be unreachable.
        while !self.service.beat.is_locked() {
            std::thread::sleep(CLOSEST);
        }
        // The response must have been sent.
        std::thread::sleep(Duration::from_secs(1));
        log::warn!("locked down: Ironic's API for this machine is closed");
        // Tests must not change the network of their host.
        if !self.listen.is_loopback() {
            match lock_down() {
                Ok(links) => {
                    log::warn!("locked down: {} set down; the network is unreachable from now on", links.join(", "))
                }
                Err(error) => log::error!("locked down, but: {error}"),
            }
        }
    }
}

/// From 0 to 1; without randomness, the middle.
fn random() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}

/// Reports the error, and waits for the next attempt.
pub fn wait(backoff: &mut Backoff, what: &str, error: &IronicError) {
    let wait = backoff.next(None);
    let problem = error.problem();
    let chain = [vec![problem.message], problem.causes].concat().join(": ");
    log::warn!("{what}: {chain}; again in {:.0} s", wait.as_secs_f32());
    if let Some(hint) = problem.hint.filter(|_| backoff.tries % 8 == 1) {
        log::warn!("  what to do: {hint}");
    }
    std::thread::sleep(wait);
}

/// This machine's source address for a URL, from the kernel's routes. Nothing is sent.
fn towards(url: &str) -> Result<IpAddr, IronicError> {
    let failed = |source| IronicError::NoAddress { url: shown(url), source };
    let uri: ureq::http::Uri = url.parse().map_err(|_| failed(std::io::Error::other("it is not a URL")))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut ends = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs().map_err(failed)?;
    let end = ends.next().ok_or_else(|| failed(std::io::Error::other("the name has no address")))?;
    let any: SocketAddr = if end.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.connect(end).map_err(failed)?;
    Ok(socket.local_addr().map_err(failed)?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_that_the_api_sees() {
        assert_eq!(towards("http://127.0.0.1:6385").unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert!(towards("http://").is_err());
    }

    #[test]
    fn a_beat_that_is_asked_for_is_not_waited_for() {
        let beat = Beat::default();
        beat.now();
        assert!(beat.wait(Duration::from_secs(3600)));
        assert!(beat.wait(Duration::ZERO), "the regular one");
        beat.stop();
        assert!(!beat.wait(Duration::from_secs(3600)));
    }
}

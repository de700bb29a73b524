//! The client's state machine (RFC 2131, 4.4) without I/O: takes events and the time, returns actions.
//!
//! Times are durations since an arbitrary fixed instant. Randomness comes from a seed.

use super::message::{Ask, Kind, Lease, Reply, build};
use crate::config::{ClientId, Mac};
use dhcproto::v4::MessageType;
use std::net::Ipv4Addr;
use std::time::Duration;

/// RFC 2131 starts at four seconds. Here a machine is waiting, and the first packet is often lost while a switch port
/// comes up.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Number of requests for an offer before it is abandoned.
const REQUESTS: u32 = 4;
/// Time from the first ARP probe until the address is used. An owner answers within milliseconds; RFC 5227 takes
/// seconds, for which every machine would wait at every boot. Later conflicts are detected too.
const CHECK: Duration = Duration::from_millis(120);
/// How long conflicts are still detected once the address is in use.
const GUARD: Duration = Duration::from_secs(5);
/// Pause before another address is requested. The second is RFC 2131's (3.1, 5); the first is short, because a machine
/// is waiting.
const AFTER_DECLINE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Pause after a NAK: a server and its failover peer that disagree must not be asked without pause.
const AFTER_NAK: Duration = Duration::from_secs(1);
/// RFC 2131, 4.4.5: half of the remaining time, but at least a minute, between renewals.
const RENEW_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// As an Ethernet broadcast, without a source address.
    Broadcast(Vec<u8>),
    /// From our address, to this server or to everyone.
    Send(Vec<u8>, Ipv4Addr),
    /// Ask the network who has this address.
    Probe(Ipv4Addr),
    /// Use this lease from now on; it replaces the previous one.
    Configure(Lease),
    /// The lease has ended.
    Withdraw,
    /// A message for the console.
    Say(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Selecting,
    Requesting(Lease),
    /// Granted; checking that nobody else uses the address.
    Checking(Lease),
    Bound(Lease),
    Renewing(Lease),
    Rebinding(Lease),
}

#[derive(Debug, Clone)]
pub struct Machine {
    mac: Mac,
    client_id: ClientId,
    random: u64,
    phase: Phase,
    xid: u32,
    /// Start of the current exchange, for the `secs` field.
    began: Duration,
    /// Start of the lease or of the renewal that replaced it.
    leased: Duration,
    attempt: u32,
    due: Duration,
    /// Time of the first ARP probe.
    probed: Duration,
    /// The host that already has the offered address.
    rival: Option<Mac>,
    declined: usize,
}

impl Machine {
    /// A state machine that is due at once.
    pub fn new(mac: Mac, client_id: ClientId, seed: u64, now: Duration) -> Self {
        let mut machine = Self {
            mac,
            client_id,
            random: seed | 1,
            phase: Phase::Selecting,
            xid: 0,
            began: now,
            leased: now,
            attempt: 0,
            due: now,
            probed: now,
            rival: None,
            declined: 0,
        };
        machine.xid = machine.next_random() as u32;
        machine
    }

    /// When [`Machine::tick`] must be called next.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Whether packets must be received on an interface without an address.
    pub fn unconfigured(&self) -> bool {
        matches!(self.phase, Phase::Selecting | Phase::Requesting(_) | Phase::Checking(_))
    }

    /// The address that must be checked for conflicts.
    pub fn watched(&self, now: Duration) -> Option<Ipv4Addr> {
        match &self.phase {
            Phase::Requesting(lease) | Phase::Checking(lease) => Some(lease.address),
            Phase::Bound(lease) if now < self.probed + GUARD => Some(lease.address),
            _ => None,
        }
    }

    /// Another host has the watched address.
    pub fn taken(&mut self, now: Duration, rival: Mac) -> Vec<Action> {
        match self.phase.clone() {
            // Reported once it is granted: only then can it be declined.
            Phase::Requesting(_) => {
                self.rival = Some(rival);
                Vec::new()
            }
            Phase::Checking(lease) => self.decline(now, &lease, rival),
            Phase::Bound(lease) => {
                let mut actions = vec![Action::Withdraw];
                actions.extend(self.decline(now, &lease, rival));
                actions
            }
            _ => Vec::new(),
        }
    }

    fn decline(&mut self, now: Duration, lease: &Lease, rival: Mac) -> Vec<Action> {
        let say = format!("{} has {} already: declined, another one is asked for", rival, lease.address);
        let message = self.ask(now, MessageType::Decline, None, Some(lease.address), Some(lease.server));
        let pause = AFTER_DECLINE.get(self.declined).or(AFTER_DECLINE.last()).copied().unwrap_or_default();
        self.declined += 1;
        self.restart(now, pause);
        vec![Action::Say(say), Action::Broadcast(message)]
    }

    /// Carrier came back: a pending request is repeated at once, a lease in use continues.
    pub fn carrier(&mut self, now: Duration) {
        if self.unconfigured() {
            self.restart(now, Duration::ZERO);
        }
    }

    /// Call this when [`Machine::due`] is reached.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        if now < self.due {
            return Vec::new();
        }
        match self.phase.clone() {
            Phase::Selecting => vec![self.discover(now)],
            Phase::Requesting(offer) if self.attempt < REQUESTS => vec![self.request(now, &offer)],
            Phase::Requesting(offer) => {
                let say = Action::Say(format!("server {} offered {} and fell silent", offer.server, offer.address));
                self.restart(now, Duration::ZERO);
                vec![say, self.discover(now)]
            }
            Phase::Checking(lease) => {
                let actions = self.bind(self.leased, &lease);
                self.due = self.due.max(now + AFTER_NAK);
                actions
            }
            Phase::Bound(lease) => {
                self.begin(now);
                self.renew(now, lease)
            }
            Phase::Renewing(lease) | Phase::Rebinding(lease) => self.renew(now, lease),
        }
    }

    /// Handles a valid reply for our MAC.
    pub fn receive(&mut self, now: Duration, reply: &Reply) -> Vec<Action> {
        if reply.xid != self.xid {
            return Vec::new();
        }
        match (&self.phase, reply.kind, &reply.lease) {
            (Phase::Selecting, Kind::Offer, Some(offer)) => {
                self.phase = Phase::Requesting(offer.clone());
                self.attempt = 0;
                self.rival = None;
                self.probed = now;
                vec![Action::Probe(offer.address), self.request(now, offer)]
            }
            (Phase::Requesting(offer), Kind::Ack, Some(lease)) if reply.server == offer.server => {
                self.check(now, lease)
            }
            (Phase::Renewing(old), Kind::Ack, Some(lease)) if reply.server == old.server => self.bind(now, lease),
            (Phase::Rebinding(_), Kind::Ack, Some(lease)) => self.bind(now, lease),
            (Phase::Requesting(offer), Kind::Nak, _) if reply.server == offer.server => {
                let say = self.refused(reply);
                self.restart(now, AFTER_NAK);
                vec![say]
            }
            (Phase::Renewing(_) | Phase::Rebinding(_), Kind::Nak, _) => {
                let say = self.refused(reply);
                self.restart(now, AFTER_NAK);
                vec![say, Action::Withdraw]
            }
            _ => Vec::new(),
        }
    }

    fn refused(&self, reply: &Reply) -> Action {
        let why = reply.text.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        Action::Say(format!("server {} refused{why}", reply.server))
    }

    /// Between the grant and its use, an owner of the address has time to answer.
    fn check(&mut self, now: Duration, lease: &Lease) -> Vec<Action> {
        if let Some(rival) = self.rival.take() {
            return self.decline(now, lease, rival);
        }
        self.leased = now;
        self.phase = Phase::Checking(lease.clone());
        self.due = (self.probed + CHECK).max(now + CHECK / 2);
        vec![Action::Probe(lease.address)]
    }

    fn bind(&mut self, leased: Duration, lease: &Lease) -> Vec<Action> {
        self.leased = leased;
        self.attempt = 0;
        self.due = leased.saturating_add(lease.renew);
        self.phase = Phase::Bound(lease.clone());
        vec![Action::Configure(lease.clone())]
    }

    /// Starts over after `pause`.
    fn restart(&mut self, now: Duration, pause: Duration) {
        self.phase = Phase::Selecting;
        self.attempt = 0;
        self.due = now + pause;
        self.begin(now);
    }

    /// Starts a new exchange with a transaction id of its own.
    fn begin(&mut self, now: Duration) {
        self.xid = self.next_random() as u32;
        self.began = now;
    }

    fn discover(&mut self, now: Duration) -> Action {
        self.pause(now);
        Action::Broadcast(self.ask(now, MessageType::Discover, None, None, None))
    }

    fn request(&mut self, now: Duration, offer: &Lease) -> Action {
        self.pause(now);
        Action::Broadcast(self.ask(now, MessageType::Request, None, Some(offer.address), Some(offer.server)))
    }

    fn renew(&mut self, now: Duration, lease: Lease) -> Vec<Action> {
        let after = |span: Duration| self.leased.saturating_add(span);
        let (rebind, expiry) = (after(lease.rebind), lease.expiry().map_or(Duration::MAX, after));
        if now >= expiry {
            let say = Action::Say(format!("the lease of {} ran out and no server answers", lease.address));
            self.restart(now, Duration::ZERO);
            return vec![say, Action::Withdraw, self.discover(now)];
        }
        let (to, until) = if now < rebind { (lease.server, rebind) } else { (Ipv4Addr::BROADCAST, expiry) };
        let left = until.saturating_sub(now);
        self.due = now + (left / 2).max(RENEW_PAUSE.min(left));
        let message = self.ask(now, MessageType::Request, Some(lease.address), None, None);
        self.phase = if now < rebind { Phase::Renewing(lease) } else { Phase::Rebinding(lease) };
        vec![Action::Send(message, to)]
    }

    fn ask(
        &self,
        now: Duration,
        kind: MessageType,
        current: Option<Ipv4Addr>,
        requested: Option<Ipv4Addr>,
        server: Option<Ipv4Addr>,
    ) -> Vec<u8> {
        let seconds = u16::try_from(now.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX);
        let client_id = &self.client_id;
        build(&Ask { kind, xid: self.xid, mac: self.mac, seconds, client_id, current, requested, server })
    }

    /// Exponential back-off, each pause shortened or lengthened by up to an eighth, so that the machines of a rack do
    /// not stay in lockstep.
    fn pause(&mut self, now: Duration) {
        let pause = (FIRST_PAUSE * (1 << self.attempt.min(5))).min(LONGEST_PAUSE);
        let eighth = pause.as_millis() as u64 / 8;
        let jitter = Duration::from_millis(self.next_random() % (2 * eighth + 1));
        self.due = now + pause + jitter - Duration::from_millis(eighth);
        self.attempt += 1;
    }

    /// xorshift64: good enough for jitter and transaction ids.
    fn next_random(&mut self) -> u64 {
        let mut x = self.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random = x;
        // The upper half is mixed better, and small seeds start with small numbers.
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

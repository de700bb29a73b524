//! The DHCPv6 client's state machine (RFC 8415, 18.2) without I/O: takes events and the time, returns actions.

use super::duid::Duid;
use super::message::{Ask6, Lease6, Reply6, ReplyType, build};
use crate::config::Mac;
use dhcproto::v6::MessageType;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// Number of requests for an offer before it is abandoned.
const REQUESTS: u32 = 4;
const RENEW_PAUSE: Duration = Duration::from_secs(60);
/// Pause after a refusal, or after an address conflict.
const AFTER_REFUSAL: Duration = Duration::from_secs(10);

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Addresses,
    /// Name and time servers.
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action6 {
    /// To all servers on the link.
    Send(Vec<u8>),
    Configure(Lease6),
    Withdraw,
    Say(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Soliciting,
    Requesting(Lease6),
    Informing,
    /// Has settings without a lifetime.
    Done,
    Bound(Lease6),
    Renewing(Lease6),
}

#[derive(Debug, Clone)]
pub struct Machine6 {
    duid: Duid,
    mac: Mac,
    need: Need,
    random: u64,
    phase: Phase,
    xid: [u8; 3],
    began: Duration,
    leased: Duration,
    attempt: u32,
    due: Duration,
    /// The last reported refusal, so that each is reported once.
    refused: Option<String>,
}

impl Machine6 {
    pub fn new(duid: Duid, mac: Mac, need: Need, seed: u64, now: Duration) -> Self {
        let mut machine = Self {
            duid,
            mac,
            need,
            random: seed | 1,
            phase: Phase::Soliciting,
            xid: [0; 3],
            began: now,
            leased: now,
            attempt: 0,
            due: now,
            refused: None,
        };
        machine.restart(now, Duration::ZERO);
        machine
    }

    pub fn need(&self) -> Need {
        self.need
    }

    pub fn due(&self) -> Duration {
        self.due
    }

    /// Carrier came back: a pending request is repeated at once.
    pub fn carrier(&mut self, now: Duration) {
        if matches!(self.phase, Phase::Soliciting | Phase::Requesting(_) | Phase::Informing) {
            self.restart(now, Duration::ZERO);
        }
    }

    pub fn tick(&mut self, now: Duration) -> Vec<Action6> {
        if now < self.due {
            return Vec::new();
        }
        match self.phase.clone() {
            Phase::Soliciting => vec![self.send(now, MessageType::Solicit, None)],
            Phase::Informing => vec![self.send(now, MessageType::InformationRequest, None)],
            Phase::Requesting(offer) if self.attempt < REQUESTS => {
                vec![self.send(now, MessageType::Request, Some(&offer))]
            }
            Phase::Requesting(_) => {
                self.restart(now, Duration::ZERO);
                vec![self.send(now, MessageType::Solicit, None)]
            }
            Phase::Done => {
                self.due = Duration::MAX;
                Vec::new()
            }
            Phase::Bound(lease) => {
                self.begin(now);
                self.renew(now, lease)
            }
            Phase::Renewing(lease) => self.renew(now, lease),
        }
    }

    pub fn receive(&mut self, now: Duration, reply: &Reply6) -> Vec<Action6> {
        if reply.xid != self.xid {
            return Vec::new();
        }
        let granted = !reply.lease.addresses.is_empty();
        match (&self.phase, reply.kind) {
            (Phase::Soliciting, ReplyType::Advertise) if granted => {
                self.phase = Phase::Requesting(reply.lease.clone());
                self.begin(now);
                vec![self.send(now, MessageType::Request, Some(&reply.lease))]
            }
            (Phase::Requesting(_), ReplyType::Reply) if granted => self.bind(now, &reply.lease),
            (Phase::Renewing(_), ReplyType::Reply) if granted => self.bind(now, &reply.lease),
            (Phase::Informing, ReplyType::Reply) => {
                self.phase = Phase::Done;
                self.due = Duration::MAX;
                vec![Action6::Configure(reply.lease.clone())]
            }
            (Phase::Soliciting, ReplyType::Advertise) => self.refusal(reply),
            (Phase::Requesting(_), ReplyType::Reply) => {
                self.restart(now, AFTER_REFUSAL);
                self.refusal(reply)
            }
            (Phase::Renewing(_), ReplyType::Reply) => {
                self.restart(now, Duration::from_secs(1));
                let mut actions = self.refusal(reply);
                actions.push(Action6::Withdraw);
                actions
            }
            _ => Vec::new(),
        }
    }

    /// Another host has an address of the lease.
    pub fn taken(&mut self, now: Duration) -> Vec<Action6> {
        let (Phase::Bound(lease) | Phase::Renewing(lease)) = self.phase.clone() else { return Vec::new() };
        self.begin(now);
        let decline = self.send(now, MessageType::Decline, Some(&lease));
        self.restart(now, AFTER_REFUSAL);
        vec![Action6::Withdraw, decline]
    }

    fn refusal(&mut self, reply: &Reply6) -> Vec<Action6> {
        let why = reply.refusal.clone().unwrap_or_else(|| "no address".to_owned());
        if self.refused.as_ref() == Some(&why) {
            return Vec::new();
        }
        self.refused = Some(why.clone());
        vec![Action6::Say(format!("a server has nothing for this machine: {why}"))]
    }

    fn bind(&mut self, now: Duration, lease: &Lease6) -> Vec<Action6> {
        self.leased = now;
        self.refused = None;
        self.due = now.saturating_add(lease.renew);
        self.phase = Phase::Bound(lease.clone());
        vec![Action6::Configure(lease.clone())]
    }

    fn renew(&mut self, now: Duration, lease: Lease6) -> Vec<Action6> {
        let after = |span: Duration| self.leased.saturating_add(span);
        let end = lease.seconds.map_or(Duration::MAX, |seconds| after(Duration::from_secs(seconds.into())));
        let rebind = after(lease.rebind);
        if now >= end {
            self.restart(now, Duration::ZERO);
            let say = Action6::Say("the lease ran out and no server answers".to_owned());
            return vec![say, Action6::Withdraw, self.send(now, MessageType::Solicit, None)];
        }
        let (kind, until) = if now < rebind { (MessageType::Renew, rebind) } else { (MessageType::Rebind, end) };
        let message = self.send(now, kind, Some(&lease));
        let left = until.saturating_sub(now);
        self.due = now + (left / 2).max(RENEW_PAUSE.min(left));
        self.phase = Phase::Renewing(lease);
        vec![message]
    }

    fn restart(&mut self, now: Duration, pause: Duration) {
        self.phase = if self.need == Need::Addresses { Phase::Soliciting } else { Phase::Informing };
        self.begin(now);
        self.due = now + pause;
    }

    /// Starts a new exchange with a transaction id of its own.
    fn begin(&mut self, now: Duration) {
        let [a, b, c, ..] = self.next_random().to_be_bytes();
        self.xid = [a, b, c];
        self.began = now;
        self.attempt = 0;
    }

    fn send(&mut self, now: Duration, kind: MessageType, lease: Option<&Lease6>) -> Action6 {
        let pause = (FIRST_PAUSE * (1 << self.attempt.min(5))).min(LONGEST_PAUSE);
        let eighth = pause.as_millis() as u64 / 8;
        let jitter = Duration::from_millis(self.next_random() % (2 * eighth + 1));
        self.due = now + pause + jitter - Duration::from_millis(eighth);
        self.attempt += 1;
        // A rebind goes to every server.
        let server = lease.map(|lease| lease.server.as_slice()).filter(|_| kind != MessageType::Rebind);
        let addresses = lease.map(|lease| lease.addresses.as_slice()).unwrap_or_default();
        let elapsed = now.saturating_sub(self.began);
        let (xid, duid, mac) = (self.xid, &self.duid, self.mac);
        Action6::Send(build(&Ask6 { kind, xid, duid, mac, elapsed, server, addresses }))
    }

    /// xorshift64, for jitter and transaction ids.
    fn next_random(&mut self) -> u64 {
        let mut x = self.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

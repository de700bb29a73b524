//! The conformance kit: plays one side of the protocol and checks, rule by rule, whether the other side follows it.
//!
//! [`check`] plays an agent against a controller: no disk is touched, and the machine is simulated; a grant from the
//! controller is not used. [`check_agent`] plays an orchestrator against an agent's API: nothing is applied, cancelled
//! or powered off, and the only order that it places fits no disk.

mod callee;
mod points;
mod sheet;
mod voice;

use crate::protocol::Secret;
use burin_http::Timeouts;
use burin_http::Trust;
use serde::Serialize;

/// The other side, and the identity to use.
#[derive(Debug, Clone)]
pub struct Peer {
    pub url: String,
    pub join_token: Option<Secret>,
    /// SMBIOS UUID of the simulated machine; an order placed for it is fetched, granted and answered with a receipt.
    pub system_uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleVerdict {
    Right,
    Wrong,
    /// A precondition is missing; the detail says which.
    Untried,
}

/// A rule of docs/protocol.md, and whether the other side follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Stable, e.g. `events.gap`.
    pub name: &'static str,
    pub rule: &'static str,
    pub verdict: RuleVerdict,
    /// What was received instead, or why it was not tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Runs once through the protocol. Takes seconds and never retries, so that the first response is what counts.
pub fn check(subject: &Peer, trust: &Trust) -> Vec<Point> {
    let agent = burin_http::agent(trust, &Timeouts::CALLS);
    points::play(&voice::Voice::new(agent, &subject.url, subject.join_token.clone()), subject)
}

/// Like [`check`], from the other side: `url` is an agent's API, `token` that of its boot.
pub fn check_agent(url: &str, token: &Secret, trust: &Trust) -> Vec<Point> {
    let agent = burin_http::agent(trust, &Timeouts::CALLS);
    callee::play(&voice::Voice::new(agent, url, None), token)
}

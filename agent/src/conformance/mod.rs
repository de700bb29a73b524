//! The conformance kit: plays one side of the protocol and checks, rule by rule, whether the other side keeps to it.
//!
//! [`check`] is an agent against a controller: no disk is looked at, and the machine is made up; a grant that a
//! controller gives to it is used for nothing. [`check_agent`] is an orchestrator against an agent's API: nothing is
//! applied, cancelled or switched off, and the one order that it places fits no disk.

mod callee;
mod points;
mod sheet;
mod voice;

use crate::protocol::Secret;
use burin_http::Timeouts;
use burin_http::Trust;
use serde::Serialize;

/// Whom to play against, and as whom.
#[derive(Debug, Clone)]
pub struct Peer {
    pub url: String,
    pub join_token: Option<Secret>,
    /// SMBIOS UUID of the made-up machine; an order placed for it is asked for, granted and answered with a receipt.
    pub system_uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleVerdict {
    Right,
    Wrong,
    /// Something else has to be there first; the detail says what.
    Untried,
}

/// One rule of docs/protocol.md and how the other side keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Stable, e.g. `events.gap`.
    pub name: &'static str,
    pub rule: &'static str,
    pub verdict: RuleVerdict,
    /// What came instead, or why it was not tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Plays once through the protocol. Takes seconds; never retries, so that what comes is what is judged.
pub fn check(subject: &Peer, trust: &Trust) -> Vec<Point> {
    let agent = burin_http::agent(trust, &Timeouts::CALLS);
    points::play(&voice::Voice::new(agent, &subject.url, subject.join_token.clone()), subject)
}

/// As [`check`], from the other side: `url` is an agent's API, `token` that of its boot.
pub fn check_agent(url: &str, token: &Secret, trust: &Trust) -> Vec<Point> {
    let agent = burin_http::agent(trust, &Timeouts::CALLS);
    callee::play(&voice::Voice::new(agent, url, None), token)
}

//! Plays an agent against somebody's controller and tells, point by point, what of the protocol it keeps.
//!
//! No disk is looked at, and the machine is made up. A grant that a controller gives to it is used for nothing.

mod points;
mod voice;

use super::http::{self, Timeouts};
use super::trust::Trust;
use crate::protocol::Secret;
use serde::Serialize;

/// Whom to play against, and as whom.
#[derive(Debug, Clone)]
pub struct Subject {
    pub url: String,
    pub join_token: Option<Secret>,
    /// SMBIOS UUID of the made-up machine; an order placed for it is asked for, granted and answered with a receipt.
    pub system_uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Right,
    Wrong,
    /// Something else has to be there first; the detail says what.
    Untried,
}

/// One rule of docs/protocol.md and how the controller keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Stable, e.g. `events.gap`.
    pub name: &'static str,
    pub rule: &'static str,
    pub verdict: Verdict,
    /// What came instead, or why it was not tried.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Plays once through the protocol. Takes seconds; never retries, so that what comes is what is judged.
pub fn check(subject: &Subject, trust: &Trust) -> Vec<Point> {
    let agent = http::agent(trust, &Timeouts::CALLS);
    points::play(&voice::Voice::new(agent, subject), subject)
}

//! `grant/v1`: permission to overwrite disks, given once for each (order, attempt).

use super::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const VERSION: &str = "grant/v1";

/// Body of `POST /v1/machines/{machine}/grants`. Sent before the first byte of a disk is changed.
///
/// The same five values get the same answer again (the reply may have been lost). Another `instance` is another
/// attempt: an agent that crashed half-way does not inherit its predecessor's grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantRequest {
    /// Always `grant/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub order: String,
    /// As in the reply with the order, from 1.
    pub attempt: u32,
    pub plan_digest: String,
    pub boot_id: String,
    pub instance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantReply {
    /// Always `grant/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub decision: Decision,
    /// The reason, if not granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Go ahead: what the plan names may be destroyed now.
    Granted,
    /// Never for this order and attempt.
    Refused,
    /// Not yet, e.g. because somebody has to approve: ask again.
    Wait,
}

//! Types of the agent's own API, such as `status/v1`. docs/protocol.md describes how they are used.

use super::{Control, Identity, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const VERSION: &str = "status/v1";

/// The phase of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Network or inventory are not available yet.
    #[default]
    Starting,
    /// Ready, without an order.
    Idle,
    /// There is an order; nothing has been done.
    Ordered,
    /// There is a plan for it; nothing has been done.
    Planned,
    /// Disks are being changed.
    Applying,
    /// The last order succeeded.
    Done,
    /// The last order failed; the receipt has the problem.
    Failed,
}

/// Reply to `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Always `status/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub identity: Identity,
    pub boot_id: String,
    pub agent_version: String,
    pub phase: Phase,
    /// The current stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    pub control: Control,
    /// Why the last order failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Highest event sequence.
    pub last_event: u64,
}

/// Body of `POST /v1/apply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyRequest {
    /// Digest of the reviewed plan; any other plan is refused.
    pub plan_digest: String,
}

/// Reply to `POST /v1/apply`: it has begun; follow the events or `GET /v1/receipt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyReply {
    pub order: String,
    pub plan_digest: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    Reboot,
    Poweroff,
    /// Start the installed system's kernel, bypassing the firmware.
    Kexec,
}

/// Body of `POST /v1/power`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PowerRequest {
    pub action: Power,
}

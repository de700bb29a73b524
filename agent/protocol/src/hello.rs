//! `hello/v1`: an agent introduces its machine, a controller answers with a name for it and a token.

use super::attestation::Attestation;
use super::event::Control;
use super::{Problem, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const VERSION: &str = "hello/v1";

/// Body of `POST /v1/hello`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// Always `hello/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub identity: Identity,
    /// `/proc/sys/kernel/random/boot_id` of this boot of the ramdisk.
    pub boot_id: String,
    /// Random, new for each start of the agent process within a boot.
    pub instance: String,
    pub agent_version: String,
    /// What this agent supports, e.g. `format.raw`, `compression.zstd`; a controller may choose an order by it.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// `inventory/v1`, or null while it is still being taken.
    #[serde(default)]
    pub inventory: serde_json::Value,
    /// Why the previous agent process of this boot ended, if it ended abnormally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_crash: Option<serde_json::Value>,
    /// How far the previous agent process of this boot got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_state: Option<LastState>,
    /// Where the agent itself can be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<ApiEndpoint>,
    /// The machine's key of this boot: base64 of an Ed25519 SubjectPublicKeyInfo. It signs this body, in the header
    /// `Burin-Signature`, and receipts. An order that names it is valid for this boot only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The TPM's attestation, if the controller asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
}

/// What hello's signature covers: the DSSE pre-authentication encoding of this type and the body.
pub const PAYLOAD_TYPE: &str = "application/vnd.burin.hello+json";

/// The header of a hello with the base64 of its signature.
pub const SIGNATURE_HEADER: &str = "burin-signature";

/// The names of a machine, strongest first. Placeholder values (all zeros, "To be filled by O.E.M.") are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// SMBIOS type 1 UUID, lower case with hyphens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// SMBIOS type 1 serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Permanent addresses of physical NICs, lower case with colons.
    #[serde(default)]
    pub macs: Vec<String>,
    /// The NIC that booted (BOOTIF).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_mac: Option<String>,
}

impl Identity {
    /// The CloudEvents `source` of this machine: a URN of its UUID, or a relative reference with its MAC or boot id.
    pub fn source(&self, boot_id: &str) -> String {
        if let Some(uuid) = &self.system_uuid {
            return format!("urn:uuid:{uuid}");
        }
        match self.boot_mac.as_ref().or_else(|| self.macs.first()) {
            Some(mac) => format!("/mac/{mac}"),
            None => format!("/boot/{boot_id}"),
        }
    }
}

/// What a previous agent process of the same boot was doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastState {
    pub order: String,
    pub attempt: u32,
    /// The stage that had started and not finished; absent between stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<String>,
    /// There is a receipt that has not been acknowledged.
    #[serde(default)]
    pub receipt_pending: bool,
}

/// The agent's own API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiEndpoint {
    pub url: String,
    /// `sha256:HEX` of the DER of its self-signed certificate.
    pub fingerprint: String,
}

/// Reply to [`Hello`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HelloReply {
    /// Always `hello/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    /// The controller's name for this machine; a path segment of all later calls.
    pub machine: String,
    /// Bearer token of all later calls of this boot.
    pub token: Secret,
    /// Highest contiguous event sequence of this boot that the controller holds; 0 is none.
    #[serde(default)]
    pub acked: u64,
    #[serde(default)]
    pub control: Control,
    /// How often the agent calls when it has nothing to report, so that `control` reaches it. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u32>,
    /// A problem that does not stop the agent, to be shown on its console.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Problem>,
}

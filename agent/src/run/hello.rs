//! Builds the agent's hello to a controller.

use super::{Agent, Ready};
use crate::apply;
use crate::boot;
use crate::image::Compression;
use crate::protocol::hello;
use crate::protocol::{Hello, LastState};

/// Capabilities that orders may require of this agent.
const CAPABILITIES: [&str; 5] = ["order/v1", "format.raw", "format.qcow2", "format.tar", "verify.readback"];

impl Agent {
    pub(super) fn hello(&self, ready: &Ready, last_state: Option<LastState>) -> Hello {
        Hello {
            version: hello::VERSION.to_owned(),
            identity: ready.identity.clone(),
            boot_id: ready.boot_id.clone(),
            instance: uuid::Uuid::new_v4().to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: capabilities(),
            inventory: serde_json::to_value(&ready.inventory).unwrap_or_default(),
            last_crash: boot::last_crash(&self.root).and_then(|report| serde_json::to_value(report).ok()),
            last_state,
            api: None,
            key: ready.key.as_ref().map(|key| key.public().to_string()),
            attestation: None,
        }
    }
}

/// Capabilities that orders may require of this agent.
fn capabilities() -> Vec<String> {
    let compressions = Compression::names().map(|name| format!("compression.{name}"));
    CAPABILITIES.iter().map(|&word| word.to_owned()).chain(compressions).chain(apply::capabilities()).collect()
}

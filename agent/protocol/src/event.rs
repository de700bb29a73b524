//! Events that an agent reports while it works: CloudEvents 1.0 in JSON, keyed by (boot id, sequence).
//!
//! An [`Event`] keeps type, data and extension attributes unchanged, so unknown kinds survive a round trip;
//! [`Event::kind`] is the typed view of known kinds.

use super::plan::Trace;
use super::{Plan, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

/// Content type of a batch, CloudEvents JSON event format section 4.
pub const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";

/// `BOOTID/SEQUENCE`; sequences count from 1 within a boot. Resending an id is harmless: receivers drop duplicates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct EventId {
    pub boot_id: String,
    pub sequence: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.boot_id, self.sequence)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event id {0:?} is not BOOTID/SEQUENCE")]
pub struct EventIdError(String);

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let error = || EventIdError(text.chars().take(128).collect());
        let (boot_id, sequence) = text.rsplit_once('/').ok_or_else(error)?;
        let canonical = sequence.bytes().all(|b| b.is_ascii_digit()) && !sequence.starts_with('0');
        if boot_id.is_empty() || !canonical {
            return Err(error());
        }
        Ok(Self { boot_id: boot_id.to_owned(), sequence: sequence.parse().map_err(|_| error())? })
    }
}

impl TryFrom<String> for EventId {
    type Error = EventIdError;

    fn try_from(text: String) -> Result<Self, EventIdError> {
        text.parse()
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.to_string()
    }
}

/// One CloudEvent 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Always `1.0`.
    #[schemars(extend("const" = "1.0"))]
    pub specversion: String,
    pub id: EventId,
    /// URI reference of the machine, see [`super::Identity::source`].
    pub source: String,
    /// `dev.burin.*`; see [`Kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// RFC 3339, UTC, by the agent's clock, which may be wrong until it has been set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Id of the current order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Extension attributes.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}

impl Event {
    pub fn new(id: EventId, source: &str, time: SystemTime, subject: Option<&str>, kind: &Kind) -> Self {
        let mut tagged = serde_json::to_value(kind).unwrap_or_default();
        let data = tagged.get_mut("data").map(Value::take);
        Self {
            specversion: "1.0".to_owned(),
            id,
            source: source.to_owned(),
            kind: tagged.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
            // humantime cannot print years after 9999, which a broken clock may show.
            time: year(time)
                .is_some_and(|year| year < 9999)
                .then(|| humantime::format_rfc3339_millis(time).to_string()),
            subject: subject.map(str::to_owned),
            datacontenttype: data.is_some().then(|| "application/json".to_owned()),
            data,
            extensions: BTreeMap::new(),
        }
    }

    /// The typed view; `None` if the type or the shape of the data is unknown.
    pub fn kind(&self) -> Option<Kind> {
        let tagged = serde_json::json!({"type": self.kind, "data": self.data});
        serde_json::from_value(tagged).ok()
    }
}

/// Years since 1970, approximately; `None` before 1970.
fn year(time: SystemTime) -> Option<u64> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(1970 + seconds / 31_556_952)
}

/// The kinds of events and their data. Sizes in bytes, durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Kind {
    #[serde(rename = "dev.burin.stage.started")]
    StageStarted(StageStarted),
    #[serde(rename = "dev.burin.stage.finished")]
    StageFinished(StageFinished),
    #[serde(rename = "dev.burin.stage.failed")]
    StageFailed(StageFailed),
    #[serde(rename = "dev.burin.progress")]
    Progress(Progress),
    #[serde(rename = "dev.burin.order.accepted")]
    OrderAccepted(OrderAccepted),
    #[serde(rename = "dev.burin.order.refused")]
    OrderRefused(OrderRefused),
    #[serde(rename = "dev.burin.plan")]
    Plan(Box<Plan>),
    #[serde(rename = "dev.burin.anomaly")]
    Anomaly(Anomaly),
    #[serde(rename = "dev.burin.inventory")]
    Inventory(InventorySections),
    #[serde(rename = "dev.burin.log")]
    Log(LogChunk),
    #[serde(rename = "dev.burin.dropped")]
    Dropped(Dropped),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageStarted {
    pub stage: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageFinished {
    pub stage: String,
    pub duration_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageFailed {
    pub stage: String,
    pub duration_ms: u64,
    pub problem: Problem,
    /// For a refused plan: every layout and every disk that was considered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<Trace>>,
}

/// Progress of a stage. The first kind to be dropped when a controller is unreachable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Progress {
    pub stage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Size of what will be read, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    #[serde(default)]
    pub read_bytes: u64,
    #[serde(default)]
    pub written_bytes: u64,
    #[serde(default)]
    pub zeroed_bytes: u64,
    #[serde(default)]
    pub verified_bytes: u64,
    /// In the current phase, over the last seconds.
    #[serde(default)]
    pub bytes_per_second: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// network, decode, digest or device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bottleneck: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderAccepted {
    pub order: String,
    pub attempt: u32,
}

/// The order cannot be carried out as it is; it will not be tried again until its ETag changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderRefused {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    pub problem: Problem,
}

/// Something that is wrong but did not stop the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    pub problem: Problem,
}

/// Parts of the inventory that hello did not wait for. Each replaces the section of the same name in hello's inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InventorySections {
    /// By their names in the inventory, e.g. `bmc_records`.
    pub sections: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogChunk {
    /// Bytes of log before this chunk, since the agent process started.
    pub offset: u64,
    pub text: String,
}

/// Stands for events that the agent had to drop; its own sequence is the last of them.
///
/// A receiver counts the sequences from `from` to its own as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    pub from: u64,
    pub count: u64,
}

/// Reply to a batch of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ack {
    /// Highest sequence of this boot up to which the controller durably holds everything.
    pub acked: u64,
    #[serde(default)]
    pub control: Control,
}

/// What a controller wants for the current work. An agent treats an unknown word as `hold`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    #[default]
    Continue,
    /// Stop at the next safe point; the attempt fails.
    Cancel,
    /// Wait at the next safe point.
    #[serde(other)]
    Hold,
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;

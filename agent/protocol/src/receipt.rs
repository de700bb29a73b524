//! `receipt/v1`: what was done. It exists only after read-back (or says that the order waived it).

use super::{ImageReceipt, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const VERSION: &str = "receipt/v1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Always `receipt/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub order: String,
    pub attempt: u32,
    pub boot_id: String,
    pub plan_digest: Option<String>,
    /// `sha256:HEX` over the order's canonical JSON, as in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_digest: Option<String>,
    /// The keys that signed the order, among those that the ramdisk's policy names: base64 of SubjectPublicKeyInfos.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_signers: Vec<String>,
    /// The plan's disks as they were opened, once for the whole attempt; in the plan's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<OpenedDisk>,
    /// `None` means success; a failed attempt has its problem here.
    pub problem: Option<Problem>,
    pub images: Vec<ImageReceipt>,
    /// Changes other than images: partition tables, filesystems, seed, boot entries; in the order of execution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Milliseconds per stage, in the order they ran.
    pub stages: Vec<StageTime>,
    /// This receipt as an in-toto statement signed by the machine: a DSSE envelope (docs/security.md).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<serde_json::Value>,
}

/// A disk as the agent held it open: everything was written to this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedDisk {
    /// The kernel's name for it in this boot.
    pub device: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// WWN, NGUID or EUI-64, as in sysfs (`wwid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wwid: Option<String>,
    /// The kernel's disk sequence number (BLKGETDISKSEQ), unique within this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Bytes.
    pub size: u64,
    pub logical_block_size: u32,
    /// Where several paths lead to it: all of them, in the order in which they were used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<OpenedPath>,
}

/// One of several paths to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenedPath {
    /// The kernel's name for it, in this boot.
    pub device: String,
    /// It did not work any more when the order ended: others were used in its place.
    pub failed: bool,
}

/// One step other than an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// As named in the plan.
    pub step: String,
    pub device: String,
    /// Before and after, in the terms of each step (docs/operations.md); never the contents of a seed.
    pub detail: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    pub stage: String,
    pub duration_ms: u64,
}

/// Reply to `POST /v1/machines/{machine}/receipts`, and to later queries of its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiptReply {
    /// Always `receipt/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    pub state: ReceiptState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptState {
    /// Received; the controller is not finished with it. Ask again.
    Posted,
    /// Durably stored and acted upon: the machine may go on.
    Acknowledged,
}

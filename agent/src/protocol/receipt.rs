//! `receipt/v1`: what was done. Exists only after read-back (or says that the order waived it).

use super::{ImageReceipt, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    pub version: String,
    pub order: String,
    pub attempt: u32,
    pub boot_id: String,
    pub plan_digest: Option<String>,
    /// None is success; a failed attempt carries its problem.
    pub problem: Option<Problem>,
    pub images: Vec<ImageReceipt>,
    /// Milliseconds per stage, in the order they ran.
    pub stages: Vec<StageTime>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    pub stage: String,
    pub duration_ms: u64,
}

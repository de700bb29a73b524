//! `plan/v1`: what will be done to which disks and why. A pure function of (Inventory, Order).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub version: String,
    pub order: String,
    /// `sha256:HEX` over the canonical JSON of the plan without this field.
    pub digest: String,
}

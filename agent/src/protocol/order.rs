//! `order/v1`: what a controller wants of a machine. Immutable, with an id.

use super::image::{ImageSpec, Verify};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "order/v1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Always `order/v1`.
    pub version: String,
    pub id: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, serde_json::Value>,
    pub images: BTreeMap<String, ImageSpec>,
    pub layouts: Vec<Layout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    #[serde(default)]
    pub policies: Policies,
}

/// One way to lay out a machine; chosen by `when`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub name: String,
}

/// Cloud-init NoCloud seed; values may come from attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ssh_authorized_keys: Vec<String>,
    /// cloud-config or script, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// netplan v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_config: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    #[serde(default)]
    pub verify: Verify,
    #[serde(default)]
    pub finish: Finish,
    #[serde(default)]
    pub boot_order: BootOrder,
}

/// What the machine does after an acknowledged receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    #[default]
    Reboot,
    Poweroff,
    /// Stay up and wait for the next order.
    Hold,
}

/// Where the new UEFI boot entry goes in BootOrder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// The installed disk first.
    #[default]
    DiskFirst,
    /// What booted this time (the network) stays first, the disk follows.
    NetworkFirst,
    /// No entry is made.
    Keep,
}

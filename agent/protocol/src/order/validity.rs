//! The machines and times for which an order is valid.

use super::Predicate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// An order is refused if one of these does not hold. For a signed order, this prevents reuse on another machine, at a
/// later time, or in another boot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Not before this time, RFC 3339: `2026-11-22T09:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Nothing is started after this time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// One of these must be a name of the machine: system UUID, serial number, or a MAC address of a NIC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
    /// A condition on the machine, like a layout's `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Predicate>,
    /// The machine's key from hello: valid for this boot of this machine only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `YYYY-MM-DDTHH:MM:SSZ`, with or without fractions of a second.
pub fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

impl Validity {
    /// Whether it restricts the order to certain machines.
    pub fn names_a_machine(&self) -> bool {
        !self.machines.is_empty() || self.when.is_some() || self.key.is_some()
    }
}

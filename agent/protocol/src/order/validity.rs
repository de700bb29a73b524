//! For which machine, and when, an order is meant.

use super::Predicate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// An order is refused where one of these does not hold. In a signed order, this is what keeps it from being used again: on
/// another machine, later, or in another boot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Not earlier than this, RFC 3339: `2026-11-22T09:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Nothing is begun after this, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// One of these is a name of the machine: system UUID, serial number, or a MAC address of a NIC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<String>,
    /// What the machine has to be, as a layout's `when`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Predicate>,
    /// The machine's key as hello introduced it: this boot of this machine and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `YYYY-MM-DDTHH:MM:SSZ`, with or without fractions of a second.
pub fn time(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

impl Validity {
    /// Whether anything says which machine it is for.
    pub fn names_a_machine(&self) -> bool {
        !self.machines.is_empty() || self.when.is_some() || self.key.is_some()
    }
}

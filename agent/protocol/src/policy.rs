//! `policy/v1`: the ramdisk's requirements on orders and their origin. It is stored in the ramdisk,
//! `/etc/burin/policy.json`, and nothing that comes over the network can weaken it.

use crate::order::{Erase, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "policy/v1";

/// What the agent requires. What is left out is not required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Always `policy/v1`.
    #[schemars(extend("const" = VERSION))]
    pub version: String,
    /// Controller, order, events and images by https, verified by CAs of the ramdisk: `burin.ca=` is accepted only in
    /// the ramdisk's own `/etc/burin/cmdline`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_https: bool,
    /// Orders must be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<OrderPolicy>,
    /// Images must be verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<ImagePolicy>,
    /// The disk sets of every order that write to their disks must `erase` at least this thoroughly. What a set keeps or
    /// preserves stays all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_erase: Option<Erase>,
    /// How the machine must be booted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootPolicy>,
    /// No API for callers, whatever the kernel command line says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_api: bool,
}

/// Orders come in a DSSE envelope signed by one of `keys`, and state in `valid` for which machine they are and when
/// they expire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderPolicy {
    /// Ed25519 public keys: base64 of a SubjectPublicKeyInfo (the lines between the markers of `openssl pkey -pubout`),
    /// or the second line of a minisign.pub.
    #[schemars(length(min = 1))]
    pub keys: Vec<String>,
    /// Every order must name this boot in `valid.key`: an order cannot be used a second time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub this_boot: bool,
    /// RFC 3339. Orders whose `valid.not_before` is missing or earlier are refused: this revokes what was signed
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_not_before: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePolicy {
    pub require: ImageProof,
    /// Who may sign images and sums, as second lines of a minisign.pub; by default any key that the order names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// No image of this name with an older version is written. Every image must then have a manifest, which states
    /// both.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub least_versions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageProof {
    /// A signature of the image or of the sums that name it.
    Signature,
    /// A signature, or a digest in the order.
    Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootPolicy {
    /// UEFI Secure Boot was on.
    SecureBoot,
    /// The kernel is locked down (integrity or confidentiality), so that root cannot change it.
    Lockdown,
}

/// Why a policy cannot be used. An agent does not start with such a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policy is not as documented: {source}")]
    Json { source: serde_json::Error },
    #[error("the policy is {found:?}, this agent reads {VERSION}")]
    Version { found: String },
    #[error("the policy's {at} has no keys, so nothing could ever be accepted")]
    NoKeys { at: &'static str },
    #[error("the policy's {at} is {text:?}: not a time of RFC 3339")]
    Time { at: &'static str, text: String },
}

impl crate::error::Coded for PolicyError {
    fn code(&self) -> &'static str {
        "policy.invalid"
    }

    fn hint(&self) -> Option<String> {
        Some("see docs/security.md, and point an editor at docs/schemas/policy.json".to_owned())
    }
}

impl Policy {
    /// Parses a policy. Keys are validated elsewhere, by code that can read them.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let policy: Self = serde_json::from_slice(bytes).map_err(|source| PolicyError::Json { source })?;
        if policy.version != VERSION {
            return Err(PolicyError::Version { found: policy.version.chars().take(64).collect() });
        }
        if let Some(orders) = &policy.orders {
            if orders.keys.is_empty() {
                return Err(PolicyError::NoKeys { at: "orders.keys" });
            }
            if let Some(text) = orders.least_not_before.as_ref().filter(|text| time(text).is_none()) {
                let text = text.chars().take(64).collect();
                return Err(PolicyError::Time { at: "orders.least_not_before", text });
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_misspelt_is_not_silently_ignored() {
        let right = json!({"version": VERSION, "require_https": true, "no_api": true, "boot": "secure-boot",
            "least_erase": "zeros",
            "orders": {"keys": ["k"], "this_boot": true, "least_not_before": "2026-01-01T00:00:00Z"},
            "images": {"require": "signature", "keys": [], "least_versions": {"debian": "13.1"}}});
        assert!(Policy::parse(right.to_string().as_bytes()).is_ok());
        for (pointer, value) in [
            ("/version", json!("policy/v2")),
            ("/require_http", json!(true)),
            ("/orders/keys", json!([])),
            ("/orders/least_not_before", json!("yesterday")),
            ("/orders/this_bot", json!(true)),
            ("/images/require", json!("hope")),
            ("/images/least_versions", json!(["debian 13"])),
            ("/least_erase", json!("shred")),
            ("/boot", json!("secureboot")),
        ] {
            let mut wrong = right.clone();
            let (place, name) = pointer.rsplit_once('/').unwrap();
            wrong.pointer_mut(place).unwrap()[name] = value;
            assert!(Policy::parse(wrong.to_string().as_bytes()).is_err(), "{pointer}");
        }
        assert!(Policy::parse(b"").is_err() && Policy::parse(b"{}").is_err());
    }
}

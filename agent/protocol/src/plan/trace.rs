//! The trace of a decision: every layout, every candidate, every observed value. Part of a plan and of a refusal.

use super::disk::Identity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    pub attributes: Vec<AttributeTrace>,
    pub layouts: Vec<LayoutTrace>,
    /// Disk sets of the chosen layout.
    pub sets: Vec<SetTrace>,
    /// Network roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<SetTrace>,
}

/// Where an attribute came from. Its value is not included, because it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttributeTrace {
    pub name: String,
    pub source: AttributeSource,
    /// Sources of lower precedence that also had it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<AttributeSource>,
}

/// The first source that has an attribute wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeSource {
    Order,
    /// `burin.attr.NAME=VALUE`.
    CommandLine,
    /// SMBIOS type 11, `burin.attr.NAME=VALUE`.
    OemString,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayoutTrace {
    pub layout: String,
    pub priority: i32,
    pub verdict: LayoutVerdict,
    /// The first condition that was not true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_false: Option<Check>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LayoutVerdict {
    Chosen,
    /// Applies, but so does another with a higher priority.
    Outranked,
    /// Applies with the same highest priority as another.
    Tied,
    NotApplicable,
}

/// A predicate's three values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    False,
    /// A value was not read, or cannot be compared.
    Unknown,
    True,
}

/// One condition and what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// JSON pointer below the predicate.
    pub at: String,
    /// A readable condition: `size ge 400GB`.
    pub wanted: String,
    /// The value in the inventory or attribute; null if there is none.
    pub observed: serde_json::Value,
    pub truth: Truth,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetTrace {
    pub set: String,
    /// The minimum that was wanted.
    pub min: u32,
    /// The maximum; null means any number.
    pub max: Option<u32>,
    /// The best first; those that did not match come last.
    pub candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The kernel's name, for information.
    pub device: String,
    /// Disks only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Model and size, or MAC, for display.
    pub label: String,
    pub verdict: Verdict,
    /// A readable reason.
    pub reason: String,
    /// Why it was not evaluated at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateFinding>,
    /// Every condition with its observed value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The one that came closest among those that failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nearest_miss: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Chosen,
    /// Matches, but others were preferred.
    PassedOver,
    /// Matches, but nothing decides between it and another.
    Tied,
    /// A condition is false.
    NoMatch,
    /// No condition is false, but one could not be decided.
    Unknown,
    /// Excluded by a gate.
    Gated,
}

/// A gate that a disk did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateFinding {
    /// size-zero, read-only, removable, virtual-media, multipath-path, boot-medium, in-use, remote, failing,
    /// unaddressable, protected, taken.
    pub code: String,
    pub observed: String,
}

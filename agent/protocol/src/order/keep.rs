//! Partitions that outlive what is put on their disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which partitions of a disk are kept: all of its GPT for which everything holds that is said here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepPick {
    /// The GPT name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As a partition's `type`: a name, or a GUID.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// A disk without such a partition is no reason to refuse: nothing is kept on it then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What is read, before the first step and after the last, to prove that nothing has changed.
    #[serde(default, skip_serializing_if = "KeepProof::is_all")]
    pub proof: KeepProof,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeepProof {
    /// Every byte.
    #[default]
    All,
    /// 16 MiB at each end and 1024 pieces of 64 KiB between them: for what would take hours.
    Samples,
}

impl KeepProof {
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

//! Files that an order puts into the system.

use super::layout::PartitionPick;
use super::value::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file in the root filesystem of an image or tree. One of `contents`, `base64` and `url` says what is in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderFile {
    /// Absolute, in the installed system. Links of the image are followed inside of it. What is there is replaced.
    pub path: String,
    /// As text, or from an attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Text>,
    /// As base64 (RFC 4648 section 4), or from an attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text>,
    /// Fetched from there, as it is, at most 64 MiB. It needs a `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `sha256:HEX` or `sha512:HEX`, of what `url` leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Permissions as chmod(1) takes them in octal; `0644` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Root when left out. A name is one of the system's own /etc/passwd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Account>,
    /// Root when left out. A name is one of the system's own /etc/group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Account>,
    /// In which disk set; found by itself where only one can be meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Which partition of an image holds the root filesystem; found by itself when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<PartitionPick>,
}

/// A user or group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number or a name")]
pub enum Account {
    Number(u32),
    Name(String),
}

impl OrderFile {
    /// More than any file that configures a system.
    pub const MOST: u64 = 64 << 20;

    /// Its permissions; `None` where they are no octal number up to 7777.
    pub fn permissions(&self) -> Option<u32> {
        let Some(text) = &self.mode else { return Some(0o644) };
        let digits = (3..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777)
    }
}

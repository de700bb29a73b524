//! Files that an order puts into the system.

use super::layout::PartitionPick;
use super::value::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file in the root filesystem of an image or tree. Exactly one of `contents`, `base64` and `url` gives its contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderFile {
    /// Absolute, in the installed system. The image's symbolic links are followed within it. An existing file is
    /// replaced.
    pub path: String,
    /// Text, or from an attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Text>,
    /// Base64 (RFC 4648 section 4), or from an attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<Text>,
    /// Fetched from this URL and stored as is, at most 64 MiB. It needs a `digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `sha256:HEX` or `sha512:HEX` of the contents of `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Permissions in octal, as for chmod(1); default `0644`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Default root. A name must be in the system's own /etc/passwd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Account>,
    /// Default root. A name must be in the system's own /etc/group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Account>,
    /// The disk set; may be left out if only one is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The image's partition with the root filesystem; found automatically by default.
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
    /// More than any configuration file needs.
    pub const MOST: u64 = 64 << 20;

    /// The permissions; `None` if they are not an octal number up to 7777.
    pub fn permissions(&self) -> Option<u32> {
        let Some(text) = &self.mode else { return Some(0o644) };
        let digits = (3..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= 0o7777)
    }
}

//! What an order says about an image, and what the engine answers after writing it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an image comes from and how it is known to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// http(s) URLs of the same bytes, tried in order.
    pub urls: Vec<String>,
    /// Found by magic unless stated; a stated format that the bytes contradict is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// Bytes of a sector of the disks that a whole-disk image was made for, 512 or 4096. A GPT in the image says it too,
    /// but only once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// Digests, `sha256:HEX` or `sha512:HEX`.
    #[serde(default)]
    pub digest: ImageDigests,
}

/// Digests the image must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageDigests {
    /// Of the bytes as downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// Of the bytes as written, decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    Raw,
    Qcow2,
    Tar,
}

/// How what was written is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Read everything back from the device and compare.
    #[default]
    Readback,
    /// Only the digests of what came in.
    Digest,
    None,
}

/// Proof of one image on one device. All sizes in bytes, durations in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageReceipt {
    pub device: String,
    pub url: String,
    pub format: ImageFormat,
    /// none, gzip, xz, zstd, lz4 or bzip2.
    pub compression: String,
    pub verify: Verify,
    /// Digests that were computed.
    pub digest: ImageDigests,
    pub image_bytes: u64,
    pub wire_bytes: u64,
    pub written_bytes: u64,
    pub zeroed_bytes: u64,
    pub skipped_bytes: u64,
    pub verified_bytes: u64,
    /// Most that the write's buffers may hold: fixed before it starts, whatever the image. The decoder's window is extra.
    #[serde(default)]
    pub memory_bytes: u64,
    pub duration_ms: u64,
    /// The stage that held the others up: network, decode, digest or device.
    pub bottleneck: String,
}

//! The description of an image in an order, and the engine's receipt after writing it.

use super::{Problem, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an image comes from and how it is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// http(s) URLs of the same bytes, tried in order; or names of the same image in registries:
    /// `oci://HOST[:PORT]/REPOSITORY:TAG`, `oci://HOST/REPOSITORY@sha256:HEX`, and `oci+http://` for a registry without
    /// TLS. Left out if `manifest` is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// URL of a manifest made by `burin image pack`. It replaces `urls`, `format`, `sector_size`, `digest`, `sums` and
    /// `delta`, which it contains. `signature` is then the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The name that the manifest must give the image, because one key signs many images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A manifest with an older version is refused. Otherwise anybody who controls the server could bring back an old
    /// image with a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_version: Option<String>,
    /// Detected by magic number unless given; a given format that the bytes contradict is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ImageFormat>,
    /// Sector size in bytes of the disks that a whole-disk image was made for, 512 or 4096. A GPT in the image shows it
    /// too, but only once it has been fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,
    /// Digests, `sha256:HEX` or `sha512:HEX`.
    #[serde(default)]
    pub digest: ImageDigests,
    /// A published file with the digest of the download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<ImageSums>,
    /// Who must have signed the download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
    /// If given, only what the disk does not already hold is fetched, if that is estimated to be faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<ImageIndex>,
    /// How the image, and everything published with it, is fetched.
    #[serde(default, skip_serializing_if = "Transfer::is_default")]
    pub transfer: Transfer,
}

/// A file in the format of `sha256sum` or `sha512sum`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSums {
    pub url: String,
    /// Who must have signed this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
}

/// A minisign signature; for an image in a registry, a cosign signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSignature {
    /// Public key: base64, as in the second line of a minisign.pub; or the contents of a cosign.pub.
    pub key: String,
    /// By default the signed file's URL with `.minisig` added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Refuses anything that was signed earlier, even with a valid signature: a server could keep serving an old
    /// release. Seconds since 1970, as in minisign's `timestamp:` in the trusted comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
}

/// An index made by `burin index` or casync (caibx, SHA-256, chunks of 256 KiB).
///
/// Reused chunks are verified by the index alone. If the order gives a digest of the image, the index is used only with
/// `digest` here, or with the image's `digest.content`. If the order requires only a signature, the trusted comments of
/// both signatures must name the same download (`image=NAME wire=sha256:HEX`), and the index's signature must satisfy
/// its own `not_before`: without one, an old image could come with its old index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageIndex {
    pub url: String,
    /// Digest of the index, `sha256:HEX` or `sha512:HEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Who must have signed the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
}

/// Whether the name of an image in a registry contains the digest of its manifest: `oci://HOST/REPOSITORY@sha256:HEX`.
/// The part after `#` is the name of a file in it, and proves nothing.
pub fn is_pinned_reference(url: &str) -> bool {
    let name = url.split('#').next().unwrap_or_default();
    let reference = name.strip_prefix("oci://").or_else(|| name.strip_prefix("oci+http://"));
    let digest = reference.and_then(|reference| reference.rsplit_once("@sha256:")).map(|(_, digest)| digest);
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl ImageSignature {
    /// The bare base64 of a key, however it is given: PEM without its header lines, the second line of a minisign.pub.
    pub fn bare_key(text: &str) -> String {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match text.contains("-----BEGIN") {
            true => lines.filter(|line| !line.starts_with("-----")).collect(),
            false => lines.next_back().unwrap_or_default().to_owned(),
        }
    }
}

/// Bytes per second of one connection. Images are fetched in pieces of 256 KiB; servers drop connections on which one
/// takes longer than a few seconds.
pub const LEAST_RATE: u64 = 64 << 10;

/// How something is fetched. CAs come from the ramdisk: `burin.ca=` and its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// URL of a proxy: http, https, socks5 (names are resolved locally) or socks5h (names are resolved by the proxy).
    /// It may contain user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// For the server of the first URL only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Bytes per second over all connections; at least 65536 per connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = LEAST_RATE))]
    pub rate: Option<u64>,
    /// Ranges fetched in parallel, 1 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u8>,
}

impl Transfer {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Credentials for an image server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Credentials {
    Basic {
        user: String,
        password: Secret,
    },
    /// A token.
    Bearer(Secret),
}

/// Digests the image must have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageDigests {
    /// Digest of the bytes as downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// Digest of the decoded bytes as written.
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

/// How the written data is verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Read everything back from the device and compare.
    #[default]
    Readback,
    /// Verify only the digests of the input.
    Digest,
    None,
}

/// The result for one image on one device. All sizes in bytes, durations in milliseconds.
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
    /// SHA-256 of the download, `sha256:HEX`, whatever the order asks for. Absent if the image was read in parts (with
    /// an index; qcow2 without a digest or signature), because there is no complete download then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_sha256: Option<String>,
    /// Digest of the content as it was read back from the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readback: Option<ContentDigest>,
    /// Remarks about the image that was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Problem>,
    pub image_bytes: u64,
    pub wire_bytes: u64,
    pub written_bytes: u64,
    pub zeroed_bytes: u64,
    pub skipped_bytes: u64,
    /// Bytes read back. In an order, this includes both ends of the disk, which are read back with its last write.
    pub verified_bytes: u64,
    /// Upper limit of the write's buffers: fixed before it starts, whatever the image. The decoder's window is extra.
    #[serde(default)]
    pub memory_bytes: u64,
    pub duration_ms: u64,
    /// The slowest stage: network, decode, digest or device.
    pub bottleneck: String,
    /// If an index was given: whether it was used, and the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaReceipt>,
    /// The publisher's data, if the image has a manifest or was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedAs>,
}

/// Who published an image, and under which name and version: verified before it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedAs {
    /// The image's name in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image's version in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The key that signed the manifest, the image, or the sums that name it: its base64, as in the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// A digest of a whole image, with its algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentDigest {
    /// `xxh3-128-of-mib`: the XXH3-128 of the XXH3-128 values (16 bytes each, big-endian) of each MiB of the image.
    pub algorithm: String,
    /// Hexadecimal.
    pub digest: String,
}

/// The result of a delta write. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeltaReceipt {
    /// False: the image was written whole, because of `why`.
    pub used: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// MiB of the target that were sampled for the estimate.
    pub sampled_mib: u32,
    /// How many of them matched the image.
    pub matching_mib: u32,
    /// Bytes left in place after they were read and compared.
    pub reused_bytes: u64,
    /// Bytes of the stored image, and of its seek table.
    pub fetched_bytes: u64,
}

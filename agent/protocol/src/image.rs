//! The description of an image in an order, and the engine's receipt after writing it.

use super::{Problem, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an image comes from and how it is known to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// http(s) URLs of the same bytes, tried in order; or names of the same image in registries, as
    /// `oci://HOST[:PORT]/REPOSITORY:TAG`, `oci://HOST/REPOSITORY@sha256:HEX`, and `oci+http://` for a registry without TLS.
    /// Left out where a `manifest` is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// URL of a manifest as `burin image pack` makes it, in place of `urls`, `format`, `sector_size`, `digest`, `sums` and
    /// `delta`: they are in it. `signature` is then the manifest's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What the manifest has to call the image: one key signs many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A manifest of an older version is refused: whoever controls the server could bring back an old image, rightly signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_version: Option<String>,
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
    /// A published file that tells the digest of the download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<ImageSums>,
    /// Who must have signed the download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
    /// With it, only what the disk does not hold already is fetched, where that is estimated to be faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<ImageIndex>,
    /// How the image, and whatever is published with it, is fetched.
    #[serde(default, skip_serializing_if = "Transfer::is_default")]
    pub transfer: Transfer,
}

/// A file as `sha256sum` or `sha512sum` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSums {
    pub url: String,
    /// Who must have signed this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
}

/// A minisign signature; of an image in a registry, cosign's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSignature {
    /// Public key: base64, as in the second line of a minisign.pub; or the contents of a cosign.pub.
    pub key: String,
    /// Beside what was signed, with `.minisig` added, unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Refuses what was signed earlier, however rightly: a server could go on sending an old release. Seconds since 1970, as
    /// minisign writes `timestamp:` into the trusted comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
}

/// An index as `burin index` or casync makes it (caibx, SHA-256, chunks of 256 KiB).
///
/// The chunks that it tells of are proven by it alone. Where the order gives a digest of the image, it is used only with
/// `digest` here, or with the image's `digest.content`. Where it asks for a signature only, the trusted comments of both
/// signatures have to name the same download (`image=NAME wire=sha256:HEX`), and the index's has to be recent enough for
/// the `not_before` of its own `signature`: without one, an old image could come with its old index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageIndex {
    pub url: String,
    /// Of the index, `sha256:HEX` or `sha512:HEX`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Who must have signed the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ImageSignature>,
}

/// Whether a name of an image in a registry says the digest of its manifest: `oci://HOST/REPOSITORY@sha256:HEX`. What
/// follows `#` is the name of a file in it, and proves nothing.
pub fn is_pinned_reference(url: &str) -> bool {
    let name = url.split('#').next().unwrap_or_default();
    let reference = name.strip_prefix("oci://").or_else(|| name.strip_prefix("oci+http://"));
    let digest = reference.and_then(|reference| reference.rsplit_once("@sha256:")).map(|(_, digest)| digest);
    digest.is_some_and(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl ImageSignature {
    /// A key's own base64, however it is written: PEM without its lines of dashes, the second line of a minisign.pub.
    pub fn bare_key(text: &str) -> String {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        match text.contains("-----BEGIN") {
            true => lines.filter(|line| !line.starts_with("-----")).collect(),
            false => lines.next_back().unwrap_or_default().to_owned(),
        }
    }
}

/// Bytes per second of one connection. Pieces of an image are 256 KiB: where one takes longer than a few seconds, servers
/// give the connection up.
pub const LEAST_RATE: u64 = 64 << 10;

/// How something is fetched. CAs are the ramdisk's: `burin.ca=` and its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// URL of a proxy: http, https, socks5 (names are resolved here) or socks5h (names are resolved there). It may hold
    /// user and password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// For the server of the first URL, and for no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Bytes per second, over all connections; at least 65536 for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = LEAST_RATE))]
    pub rate: Option<u64>,
    /// Ranges fetched side by side, 1 to 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u8>,
}

impl Transfer {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a server of images wants to see.
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
    /// SHA-256 of the download, `sha256:HEX`, whatever the order asks for. None where the image was read in parts (by an
    /// index; qcow2 without a digest or signature): there is no download as a whole then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_sha256: Option<String>,
    /// Digest of the content as it was read back from the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readback: Option<ContentDigest>,
    /// What is odd about the image that was written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Problem>,
    pub image_bytes: u64,
    pub wire_bytes: u64,
    pub written_bytes: u64,
    pub zeroed_bytes: u64,
    pub skipped_bytes: u64,
    /// Read back. Of an order: at either end of the disk with its last write.
    pub verified_bytes: u64,
    /// Most that the write's buffers may hold: fixed before it starts, whatever the image. The decoder's window is extra.
    #[serde(default)]
    pub memory_bytes: u64,
    pub duration_ms: u64,
    /// The stage that held the others up: network, decode, digest or device.
    pub bottleneck: String,
    /// Where an index was given: whether it was used, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<DeltaReceipt>,
    /// Whose image it is, where it came by a manifest or was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedAs>,
}

/// Who has published an image, and as what: proven before it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishedAs {
    /// The manifest's name for the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The manifest's version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The key that has signed the manifest, the image, or the sums that name it: its base64, as the order has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// A digest of a whole image, with the algorithm that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentDigest {
    /// `xxh3-128-of-mib`: the XXH3-128 of the XXH3-128 (16 bytes each, the highest first) of each MiB of the image.
    pub algorithm: String,
    /// Hexadecimal.
    pub digest: String,
}

/// What a same-position delta did. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeltaReceipt {
    /// False: the image was written whole, because of `why`.
    pub used: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// MiB of the target that were looked at for the estimate.
    pub sampled_mib: u32,
    /// How many of them held what the image has there.
    pub matching_mib: u32,
    /// Left in place, after it was read and compared.
    pub reused_bytes: u64,
    /// Of the image as it is stored, and of its seek table.
    pub fetched_bytes: u64,
}

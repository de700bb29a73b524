use crate::refusal::Refusal;
use burin_disk::DiskError;
use burin_http::redirect::RedirectError;
use burin_protocol::error::Coded;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("no source is given")]
    NoSource,
    #[error("{source_name}: not found")]
    NotFound { source_name: String },
    #[error("{url}: refused with HTTP status {status}")]
    Denied { url: String, status: u16 },
    #[error("{url}: answered with HTTP status {status}")]
    Status { url: String, status: u16 },
    #[error("{url}: cannot be fetched (at byte {offset})")]
    Transfer { url: String, offset: u64, source: io::Error },
    #[error("{text:?} is not a reference to an image in a registry: {why}")]
    Reference { text: String, why: &'static str },
    #[error("{url}: is for {}, not for {wanted}", found.join(", "))]
    NoPlatform { url: String, wanted: String, found: Vec<String> },
    #[error("{url}: holds {}, not one file", several(found))]
    Choice { url: String, found: Vec<String> },
    #[error("{url}: {what}")]
    OtherKind { url: String, what: &'static str },
    #[error("{url}: the registry asks for its password to be sent to {server}, which is not its own server")]
    TokenServer { url: String, server: String },
    #[error("not a P-256 public key in PEM")]
    CosignKey,
    #[error("{url}: has no cosign signature")]
    CosignMissing { url: String },
    #[error("{url}: none of its {found} cosign signatures is valid for this key and this image")]
    Cosign { url: String, found: usize },
    #[error("{url}: the redirect is refused")]
    Redirect { url: String, source: RedirectError },
    #[error("{url}: no data for {seconds} s (at byte {offset})")]
    Stalled { url: String, offset: u64, seconds: u64 },
    #[error("{url}: changed while it was being fetched (at byte {offset}): {why}")]
    Changed { url: String, offset: u64, why: String },
    #[error("{path}: cannot be read", path = path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("{path}: cannot be written", path = path.display())]
    WriteFile { path: PathBuf, source: io::Error },
    #[error("{source_name}: ends early, after {offset} bytes{}", of(*expected))]
    Truncated { source_name: String, offset: u64, expected: Option<u64> },
    #[error("{source_name}: not valid {compression} data near byte {offset}")]
    Corrupt { source_name: String, compression: &'static str, offset: u64, source: io::Error },
    #[error("{source_name}: {compression} data ends at byte {offset}, and something else follows")]
    TrailingGarbage { source_name: String, compression: &'static str, offset: u64 },
    #[error("{source_name}: needs a {compression} window beyond the limit of {limit} bytes")]
    Window { source_name: String, compression: &'static str, limit: u64 },
    #[error("{source_name}: {what}")]
    Unsupported { source_name: String, what: String },
    #[error("{source_name}: is {found}, but {stated} was ordered")]
    FormatMismatch { source_name: String, found: String, stated: String },
    #[error("{source_name}: damaged {format} image: {what}")]
    Damaged { source_name: String, format: &'static str, what: String },
    #[error("{source_name}: the data at byte {offset} does not match the index")]
    NotIndexed { source_name: String, offset: u64 },
    #[error("{source_name}: the image has {} bytes{}, the device {device}", at_least.max(&1), or_more(*exact))]
    TooLarge { source_name: String, at_least: u64, exact: bool, device: u64 },
    #[error("{source_name}: the {what} is for disks with {image}-byte sectors; this disk has {device}-byte sectors")]
    SectorSize { source_name: String, what: &'static str, image: u32, device: u32 },
    #[error("{source_name}: decoding needs {needed} bytes of memory, but only {available} are available")]
    Memory { source_name: String, needed: u64, available: u64 },
    #[error(transparent)]
    Refused(Refusal),
    #[error("{text:?} is not a digest (sha256:HEX or sha512:HEX)")]
    DigestInvalid { text: String },
    #[error("{source_name}: the {what} has {actual}, not {expected}")]
    DigestMismatch { source_name: String, what: &'static str, expected: String, actual: String },
    #[error("{url}: has no digest for {name}")]
    NoPublishedDigest { url: String, name: String },
    #[error("{url}: has several digests for {name}")]
    DigestAmbiguous { url: String, name: String },
    #[error("{url}: the signature is not valid")]
    Signature { url: String, source: minisign_verify::Error },
    #[error("{url}: there is no signature")]
    SignatureMissing { url: String },
    #[error("{url}: signed with a different key than the given one")]
    SignatureOtherKey { url: String },
    #[error("{url}: a legacy signature, which would need the whole image in memory")]
    SignatureLegacy { url: String },
    #[error("{url}: signed {}, but must be signed at {not_before} (seconds since 1970) or later", signed_at.map_or_else(|| "at an unknown time".to_owned(), |at| format!("at {at}")))]
    SignatureOld { url: String, signed_at: Option<u64>, not_before: u64 },
    #[error("{key:?} is not a minisign public key")]
    SignatureKey { key: String, source: minisign_verify::Error },
    #[error("{url}: {source}")]
    Manifest { url: String, source: burin_protocol::manifest::ManifestError },
    #[error("{url}: is the manifest of {name}, not of {wanted}")]
    ManifestName { url: String, name: String, wanted: String },
    #[error("{url}: {name} {version} is older than {least}, the oldest accepted version")]
    ManifestOld { url: String, name: String, version: String, least: String },
    #[error("{url}: cannot connect through the proxy {proxy}")]
    Proxy { url: String, proxy: String, source: io::Error },
    #[error("{what} is not a proxy's URL")]
    ProxyUrl { what: String },
    #[error("cancelled")]
    Cancelled,
    #[error("the {stage} stage ended unexpectedly")]
    Broken { stage: &'static str },
    #[error("a thread cannot be started")]
    Thread { source: io::Error },
    #[error("the device's queue cannot be opened")]
    Queue { source: io::Error },
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The device was touched: every error that stops a write half-way is wrapped in this.
    #[error("{device}: writing stopped while {phase}, at byte {offset}; {}", left(*head_erased), device = device.display())]
    Stopped { device: PathBuf, phase: &'static str, offset: u64, head_erased: bool, source: Arc<ImageError> },
}

fn of(expected: Option<u64>) -> String {
    expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default()
}

fn several(found: &[String]) -> String {
    if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
}

fn or_more(exact: bool) -> &'static str {
    if exact { "" } else { " or more" }
}

fn left(head_erased: bool) -> &'static str {
    if head_erased { "its first MiB is zeroed and it does not boot" } else { "ITS FIRST MiB COULD NOT BE ZEROED" }
}

impl ImageError {
    /// The error itself, without the wrapper that states where writing stopped.
    pub fn cause(&self) -> &ImageError {
        match self {
            Self::Stopped { source, .. } => source.cause(),
            other => other,
        }
    }

    /// The hint for errors of a registry.
    fn registry_hint(&self) -> Option<String> {
        match self {
            Self::Reference { .. } => Some(
                "write oci://HOST[:PORT]/REPOSITORY:TAG or @sha256:HEX; oci+http:// for a registry without TLS".into(),
            ),
            Self::NoPlatform { .. } => Some("push the image for this architecture too".into()),
            Self::Choice { .. } => Some("name one of them: oci://HOST/REPOSITORY:TAG#FILE".into()),
            Self::OtherKind { .. } => Some(
                "use an artefact of one file, or a container image with a file below /disk, for a disk; a container image \
                 with a root filesystem belongs in a layout's tree"
                    .into(),
            ),
            Self::TokenServer { .. } => {
                Some("check that this is the right registry, or give a token instead of a password".into())
            }
            Self::CosignKey => Some("give the contents of cosign.pub (cosign generate-key-pair)".into()),
            Self::CosignMissing { .. } => Some("sign it: cosign sign --key cosign.key IMAGE@DIGEST".into()),
            Self::Cosign { .. } => {
                Some("check key and image: the signature is for another image, or by another key".into())
            }
            _ => None,
        }
    }
}

impl Coded for ImageError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoSource => "image.no_source",
            Self::NotFound { .. } => "image.not_found",
            Self::Denied { .. } => "image.denied",
            Self::Status { .. } => "image.http_status",
            Self::Transfer { .. } => "image.unreachable",
            Self::Reference { .. } => "image.oci_reference",
            Self::NoPlatform { .. } => "image.oci_platform",
            Self::Choice { .. } => "image.oci_choice",
            Self::OtherKind { .. } => "image.oci_kind",
            Self::TokenServer { .. } => "image.oci_token_server",
            Self::CosignKey => "image.signature_key",
            Self::CosignMissing { .. } => "image.signature_missing",
            Self::Cosign { .. } => "image.signature_invalid",
            Self::Redirect { .. } => "image.redirect",
            Self::Stalled { .. } => "image.stalled",
            Self::Changed { .. } => "image.changed",
            Self::ReadFile { .. } => "image.unreadable",
            Self::WriteFile { .. } => "image.unwritable",
            Self::Truncated { .. } => "image.truncated",
            Self::Corrupt { .. } | Self::Damaged { .. } => "image.corrupt",
            Self::TrailingGarbage { .. } => "image.trailing_garbage",
            Self::Window { .. } => "image.window_too_large",
            Self::Unsupported { .. } => "image.unsupported",
            Self::FormatMismatch { .. } => "image.format_mismatch",
            Self::NotIndexed { .. } => "image.index_mismatch",
            Self::TooLarge { .. } => "image.too_large",
            Self::SectorSize { .. } => "image.sector_size",
            Self::Memory { .. } => "image.memory",
            Self::Refused(refusal) => refusal.0.code(),
            Self::DigestInvalid { .. } => "image.digest_invalid",
            Self::DigestMismatch { .. } => "image.digest_mismatch",
            Self::NoPublishedDigest { .. } => "image.digest_unpublished",
            Self::DigestAmbiguous { .. } => "image.digest_ambiguous",
            Self::Signature { .. } => "image.signature_invalid",
            Self::SignatureMissing { .. } => "image.signature_missing",
            Self::SignatureOtherKey { .. } => "image.signature_other_key",
            Self::SignatureLegacy { .. } => "image.signature_legacy",
            Self::SignatureOld { .. } => "image.signature_old",
            Self::SignatureKey { .. } => "image.signature_key",
            Self::Manifest { .. } => "image.manifest",
            Self::ManifestName { .. } => "image.manifest_name",
            Self::ManifestOld { .. } => "image.manifest_old",
            Self::Proxy { .. } => "image.proxy",
            Self::ProxyUrl { .. } => "image.proxy_url",
            Self::Cancelled => "cancelled",
            Self::Broken { .. } | Self::Thread { .. } | Self::Queue { .. } => "image.internal",
            Self::Disk(error) => error.code(),
            Self::Stopped { source, .. } => source.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("check the path, and that the file is on the server".into()),
            Self::Denied { .. } => Some("give the credentials that the server wants".into()),
            Self::Redirect { .. } => {
                Some("give the URL that it leads to; redirects from https to http are not followed".into())
            }
            Self::Proxy { .. } => {
                Some("check the proxy's URL, user and password, and that it allows this server".into())
            }
            Self::Manifest { .. } => {
                Some("make it again with `burin image pack IMAGE -o FOLDER`, and publish all of that folder".into())
            }
            Self::ManifestName { .. } => {
                Some("name the manifest of the right image, or correct the name in the order".into())
            }
            Self::ManifestOld { .. } => Some(
                "publish a newer one; to go back on purpose, lower `least_version` in the order, or in the ramdisk's \
                 /etc/burin/image-versions"
                    .into(),
            ),
            Self::ProxyUrl { .. } => {
                Some("write http://HOST:PORT; the other schemes are https, socks5 and socks5h".into())
            }
            Self::Truncated { .. } => Some("publish it again: the file is incomplete at its source".into()),
            Self::DigestMismatch { .. } => {
                Some("check the digest: it belongs to another build, or the bytes were changed in transit".into())
            }
            Self::DigestAmbiguous { .. } => {
                Some("give the digest itself, or publish paths in the checksum file".into())
            }
            Self::SignatureMissing { .. } => {
                Some("sign it: minisign -S -m FILE, and publish FILE.minisig beside it".into())
            }
            Self::SignatureOtherKey { .. } => {
                Some("give the key that it was signed with, or find out who signed it".into())
            }
            Self::SignatureLegacy { .. } => Some("sign it again, without -l: minisign -S -m FILE".into()),
            Self::SignatureOld { .. } => {
                Some("publish a newer release; with `minisign -t`, the comment needs `timestamp:SECONDS`".into())
            }
            Self::Signature { .. } => Some(
                "publish the file with its own signature: it was changed after it was signed, or belongs to another"
                    .into(),
            ),
            Self::SignatureKey { .. } => Some("give the second line of minisign.pub".into()),
            Self::NotIndexed { .. } => Some("make the index again: burin index IMAGE".into()),
            Self::TooLarge { .. } => Some("choose a larger disk or a smaller image".into()),
            Self::SectorSize { .. } => Some(
                "make an image for such disks, or choose others (`match` on logical_block_size; docs/images.md)".into(),
            ),
            Self::Window { .. } => Some("raise the window limit, or compress without --long/--ultra".into()),
            Self::Memory { .. } => Some(
                "compress it with a smaller window or dictionary (zstd without --long, xz -6), or in frames".into(),
            ),
            Self::Unsupported { .. } => Some(
                "publish the disk's bytes: raw or qcow2 (qemu-img convert -O qcow2 IN OUT), compressed once or not at \
                     all; see docs/images.md for formats and servers"
                    .into(),
            ),
            Self::Refused(refusal) => refusal.0.hint(),
            Self::Disk(error) => error.hint(),
            Self::Stopped { source, .. } => source.hint(),
            _ => self.registry_hint(),
        }
    }
}

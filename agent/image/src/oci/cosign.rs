//! cosign signatures made with a key, stored beside the image in its registry.
//!
//! Either form counts: `sha256-HEX.sig`, a manifest whose layers are payloads of "simple signing" with signatures in their
//! annotations; or a Sigstore bundle that refers to the image, a DSSE envelope around an in-toto statement. What is signed
//! is the digest, of the index or of the manifest that was chosen from it. A signature says that the key's owner signed this
//! image at some time, under whatever name.

use super::manifest::Document;
use super::small::Small;
use crate::error::ImageError;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use oci_spec::image::{Descriptor, ImageIndex};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::Deserialize;

const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const STATEMENT: &str = "application/vnd.in-toto+json";
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
const MANIFEST: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Limit for the signatures of one image.
const MOST: usize = 32;
/// What precedes the point of a P-256 key in a SubjectPublicKeyInfo (RFC 5480).
const P256: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The required signer of an image in a registry: a P-256 key from `cosign generate-key-pair`.
#[derive(Clone, PartialEq, Eq)]
pub struct CosignKey(Vec<u8>);

impl std::fmt::Debug for CosignKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CosignKey")
    }
}

impl CosignKey {
    /// Parses a cosign.pub (PEM, RFC 7468).
    pub fn parse(pem: &str) -> Result<Self, ImageError> {
        let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let body = body.and_then(|body| body.strip_suffix("-----END PUBLIC KEY-----"));
        let der = body.and_then(|body| BASE64_STANDARD.decode(body.split_whitespace().collect::<String>()).ok());
        let point = der.filter(|der| der.len() == P256.len() + 64 && der.starts_with(&P256));
        // The 4 means that the point is uncompressed, and belongs to it.
        point.and_then(|der| der.get(P256.len() - 1..).map(|point| Self(point.to_vec()))).ok_or(ImageError::CosignKey)
    }

    fn signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64_STANDARD.decode(signature.trim()) else { return false };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(bytes, &signature).is_ok()
    }
}

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: SignedImage,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SignedImage {
    docker_manifest_digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    dsse_envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: std::collections::BTreeMap<String, String>,
}

/// An error unless `key` signed one of these digests: that of an index, or of the manifest chosen from it.
pub fn check(small: &Small<'_>, key: &CosignKey, digests: &[String]) -> Result<(), ImageError> {
    let name = small.places.first().map(|first| first.to_string()).unwrap_or_default();
    let mut found = 0;
    for digest in digests {
        for (bytes, signature) in simple(small, digest)? {
            found += 1;
            if key.signed(&bytes, &signature) && payload_names(&bytes, digest) {
                return Ok(());
            }
        }
        for bundle in bundles(small, digest)? {
            found += 1;
            if bundle_signs(key, &bundle, digest) {
                return Ok(());
            }
        }
    }
    match found {
        0 => Err(ImageError::CosignMissing { url: name }),
        _ => Err(ImageError::Cosign { url: name, found }),
    }
}

fn payload_names(bytes: &[u8], digest: &str) -> bool {
    let payload: Option<Payload> = serde_json::from_slice(bytes).ok();
    payload.is_some_and(|Payload { critical }| {
        critical.kind == "cosign container image signature" && critical.image.docker_manifest_digest == digest
    })
}

fn bundle_signs(key: &CosignKey, bundle: &[u8], digest: &str) -> bool {
    let Ok(Bundle { dsse_envelope: envelope }) = serde_json::from_slice(bundle) else { return false };
    let Ok(payload) = BASE64_STANDARD.decode(&envelope.payload) else { return false };
    if envelope.payload_type != STATEMENT {
        return false;
    }
    // DSSE 1.0.2, "Pre-Authentication Encoding".
    let mut encoded = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(&payload);
    if !envelope.signatures.iter().take(MOST).any(|signature| key.signed(&encoded, &signature.sig)) {
        return false;
    }
    let statement: Option<Statement> = serde_json::from_slice(&payload).ok();
    // The same key may have signed other statements, for example a list of packages.
    statement.is_some_and(|statement| {
        let names =
            |subject: &Subject| subject.digest.iter().any(|(algorithm, hex)| format!("{algorithm}:{hex}") == digest);
        statement.kind.starts_with("https://in-toto.io/Statement/")
            && statement.predicate_type == PREDICATE
            && statement.subject.iter().any(names)
    })
}

/// For fuzzers: no input is a valid signature.
pub(crate) fn fuzz(bytes: &[u8]) {
    let key = CosignKey(vec![4; 65]);
    assert!(!bundle_signs(&key, bytes, "sha256:0"));
    payload_names(bytes, "sha256:0");
    let _ = layers(bytes, "fuzz");
}

/// Payloads and signatures, from the tag derived from the digest.
fn simple(small: &Small<'_>, digest: &str) -> Result<Vec<(Vec<u8>, String)>, ImageError> {
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let Some(bytes) = there(small.tagged(&tag, MANIFEST))? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for layer in layers(&bytes, &tag)?.iter().filter(|layer| layer.media_type().as_ref() == SIMPLE).take(MOST) {
        let signature = layer.annotations().as_ref().and_then(|all| all.get(ANNOTATION).cloned());
        if let Some(signature) = signature {
            found.push((small.blob(layer.digest().as_ref())?, signature));
        }
    }
    Ok(found)
}

/// Bundles that refer to the digest. If the registry has no referrers API, they are found by the fallback tag
/// (distribution specification 1.1, "Referrers Tag Schema").
fn bundles(small: &Small<'_>, digest: &str) -> Result<Vec<Vec<u8>>, ImageError> {
    let bytes = match there(small.referrers(digest, INDEX))? {
        Some(bytes) => Some(bytes),
        None => there(small.tagged(&digest.replace(':', "-"), INDEX))?,
    };
    let Some(bytes) = bytes else { return Ok(Vec::new()) };
    // A tag with this name may be anything.
    let Ok(index) = serde_json::from_slice::<ImageIndex>(&bytes) else { return Ok(Vec::new()) };
    let of_kind =
        |entry: &&Descriptor| entry.artifact_type().as_ref().is_some_and(|kind| kind.as_ref().starts_with(BUNDLE));
    let mut found = Vec::new();
    for entry in index.manifests().iter().filter(of_kind).take(MOST) {
        let Some((bytes, _)) = there(small.manifest(Some(entry.digest().as_ref()), MANIFEST))? else { continue };
        for layer in layers(&bytes, "bundle")?.iter().take(1) {
            found.push(small.blob(layer.digest().as_ref())?);
        }
    }
    Ok(found)
}

fn layers(manifest: &[u8], name: &str) -> Result<Vec<Descriptor>, ImageError> {
    match Document::parse(manifest, name)? {
        Document::Manifest(manifest) => Ok(manifest.layers().clone()),
        Document::Index(_) => Ok(Vec::new()),
    }
}

fn there<T>(found: Result<T, ImageError>) -> Result<Option<T>, ImageError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ImageError::NotFound { .. }) => Ok(None),
        // Responses of registries without a referrers API.
        Err(ImageError::Status { status: 400 | 405 | 406 | 501, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

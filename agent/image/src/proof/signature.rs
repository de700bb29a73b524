//! minisign signatures, of a downloaded image and of the small files beside it.
//!
//! An image is hashed while it streams by, so its signature must be a prehashed one (BLAKE2b-512, minisign's own
//! default since 0.10); small files may have a legacy one too.

use crate::error::ImageError;
use crate::proof::digest::Expected;
use minisign_verify::{Error, PublicKey, Signature, StreamVerifier};

/// The key in `text`: one line of base64, or a minisign.pub.
pub fn public_key(text: &str) -> Result<PublicKey, ImageError> {
    let text = text.trim();
    let key = if text.contains('\n') { PublicKey::decode(text) } else { PublicKey::from_base64(text) };
    key.map_err(|source| ImageError::SignatureKey { key: text.chars().take(80).collect(), source })
}

/// A signature, and the key that must have made it.
#[derive(Clone)]
pub struct Signed {
    pub(crate) key: PublicKey,
    pub(crate) signature: Signature,
    pub(crate) url: String,
    /// Earlier signatures are refused. Seconds since 1970.
    pub(crate) not_before: Option<u64>,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The image that a signature names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The last part of its URL or path.
    pub name: String,
    /// Digest of the downloaded bytes, `sha256:HEX`.
    pub wire: String,
}

impl Signed {
    /// Starts to verify a stream. Signatures by other keys and legacy signatures are refused here, before any bytes.
    pub fn verifier(&self) -> Result<StreamVerifier<'_>, ImageError> {
        self.key.verify_stream(&self.signature).map_err(|error| self.explain(error))
    }

    /// Must be called after the verifier has got everything.
    pub fn finish(&self, mut verifier: StreamVerifier<'_>) -> Result<(), ImageError> {
        verifier.finalize().map_err(|error| self.explain(error))
    }

    /// The image that the signature names, if its trusted comment has the form that `burin index` suggests: `image=NAME
    /// wire=sha256:HEX`. The comment is signed too.
    pub fn subject(&self) -> Option<Subject> {
        let comment = self.signature.trusted_comment();
        let field = |name: &str| comment.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        let (name, wire) = (field("image=")?, field("wire=")?);
        Some(Subject { name, wire: Expected::parse(&wire).ok()?.to_string() })
            .filter(|subject| !subject.name.is_empty())
    }

    /// The time of signing in seconds since 1970, if the trusted comment contains it: minisign writes `timestamp:`
    /// there.
    pub fn signed_at(&self) -> Option<u64> {
        let comment = self.signature.trusted_comment();
        comment.split_whitespace().find_map(|word| word.strip_prefix("timestamp:"))?.parse().ok()
    }

    /// An error if it is older than the order permits. The comment is verified with the rest of the signature, once all
    /// bytes have arrived.
    pub fn is_recent(&self) -> Result<(), ImageError> {
        let (Some(not_before), signed_at) = (self.not_before, self.signed_at()) else { return Ok(()) };
        match signed_at {
            Some(at) if at >= not_before => Ok(()),
            signed_at => Err(ImageError::SignatureOld { url: self.url.clone(), signed_at, not_before }),
        }
    }

    /// Whether a recent signature is required.
    pub fn is_dated(&self) -> bool {
        self.not_before.is_some()
    }

    /// Verifies bytes in memory, which may have a legacy signature.
    pub fn check(&self, bytes: &[u8]) -> Result<(), ImageError> {
        self.key.verify(bytes, &self.signature, true).map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Error) -> ImageError {
        let url = self.url.clone();
        match error {
            Error::UnexpectedKeyId => ImageError::SignatureOtherKey { url },
            Error::UnsupportedLegacyMode => ImageError::SignatureLegacy { url },
            source => ImageError::Signature { url, source },
        }
    }
}

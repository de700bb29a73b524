//! Verification of the downloaded bytes: by digest, by signature, or by both.

use crate::error::ImageError;
use crate::proof::digest::{Algorithm, Expected, Hasher};
use crate::proof::signature::Signed;
use minisign_verify::StreamVerifier;

/// The requirements for the downloaded bytes.
#[derive(Debug, Clone, Default)]
pub struct WireCheck {
    pub digest: Option<Expected>,
    pub signed: Option<Signed>,
}

impl WireCheck {
    /// An error if the signature cannot be valid, whatever the bytes are.
    pub fn new(digest: Option<&str>, signed: Option<Signed>) -> Result<Self, ImageError> {
        if let Some(signed) = &signed {
            signed.verifier()?;
        }
        Ok(Self { digest: digest.map(Expected::parse).transpose()?, signed })
    }

    /// Whether there are no requirements.
    pub fn is_empty(&self) -> bool {
        self.digest.is_none() && self.signed.is_none()
    }

    pub fn begin(&self) -> Result<WireSum<'_>, ImageError> {
        let signature = match &self.signed {
            Some(signed) => Some((signed, signed.verifier()?)),
            None => None,
        };
        let other = self.digest.as_ref().filter(|digest| digest.algorithm != Algorithm::Sha256);
        let hasher = other.map(Expected::hasher);
        Ok(WireSum { expected: self.digest.as_ref(), sha256: Hasher::sha256(), hasher, signature })
    }
}

/// Digests being computed.
pub struct WireSum<'a> {
    expected: Option<&'a Expected>,
    /// Computed for every download, pinned or not.
    sha256: Hasher,
    /// With the required algorithm, if it is another one.
    hasher: Option<Hasher>,
    signature: Option<(&'a Signed, StreamVerifier<'a>)>,
}

impl WireSum<'_> {
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some((_, verifier)) = &mut self.signature {
            verifier.update(bytes);
        }
    }

    /// The digests; an error unless all requirements are met. `name` is the source's.
    pub fn finish(self, name: &str) -> Result<WireDigests, ImageError> {
        let sha256 = self.sha256.finish();
        let asked = self.hasher.map_or_else(|| sha256.clone(), Hasher::finish);
        if let Some(expected) = self.expected {
            expected.check(&asked, name, "download")?;
        }
        if let Some((signed, verifier)) = self.signature {
            signed.finish(verifier)?;
        }
        Ok(WireDigests { asked: Some(asked), sha256: Some(sha256) })
    }
}

/// Digests of a download; empty if it was not fetched completely.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WireDigests {
    /// With the required algorithm, or SHA-256.
    pub asked: Option<String>,
    pub sha256: Option<String>,
}

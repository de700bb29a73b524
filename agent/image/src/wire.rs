//! What the bytes must be that came over the wire: their digest, their signature, or both.

use super::ImageError;
use super::digest::{Expected, Hasher};
use super::signature::Signed;
use minisign_verify::StreamVerifier;

/// What is known of the bytes as downloaded.
#[derive(Debug, Clone, Default)]
pub struct WireCheck {
    pub digest: Option<Expected>,
    pub signed: Option<Signed>,
}

impl WireCheck {
    /// An error where the signature cannot be right, whatever the bytes are.
    pub fn new(digest: Option<&str>, signed: Option<Signed>) -> Result<Self, ImageError> {
        if let Some(signed) = &signed {
            signed.verifier()?;
        }
        Ok(Self { digest: digest.map(Expected::parse).transpose()?, signed })
    }

    /// Whether nothing is known: any bytes will do.
    pub fn is_empty(&self) -> bool {
        self.digest.is_none() && self.signed.is_none()
    }

    pub fn begin(&self) -> Result<WireSum<'_>, ImageError> {
        let signature = match &self.signed {
            Some(signed) => Some((signed, signed.verifier()?)),
            None => None,
        };
        Ok(WireSum { expected: self.digest.as_ref(), hasher: self.digest.as_ref().map(Expected::hasher), signature })
    }
}

/// Sums under way.
pub struct WireSum<'a> {
    expected: Option<&'a Expected>,
    hasher: Option<Hasher>,
    signature: Option<(&'a Signed, StreamVerifier<'a>)>,
}

impl WireSum<'_> {
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some((_, verifier)) = &mut self.signature {
            verifier.update(bytes);
        }
    }

    /// The digest where one was asked for; an error unless everything is as it must be. `name` is the source's.
    pub fn finish(self, name: &str) -> Result<Option<String>, ImageError> {
        let actual = self.hasher.map(Hasher::finish);
        if let (Some(expected), Some(actual)) = (self.expected, &actual) {
            expected.check(actual, name, "download")?;
        }
        if let Some((signed, verifier)) = self.signature {
            signed.finish(verifier)?;
        }
        Ok(actual)
    }
}

//! Digests as orders write them: `sha256:HEX` or `sha512:HEX`.

use crate::error::ImageError;
use burin_protocol::hex;
use sha2::{Digest as _, Sha256, Sha512};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn hasher(self) -> Hasher {
        match self {
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
            Self::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// A required digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub algorithm: Algorithm,
    hex: String,
}

impl Expected {
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let invalid = || ImageError::DigestInvalid { text: text.chars().take(160).collect() };
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let (algorithm, len) = match name {
            "sha256" => (Algorithm::Sha256, 64),
            "sha512" => (Algorithm::Sha512, 128),
            _ => return Err(invalid()),
        };
        if hex.len() != len || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        Ok(Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    pub fn hasher(&self) -> Hasher {
        self.algorithm.hasher()
    }

    /// An error unless `actual`, the result of [`Hasher::finish`], matches. `what` of the source `name` has this
    /// digest.
    pub fn check(&self, actual: &str, name: &str, what: &'static str) -> Result<(), ImageError> {
        let expected = self.to_string();
        if expected == actual {
            return Ok(());
        }
        let (source_name, actual) = (name.to_owned(), actual.to_owned());
        Err(ImageError::DigestMismatch { source_name, what, expected, actual })
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        };
        write!(f, "{name}:{}", self.hex)
    }
}

/// A digest being computed.
#[derive(Debug, Clone)]
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// `ALGORITHM:HEX`, lower case.
    pub fn finish(self) -> String {
        match self {
            Self::Sha256(hasher) => format!("sha256:{}", hex(hasher.finalize())),
            Self::Sha512(hasher) => format!("sha512:{}", hex(hasher.finalize())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // FIPS 180-2, appendix B.1 and C.1: "abc".
        let sha256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected = Expected::parse(&sha256.replace("ba78", "BA78")).unwrap();
        let mut hasher = expected.hasher();
        hasher.update(b"a");
        hasher.update(b"bc");
        let actual = hasher.finish();
        assert_eq!(actual, sha256);
        expected.check(&actual, "abc", "content").unwrap();
        let error = expected.check("sha256:0", "abc", "content").unwrap_err();
        assert!(matches!(error, ImageError::DigestMismatch { .. }), "{error:?}");
        let mut hasher = Hasher::Sha512(Sha512::new());
        hasher.update(b"abc");
        assert!(hasher.finish().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        let short = "sha256:ba78";
        let wrong = format!("sha256:{}", "g".repeat(64));
        let odd = format!("md5:{}", "a".repeat(32));
        for text in ["", "abc", short, &wrong, &odd, &format!("sha512:{}", "a".repeat(64))] {
            assert!(Expected::parse(text).is_err(), "{text}");
        }
    }
}

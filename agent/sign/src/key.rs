//! Ed25519 keys (RFC 8032), in the formats of other programs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burin_protocol::error::Coded;
use burin_protocol::hex;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The prefix of the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The prefix of the 32 bytes of an Ed25519 seed in a PKCS#8 of version 1 (RFC 8410 section 7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// minisign's identifier for Ed25519, followed by the 8-byte key id.
const MINISIGN: &[u8; 2] = b"Ed";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{text:?} is not an Ed25519 public key")]
    Public { text: String },
    #[error("this is not an Ed25519 private key in PKCS#8, PEM")]
    Secret,
    #[error("no random numbers are available for a key")]
    Random,
}

impl Coded for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Public { .. } => "sign.public_key",
            Self::Secret => "sign.secret_key",
            Self::Random => "sign.random",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Public { .. } => {
                "write what `openssl pkey -in key.pem -pubout` prints, or the second line of a minisign.pub"
            }
            Self::Secret => "make one with `openssl genpkey -algorithm ed25519 -out key.pem`",
            Self::Random => return None,
        };
        Some(hint.to_owned())
    }
}

/// The key of a signer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A SubjectPublicKeyInfo, DER.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        Some(Self(der.strip_prefix(&SPKI)?.try_into().ok()?))
    }

    /// The key as a SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> Vec<u8> {
        [SPKI.as_slice(), &self.0].concat()
    }

    /// In the format of `openssl pkey -pubout`.
    pub fn pem(&self) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(self.spki()))
    }

    /// Its name in envelopes and receipts: the start of the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal.
    pub fn id(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.spki());
        hex(digest.as_ref().get(..16).unwrap_or_default())
    }

    /// Whether the holder of this key has signed these bytes.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// One line: base64 of the SubjectPublicKeyInfo, the contents of a PEM file.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.spki()))
    }
}

/// PEM or only its base64, a minisign.pub, or only its second line.
impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let failed = || KeyError::Public { text: text.chars().take(128).collect() };
        if text.contains("-----BEGIN") {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| failed())?;
            return Self::from_spki(&der).ok_or_else(failed);
        }
        // The first line of a minisign.pub is a comment.
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).ok_or_else(failed)?;
        let bytes = STANDARD.decode(line).map_err(|_| failed())?;
        let minisign = || bytes.strip_prefix(MINISIGN)?.get(8..)?.try_into().ok().map(Self);
        Self::from_spki(&bytes).or_else(minisign).ok_or_else(failed)
    }
}

/// A signing key.
pub struct SecretKey(Ed25519KeyPair);

impl SecretKey {
    /// A new key, with its PKCS#8 for storage.
    ///
    /// Without the public key in it, because OpenSSL before 3.2 cannot read that (RFC 5958, version 2).
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let mut bytes = Zeroizing::new([0; PKCS8.len() + 32].to_vec());
        let (start, seed) = bytes.split_at_mut(PKCS8.len());
        start.copy_from_slice(&PKCS8);
        SystemRandom::new().fill(seed).map_err(|_| KeyError::Random)?;
        Ok((Self::from_pkcs8(&bytes)?, bytes))
    }

    /// PKCS#8, DER, with or without the public key (RFC 5958), which openssl omits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|_| KeyError::Secret)
    }

    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Secret)?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    /// In the format that [`SecretKey::from_pem`] reads.
    pub fn pem_of(pkcs8: &[u8]) -> Zeroizing<String> {
        let text = Zeroizing::new(STANDARD.encode(pkcs8));
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        Zeroizing::new(format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n")))
    }

    pub fn public(&self) -> PublicKey {
        // ring's Ed25519 keys have 32 bytes.
        PublicKey(self.0.public_key().as_ref().try_into().unwrap_or_default())
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`, OpenSSL 3.5.
    const SECRET: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

    #[test]
    fn keys_of_the_rfc() {
        // RFC 8032 section 7.1, test 1.
        let secret = SecretKey::from_pem(SECRET).unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex(secret.public().0), public);
        assert_eq!(hex(secret.sign(b"")).get(..32), Some("e5564300c360ac729086e2cc806e828a"));
        assert!(secret.public().verifies(b"", &secret.sign(b"")));
        assert!(!secret.public().verifies(b"x", &secret.sign(b"")));
    }

    #[test]
    fn one_key_in_all_its_forms() {
        let (key, pkcs8) = SecretKey::generate().unwrap();
        let public = key.public();
        let minisign = STANDARD.encode([MINISIGN.as_slice(), b"12345678", &public.0].concat());
        for text in [
            public.pem(),
            public.to_string(),
            minisign.clone(),
            format!("untrusted comment: minisign public key 3132\n{minisign}\n"),
        ] {
            assert_eq!(text.parse::<PublicKey>().unwrap(), public, "{text}");
        }
        assert_eq!(SecretKey::from_pem(&SecretKey::pem_of(&pkcs8)).unwrap().public(), public);
        assert!(SecretKey::pem_of(&pkcs8).starts_with(&SECRET[..48]), "as openssl writes it");
        for bad in ["", "AAAA", "x y", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", SECRET] {
            assert_eq!(bad.parse::<PublicKey>().unwrap_err().code(), "sign.public_key", "{bad}");
        }
        assert_eq!(SecretKey::from_pem(&public.pem()).unwrap_err().code(), "sign.secret_key");
    }
}

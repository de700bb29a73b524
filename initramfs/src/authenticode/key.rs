//! The signer: an RSA key and its certificate.

use super::der::{Read, read};
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error(
        "{} is not an RSA key of 2048 to 4096 bits in PEM without a password: firmware knows no others; with a key that a token keeps, sign burin.efi by sbsign (Debian's package sbsigntool)",
        path.display()
    )]
    Key { path: PathBuf },
    #[error("{} is not a certificate in PEM (X.509)", path.display())]
    Certificate { path: PathBuf },
    #[error("{} does not belong to the key {}", certificate.display(), key.display())]
    OtherKey { key: PathBuf, certificate: PathBuf },
}

/// A key, and its certificate, which firmware has in `db`.
pub struct Signer {
    key: RsaKeyPair,
    certificate: Vec<u8>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl Signer {
    /// Both in PEM; the key as PKCS#8 or PKCS#1.
    pub fn load(key_path: &Path, certificate_path: &Path) -> Result<Self, SignerError> {
        let text =
            |path: &Path| std::fs::read(path).map_err(|source| SignerError::Read { path: path.to_owned(), source });
        let no_key = || SignerError::Key { path: key_path.to_owned() };
        let key = match PrivateKeyDer::from_pem_slice(&text(key_path)?).map_err(|_| no_key())? {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err(no_key()),
        };
        let key = key.map_err(|_| no_key())?;
        let no_certificate = || SignerError::Certificate { path: certificate_path.to_owned() };
        let certificate = CertificateDer::from_pem_slice(&text(certificate_path)?).map_err(|_| no_certificate())?;
        let Names { serial, issuer, key: of } = names(&certificate).ok_or_else(no_certificate)?;
        // The contents of the BIT STRING, after the count of unused bits.
        if of.contents.get(1..) != Some(key.public_key().as_ref()) {
            let (key, certificate) = (key_path.to_owned(), certificate_path.to_owned());
            return Err(SignerError::OtherKey { key, certificate });
        }
        let (serial, issuer) = (serial.whole.to_vec(), issuer.whole.to_vec());
        Ok(Self { key, issuer, serial, certificate: certificate.to_vec() })
    }

    /// DER of the certificate.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub(super) fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    pub(super) fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// PKCS#1 1.5, which uses no random numbers.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        // Fails only if the buffer has another length than the modulus.
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).unwrap_or_default()
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} bytes of certificate)", self.certificate.len())
    }
}

/// The certificate's fields that a signature refers to, and its public key.
struct Names<'a> {
    serial: Read<'a>,
    issuer: Read<'a>,
    key: Read<'a>,
}

/// RFC 5280, section 4.1.
fn names(certificate: &[u8]) -> Option<Names<'_>> {
    let (certificate, _) = read(certificate)?;
    let (to_be_signed, _) = read(certificate.contents)?;
    let (first, mut rest) = read(to_be_signed.contents)?;
    // The version is present unless it is the first.
    let serial = match first.tag {
        0xa0 => {
            let (serial, behind) = read(rest)?;
            rest = behind;
            serial
        }
        _ => first,
    };
    let (_algorithm, rest) = read(rest)?;
    let (issuer, rest) = read(rest)?;
    let (_validity, rest) = read(rest)?;
    let (_subject, rest) = read(rest)?;
    let (info, _) = read(rest)?;
    let (_algorithm, key) = read(info.contents)?;
    let (key, _) = read(key)?;
    (serial.tag == 0x02 && issuer.tag == 0x30 && key.tag == 0x03).then_some(Names { serial, issuer, key })
}

//! Public areas (TPMT_PUBLIC): what a key is and may do. Its name is a digest of this area.

use crate::bytes::{Reader, Writer};
use crate::pcr::SHA256;
use sha2::{Digest, Sha256};

const RSA: u16 = 0x0001;
const KEYED_HASH: u16 = 0x0008;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;
const AES: u16 = 0x0006;
const CFB: u16 = 0x0043;
const ECDSA: u16 = 0x0018;
const P256: u16 = 0x0003;

/// TPMA_OBJECT.
pub(crate) const FIXED_TPM: u32 = 0x2;
pub(crate) const FIXED_PARENT: u32 = 0x10;
pub(crate) const SENSITIVE_DATA_ORIGIN: u32 = 0x20;
pub(crate) const USER_WITH_AUTH: u32 = 0x40;
pub(crate) const NO_DA: u32 = 0x400;
pub(crate) const RESTRICTED: u32 = 0x1_0000;
pub(crate) const DECRYPT: u32 = 0x2_0000;
pub(crate) const SIGN: u32 = 0x4_0000;

/// The public part of an object whose name is a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public {
    /// TPMA_OBJECT.
    pub attributes: u32,
    /// Empty if the object cannot be used by policy.
    pub policy: Vec<u8>,
    pub shape: Shape,
}

/// How a key signs or encrypts: a fixed algorithm with its hash, or the command's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Null,
    With(u16, u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Rsa {
        /// Bits of the AES key (CFB) that protects children; `None` for keys without children.
        symmetric: Option<u16>,
        scheme: Scheme,
        bits: u16,
        /// 0 means 65537.
        exponent: u32,
        modulus: Vec<u8>,
    },
    P256 {
        symmetric: Option<u16>,
        scheme: Scheme,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    /// Sealed data (TPM_ALG_KEYEDHASH without a scheme).
    Data {
        unique: Vec<u8>,
    },
}

impl Public {
    /// TPMT_PUBLIC.
    pub fn to_bytes(&self) -> Vec<u8> {
        let kind = match &self.shape {
            Shape::Rsa { .. } => RSA,
            Shape::P256 { .. } => ECC,
            Shape::Data { .. } => KEYED_HASH,
        };
        let start = Writer::default().u16(kind).u16(SHA256).u32(self.attributes).sized(&self.policy);
        match &self.shape {
            Shape::Rsa { symmetric: inner, scheme: how, bits, exponent, modulus } => {
                scheme(symmetric(start, *inner), *how).u16(*bits).u32(*exponent).sized(modulus)
            }
            Shape::P256 { symmetric: inner, scheme: how, x, y } => {
                scheme(symmetric(start, *inner), *how).u16(P256).u16(NULL).sized(x).sized(y)
            }
            Shape::Data { unique } => start.u16(NULL).sized(unique),
        }
        .0
    }

    /// `None` for other kinds of objects, and for names with another digest.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (kind, names) = (reader.u16()?, reader.u16()?);
        let (attributes, policy) = (reader.u32()?, reader.sized()?.to_vec());
        let shape = match kind {
            RSA => Shape::Rsa {
                symmetric: read_symmetric(&mut reader)?,
                scheme: read_scheme(&mut reader)?,
                bits: reader.u16()?,
                exponent: reader.u32()?,
                modulus: reader.sized()?.to_vec(),
            },
            ECC => {
                let (symmetric, scheme) = (read_symmetric(&mut reader)?, read_scheme(&mut reader)?);
                if (reader.u16()?, reader.u16()?) != (P256, NULL) {
                    return None;
                }
                Shape::P256 { symmetric, scheme, x: reader.sized()?.to_vec(), y: reader.sized()?.to_vec() }
            }
            KEYED_HASH if reader.u16()? == NULL => Shape::Data { unique: reader.sized()?.to_vec() },
            _ => return None,
        };
        (names == SHA256 && reader.is_empty()).then_some(Self { attributes, policy, shape })
    }

    /// The digest by which other structures refer to the object (part 1, section 16).
    pub fn name(&self) -> Vec<u8> {
        Writer::default().u16(SHA256).raw(&Sha256::digest(self.to_bytes())).0
    }

    /// SHA-256 of the public area, for lists of known keys.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    pub(crate) fn has(&self, attributes: u32) -> bool {
        self.attributes & attributes == attributes
    }

    /// A point of P-256, uncompressed (SEC 1): 65 bytes.
    pub(crate) fn point(&self) -> Option<Vec<u8>> {
        let Shape::P256 { x, y, .. } = &self.shape else { return None };
        Some([[4].as_slice(), &padded(x)?, &padded(y)?].concat())
    }

    /// A key that cannot leave the TPM, and signs only what the TPM itself has generated.
    pub fn is_attestation_key(&self) -> bool {
        let signs = matches!(self.shape, Shape::P256 { scheme: Scheme::With(ECDSA, SHA256), .. });
        signs && self.has(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | SIGN) && !self.has(DECRYPT)
    }

    /// A key that cannot leave the TPM, and decrypts only while `policy` is met.
    pub fn is_sealing_key(&self, policy: &[u8]) -> bool {
        let kind = matches!(self.shape, Shape::P256 { symmetric: None, .. });
        kind && self.has(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | DECRYPT)
            && !self.has(USER_WITH_AUTH)
            && !self.has(RESTRICTED)
            && !self.has(SIGN)
            && self.policy == policy
    }

    /// A key that `TPM2_ActivateCredential` can use.
    pub fn is_storage_key(&self) -> bool {
        self.has(FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED | DECRYPT) && !self.has(SIGN)
    }
}

/// Pads to 32 bytes with leading zeros, which TPMs may omit.
pub(crate) fn padded(number: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let start = 32usize.checked_sub(number.len())?;
    bytes.get_mut(start..)?.copy_from_slice(number);
    Some(bytes)
}

fn symmetric(writer: Writer, bits: Option<u16>) -> Writer {
    match bits {
        None => writer.u16(NULL),
        Some(bits) => writer.u16(AES).u16(bits).u16(CFB),
    }
}

fn read_symmetric(reader: &mut Reader<'_>) -> Option<Option<u16>> {
    match reader.u16()? {
        NULL => Some(None),
        AES => {
            let bits = reader.u16()?;
            (reader.u16()? == CFB).then_some(Some(bits))
        }
        _ => None,
    }
}

fn scheme(writer: Writer, scheme: Scheme) -> Writer {
    match scheme {
        Scheme::Null => writer.u16(NULL),
        Scheme::With(algorithm, hash) => writer.u16(algorithm).u16(hash),
    }
}

fn read_scheme(reader: &mut Reader<'_>) -> Option<Scheme> {
    match reader.u16()? {
        NULL => Some(Scheme::Null),
        algorithm => Some(Scheme::With(algorithm, reader.u16()?)),
    }
}

fn p256(attributes: u32, policy: &[u8], symmetric: Option<u16>, scheme: Scheme, unique: &[u8]) -> Public {
    let shape = Shape::P256 { symmetric, scheme, x: unique.to_vec(), y: Vec::new() };
    Public { attributes, policy: policy.to_vec(), shape }
}

/// Template of burin's attestation key: the same TPM derives the same key from it every time, and no other TPM does.
pub fn attestation_key() -> Public {
    let attributes = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | SIGN;
    p256(attributes, &[], None, Scheme::With(ECDSA, SHA256), b"burin attestation key")
}

/// Template of burin's sealing key, which decrypts only if `policy` is met.
pub fn sealing_key(policy: &[u8]) -> Public {
    let attributes = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | NO_DA | DECRYPT;
    p256(attributes, policy, None, Scheme::Null, b"burin sealing key")
}

/// Template of the parent of other objects: the TCG's "SRK" of P-256 (TCG TPM v2.0 Provisioning Guidance, section
/// 7.5.1).
pub fn storage_key() -> Public {
    let attributes = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | DECRYPT;
    p256(attributes, &[], Some(128), Scheme::Null, &[])
}

/// Template of data that is released only if `policy` is met.
pub fn sealed_data(policy: &[u8]) -> Public {
    let shape = Shape::Data { unique: Vec::new() };
    Public { attributes: FIXED_TPM | FIXED_PARENT | NO_DA, policy: policy.to_vec(), shape }
}

/// Template of the parent key that systemd uses (tpm2-util.c of version 252). Wrong guesses lock the TPM.
pub fn systemd_key() -> Public {
    let attributes = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | RESTRICTED | DECRYPT;
    p256(attributes, &[], Some(128), Scheme::Null, &[])
}

/// Template of the objects that systemd seals below it.
pub fn systemd_data(policy: &[u8]) -> Public {
    let shape = Shape::Data { unique: Vec::new() };
    Public { attributes: FIXED_TPM | FIXED_PARENT, policy: policy.to_vec(), shape }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_are_read_as_they_are_written() {
        let (key, data) = (systemd_key(), systemd_data(&[1; 32]));
        assert_eq!((key.attributes, data.attributes), (0x3_0072, 0x12));
        for public in [attestation_key(), sealing_key(&[7; 32]), storage_key(), sealed_data(&[1; 32]), key, data] {
            assert_eq!(Public::parse(&public.to_bytes()), Some(public.clone()));
            let mut longer = public.to_bytes();
            longer.push(0);
            assert_eq!(Public::parse(&longer), None);
        }
        assert!(attestation_key().is_attestation_key() && !storage_key().is_attestation_key());
        assert!(sealing_key(&[7; 32]).is_sealing_key(&[7; 32]) && !sealing_key(&[7; 32]).is_sealing_key(&[8; 32]));
        let mut open = sealing_key(&[7; 32]);
        open.attributes |= USER_WITH_AUTH;
        assert!(!open.is_sealing_key(&[7; 32]), "anybody could use it with the empty password");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(public) = Public::parse(&bytes) {
                prop_assert_eq!(public.to_bytes(), bytes);
            }
        }
    }
}

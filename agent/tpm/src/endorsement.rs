//! Endorsement keys and their certificates (TCG EK Credential Profile for TPM Family 2.0).

use crate::public::{Public, Scheme, Shape};
use burin_protocol::error::Coded;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage};

/// Where TPMs keep the certificate of their endorsement key (section 2.2.1.4).
pub const EK_RSA: u32 = 0x01c0_0002;
pub const EK_ECC: u32 = 0x01c0_000a;

/// TPM2_PolicySecret(endorsement hierarchy), section B.6.2.
const POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const ATTRIBUTES: u32 = 0x3_00b2;
/// tcg-kp-EKCertificate, 2.23.133.8.1.
const EK_CERTIFICATE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// Template L-1 (RSA 2048) or L-2 (P-256) of section B.3: the key for which the certificate is issued.
pub fn endorsement_key(ecc: bool) -> Public {
    let (symmetric, scheme) = (Some(128), Scheme::Null);
    let shape = match ecc {
        true => Shape::P256 { symmetric, scheme, x: vec![0; 32], y: vec![0; 32] },
        false => Shape::Rsa { symmetric, scheme, bits: 2048, exponent: 0, modulus: vec![0; 256] },
    };
    Public { attributes: ATTRIBUTES, policy: POLICY.to_vec(), shape }
}

/// Why an endorsement key is not accepted as a TPM's.
#[derive(Debug, thiserror::Error)]
pub enum EndorsementError {
    #[error("the endorsement key has no certificate")]
    None,
    #[error("the endorsement key's certificate is not valid, or was issued by an untrusted authority")]
    Certificate { source: webpki::Error },
    #[error("the certificate is not for endorsement keys")]
    Purpose,
    #[error("the certificate is for another key than the endorsement key")]
    OtherKey,
}

impl Coded for EndorsementError {
    fn code(&self) -> &'static str {
        match self {
            Self::None => "attest.no_certificate",
            Self::Certificate { .. } | Self::Purpose => "attest.certificate",
            Self::OtherKey => "attest.other_key",
        }
    }
}

/// Verifies that one of `authorities` (X.509, DER) certifies that this key is in a TPM. `more` contains intermediate
/// certificates in DER. `now` is in seconds since 1970.
pub fn verify_certificate(
    public: &Public,
    certificate: Option<&[u8]>,
    more: &[Vec<u8>],
    authorities: &[Vec<u8>],
    now: u64,
) -> Result<(), EndorsementError> {
    // TPMs may leave arbitrary bytes after the certificate in the index.
    let certificate = CertificateDer::from(certificate.map(trimmed).ok_or(EndorsementError::None)?);
    let failed = |source| EndorsementError::Certificate { source };
    let entity = EndEntityCert::try_from(&certificate).map_err(failed)?;
    let authorities: Vec<CertificateDer<'_>> = authorities.iter().map(|der| der.as_slice().into()).collect();
    let anchors = authorities.iter().map(webpki::anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>();
    let more: Vec<CertificateDer<'_>> = more.iter().map(|der| der.as_slice().into()).collect();
    // webpki's `required` would demand it of intermediate authorities too, which do not have it.
    let usage = KeyUsage::required_if_present(EK_CERTIFICATE);
    let purpose = [&[0x06, EK_CERTIFICATE.len() as u8], EK_CERTIFICATE].concat();
    if !certificate.windows(purpose.len()).any(|window| window == purpose) {
        return Err(EndorsementError::Purpose);
    }
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let anchors = anchors.map_err(failed)?;
    entity.verify_for_usage(algorithms, &anchors, &more, now, usage, None, None).map_err(failed)?;
    let info = entity.subject_public_key_info();
    if public.is_storage_key() && holds(&info, public) { Ok(()) } else { Err(EndorsementError::OtherKey) }
}

/// The certificate without what follows it: DER contains its length.
fn trimmed(der: &[u8]) -> &[u8] {
    let length = match der {
        [0x30, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])) + 4,
        _ => der.len(),
    };
    der.get(..length).unwrap_or(der)
}

/// Whether a SubjectPublicKeyInfo contains this key: it ends with the key's numbers, and its length leaves no room for
/// others.
fn holds(info: &[u8], public: &Public) -> bool {
    let expected = match &public.shape {
        Shape::Rsa { modulus, exponent, .. } => {
            let exponent = if *exponent == 0 { 65_537 } else { *exponent };
            rsa_info(modulus, exponent)
        }
        Shape::P256 { .. } => public.point().map(|point| [P256_INFO, &point].concat()).unwrap_or_default(),
        Shape::Data { .. } => return false,
    };
    info == expected
}

/// RFC 5480, up to the point.
const P256_INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// rsaEncryption with NULL, RFC 8017 annex A.1.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

fn rsa_info(modulus: &[u8], exponent: u32) -> Vec<u8> {
    let key = [integer(modulus), integer(&exponent.to_be_bytes())].concat();
    let bits = [&[0], element(0x30, &key).as_slice()].concat();
    element(0x30, &[RSA_ALGORITHM, &element(0x03, &bits)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let number = number.get(start..).unwrap_or_default();
    // If the first bit is set, it would be a sign.
    let sign: &[u8] = if number.first().is_none_or(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    element(0x02, &[sign, number].concat())
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let [_, _, high, low] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let head: &[u8] = match length {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], head, contents].concat()
}

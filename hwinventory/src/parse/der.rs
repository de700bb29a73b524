//! As much of DER (X.690) as it takes to find the public key in an X.509 certificate, and to write one.

use super::bytes::{slice, u8_at};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const CONTEXT_0: u8 = 0xa0;

/// Tag, whole element and contents of the element that `bytes` starts with.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let tag = u8_at(bytes, 0)?;
    let (length, header) = match u8_at(bytes, 1)? {
        short @ 0..=0x7f => (usize::from(short), 2),
        long => {
            let octets = usize::from(long & 0x7f);
            // Four octets are more than any certificate needs; the indefinite form is no DER.
            let value = slice(bytes, 2, octets).filter(|_| (1..=4).contains(&octets))?;
            (value.iter().fold(0usize, |n, &b| n << 8 | usize::from(b)), 2 + octets)
        }
    };
    Some((tag, slice(bytes, 0, header.checked_add(length)?)?, slice(bytes, header, length)?))
}

/// The certificate without what pads it: storage is often larger than what it holds.
pub fn certificate(bytes: &[u8]) -> Option<&[u8]> {
    element(bytes).filter(|(tag, ..)| *tag == SEQUENCE).map(|(_, whole, _)| whole)
}

/// The SubjectPublicKeyInfo of a certificate (RFC 5280 4.1).
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (_, _, outer) = element(certificate).filter(|e| e.0 == SEQUENCE)?;
    let (_, _, mut rest) = element(outer).filter(|e| e.0 == SEQUENCE)?;
    // Version (left out in version 1), serial number, signature, issuer, validity, subject.
    let (first, version, _) = element(rest)?;
    if first == CONTEXT_0 {
        rest = rest.get(version.len()..)?;
    }
    for _ in 0..5 {
        rest = rest.get(element(rest)?.1.len()..)?;
    }
    element(rest).filter(|e| e.0 == SEQUENCE).map(|(_, whole, _)| whole)
}

fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = vec![tag];
    let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|&b| b == 0).collect();
    if length < 0x80 {
        out.push(length as u8);
    } else {
        out.push(0x80 | octets.len() as u8);
        out.extend(octets);
    }
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out
}

/// A positive INTEGER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len().saturating_sub(1));
    let digits = bytes.get(start..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|b| b & 0x80 != 0) { &[0] } else { &[] };
    wrap(INTEGER, &[sign, digits])
}

/// SubjectPublicKeyInfo of an RSA key (RFC 8017 A.1).
pub fn rsa_public_key(modulus: &[u8], exponent: u32) -> Vec<u8> {
    // rsaEncryption, with its NULL parameters.
    const ALGORITHM: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
    let key = wrap(SEQUENCE, &[&integer(modulus), &integer(&exponent.to_be_bytes())]);
    wrap(SEQUENCE, &[ALGORITHM, &wrap(BIT_STRING, &[&[0], &key])])
}

/// SubjectPublicKeyInfo of a point on a curve (RFC 5480). Coordinates are padded to the curve's size.
pub fn ecc_public_key(curve: u16, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    const ECC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    let (oid, size): (&[u8], usize) = match curve {
        3 => (&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], 32),
        4 => (&[6, 5, 0x2b, 0x81, 4, 0, 34], 48),
        5 => (&[6, 5, 0x2b, 0x81, 4, 0, 35], 66),
        _ => return None,
    };
    let padded = |bytes: &[u8]| {
        let missing = size.checked_sub(bytes.len())?;
        Some([vec![0; missing], bytes.to_vec()].concat())
    };
    let point = [&[0, 4][..], &padded(x)?, &padded(y)?].concat();
    Some(wrap(SEQUENCE, &[&wrap(SEQUENCE, &[ECC, oid]), &wrap(BIT_STRING, &[&point])]))
}

/// `rsa-2048`, `ecc-p256`, ... of a SubjectPublicKeyInfo.
pub fn algorithm(key: &[u8]) -> Option<String> {
    let (_, _, body) = element(key).filter(|e| e.0 == SEQUENCE)?;
    let (_, algorithm, parameters) = element(body)?;
    let (_, oid, _) = element(parameters)?;
    if oid.ends_with(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]) {
        let curve = parameters.get(oid.len()..)?;
        let name = match curve {
            [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, ..] => "ecc-p256",
            [6, 5, 0x2b, 0x81, 4, 0, 34, ..] => "ecc-p384",
            [6, 5, 0x2b, 0x81, 4, 0, 35, ..] => "ecc-p521",
            _ => "ecc",
        };
        return Some(name.to_owned());
    }
    if !oid.ends_with(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1])
        // RSAES-OAEP, which the first EK certificates name.
        && !oid.ends_with(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7])
    {
        return None;
    }
    let (_, _, bits) = element(body.get(algorithm.len()..)?).filter(|e| e.0 == BIT_STRING)?;
    let (_, _, numbers) = element(bits.get(1..)?)?;
    let (_, _, modulus) = element(numbers).filter(|e| e.0 == INTEGER)?;
    let digits = modulus.iter().skip_while(|&&b| b == 0).count();
    Some(format!("rsa-{}", digits * 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_are_written_are_read() {
        let modulus = [vec![0xc1], vec![7; 255]].concat();
        let key = rsa_public_key(&modulus, 65537);
        assert_eq!(key.len(), 294, "the size every 2048-bit key has");
        assert_eq!(algorithm(&key).as_deref(), Some("rsa-2048"));
        let point = ecc_public_key(3, &[1; 31], &[2; 32]).expect("a known curve");
        assert_eq!(point.len(), 91);
        assert_eq!(algorithm(&point).as_deref(), Some("ecc-p256"));
        assert_eq!(ecc_public_key(3, &[1; 33], &[2; 32]), None);
        assert_eq!(ecc_public_key(99, &[1; 32], &[2; 32]), None);
    }

    #[test]
    fn the_key_of_a_certificate() {
        let key = rsa_public_key(&[0x99; 256], 65537);
        let name = wrap(SEQUENCE, &[]);
        let body = [
            wrap(CONTEXT_0, &[&integer(&[2])]),
            integer(&[1, 2, 3]),
            name.clone(),
            name.clone(),
            name.clone(),
            name,
            key.clone(),
        ]
        .concat();
        let mut stored = wrap(SEQUENCE, &[&wrap(SEQUENCE, &[&body])]);
        let length = stored.len();
        stored.extend([0xff; 40]);
        let trimmed = certificate(&stored).expect("a sequence");
        assert_eq!(trimmed.len(), length);
        assert_eq!(public_key(trimmed), Some(key.as_slice()));
        assert_eq!(public_key(&trimmed[..length / 2]), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..60, b in any::<u8>()) {
            certificate(&bytes);
            public_key(&bytes);
            algorithm(&bytes);
            let mut key = rsa_public_key(&[0x99; 32], 3);
            if let Some(byte) = key.get_mut(at) { *byte = b; }
            algorithm(&key);
            public_key(&key);
            ecc_public_key(u16::from(b % 8), &bytes, &bytes);
        }
    }
}

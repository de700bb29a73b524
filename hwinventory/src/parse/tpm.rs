//! TPM 2.0 commands and responses (TCG TPM Library part 3). Everything is big-endian.

use super::bytes::{ascii, be16, be32, slice};
use super::der;

/// TPM_RS_PW, no nonce, no attributes, no password: an authorization area with the empty password.
const EMPTY_PASSWORD: &[u8] = &[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
const ENDORSEMENT: u32 = 0x4000_000b;
const OWNER: u32 = 0x4000_0001;
/// Response codes of a wrong password, with and without protection against guessing (session 1).
const AUTH_FAIL: u32 = 0x98e;
const BAD_AUTH: u32 = 0x9a2;

const RSA: u16 = 0x0001;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;

fn command(tag: u16, code: u32, parts: &[&[u8]]) -> Vec<u8> {
    let length = 10 + parts.iter().map(|p| p.len()).sum::<usize>();
    let mut bytes = [&tag.to_be_bytes()[..], &(length as u32).to_be_bytes(), &code.to_be_bytes()].concat();
    parts.iter().for_each(|p| bytes.extend_from_slice(p));
    bytes
}

/// `TPM2_GetCapability` of the fixed properties.
pub fn get_properties() -> Vec<u8> {
    capability(6, 0x100, 32)
}

/// `TPM2_GetCapability` of the handles from `first` on, which are all of one kind.
pub fn get_handles(first: u32) -> Vec<u8> {
    capability(1, first, 64)
}

fn capability(capability: u32, property: u32, count: u32) -> Vec<u8> {
    command(0x8001, 0x17a, &[&capability.to_be_bytes(), &property.to_be_bytes(), &count.to_be_bytes()])
}

/// `TPM2_NV_ReadPublic`.
pub fn nv_read_public(index: u32) -> Vec<u8> {
    command(0x8001, 0x169, &[&index.to_be_bytes()])
}

/// `TPM2_NV_Read` with an empty password, of the index itself or of the owner.
pub fn nv_read(index: u32, by_owner: bool, size: u16, offset: u16) -> Vec<u8> {
    let auth = if by_owner { OWNER } else { index };
    command(
        0x8002,
        0x14e,
        &[&auth.to_be_bytes(), &index.to_be_bytes(), EMPTY_PASSWORD, &size.to_be_bytes(), &offset.to_be_bytes()],
    )
}

/// `TPM2_ReadPublic`.
pub fn read_public(handle: u32) -> Vec<u8> {
    command(0x8001, 0x173, &[&handle.to_be_bytes()])
}

/// `TPM2_CreatePrimary` in the endorsement hierarchy: the same seed and template give the same key every time, and
/// nothing of it is kept.
pub fn create_primary(template: &[u8]) -> Vec<u8> {
    // No password and no data for the key, no outside data, no PCRs.
    let sensitive: &[u8] = &[0, 4, 0, 0, 0, 0];
    let size = (template.len() as u16).to_be_bytes();
    let rest: &[u8] = &[0, 0, 0, 0, 0, 0];
    command(0x8002, 0x131, &[&ENDORSEMENT.to_be_bytes(), EMPTY_PASSWORD, sensitive, &size, template, rest])
}

/// Templates L-1 (RSA 2048) and L-2 (ECC P-256) of the TCG EK Credential Profile, B.3.3 and B.3.4. `nonce` fills the
/// place of the key, where the maker has stored one.
pub fn ek_template(ecc: bool, nonce: &[u8]) -> Vec<u8> {
    // TPM2_PolicySecret(endorsement hierarchy).
    const POLICY: [u8; 32] = [
        0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52,
        0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
    ];
    let kind = if ecc { ECC } else { RSA };
    // SHA-256; fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
    let mut bytes = [&kind.to_be_bytes()[..], &[0, 0x0b, 0, 3, 0, 0xb2, 0, 32], &POLICY].concat();
    // AES 128 CFB, no scheme.
    bytes.extend([0, 6, 0, 128, 0, 0x43, 0, 0x10]);
    let unique = |size: usize| {
        let mut place = vec![0u8; size];
        place.iter_mut().zip(nonce).for_each(|(to, from)| *to = *from);
        [(size as u16).to_be_bytes().to_vec(), place].concat()
    };
    if ecc {
        // P-256, no key derivation.
        bytes.extend([0, 3, 0, 0x10]);
        bytes.extend(unique(32));
        bytes.extend([0, 32]);
        bytes.extend([0; 32]);
    } else {
        bytes.extend([8, 0, 0, 0, 0, 0]);
        bytes.extend(unique(256));
    }
    bytes
}

/// Whether the TPM refused because somebody has set a password.
pub fn wants_password(response: &[u8]) -> bool {
    matches!(be32(response, 6), Some(AUTH_FAIL | BAD_AUTH))
}

/// The response's parameters, when its code is success.
fn parameters(response: &[u8]) -> Option<&[u8]> {
    (be32(response, 6)? == 0).then(|| response.get(10..)).flatten()
}

/// Manufacturer and firmware version.
pub fn properties(response: &[u8]) -> Option<(Option<String>, Option<String>)> {
    let body = parameters(response)?;
    let count = be32(body, 5)?.min(256) as usize;
    let mut manufacturer = None;
    let (mut high, mut low) = (None, None);
    for at in (0..count).map(|i| 9 + i * 8) {
        let (Some(property), Some(value)) = (be32(body, at), be32(body, at + 4)) else { break };
        match property {
            0x105 => manufacturer = ascii(&value.to_be_bytes()),
            0x10b => high = Some(value),
            0x10c => low = Some(value),
            _ => {}
        }
    }
    let firmware = high.map(|h| {
        let low = low.unwrap_or(0);
        format!("{}.{}.{}.{}", h >> 16, h & 0xffff, low >> 16, low & 0xffff)
    });
    Some((manufacturer, firmware))
}

/// Size of an index, from `TPM2_NV_ReadPublic`.
pub fn nv_size(response: &[u8]) -> Option<u16> {
    let public = parameters(response)?;
    // Size of the structure, index, name algorithm, attributes, policy with its size, size of the data.
    let policy = usize::from(be16(public, 12)?);
    be16(public, 14 + policy)
}

pub fn nv_data(response: &[u8]) -> Option<&[u8]> {
    let body = parameters(response)?;
    slice(body, 6, usize::from(be16(body, 4)?))
}

/// Handles, from `TPM2_GetCapability`.
pub fn handles(response: &[u8]) -> Vec<u32> {
    let Some(body) = parameters(response).filter(|b| be32(b, 1) == Some(1)) else { return Vec::new() };
    let count = be32(body, 5).unwrap_or(0).min(256) as usize;
    (0..count).map_while(|i| be32(body, 9 + i * 4)).collect()
}

/// The key in the answer to `TPM2_ReadPublic`, as SubjectPublicKeyInfo.
pub fn read_key(response: &[u8]) -> Option<Vec<u8>> {
    public_key(parameters(response)?)
}

/// The key in the answer to `TPM2_CreatePrimary`: behind its handle and the size of the parameters.
pub fn created_key(response: &[u8]) -> Option<Vec<u8>> {
    public_key(parameters(response)?.get(8..)?)
}

/// TPM2B_PUBLIC (part 2, 12.2.4 and 12.2.5).
fn public_key(bytes: &[u8]) -> Option<Vec<u8>> {
    let public = slice(bytes, 2, usize::from(be16(bytes, 0)?))?;
    let kind = be16(public, 0)?;
    let mut at = 10 + usize::from(be16(public, 8)?);
    // An algorithm, and its details where there is one.
    let mut skip = |details: usize| {
        let algorithm = be16(public, at)?;
        at += if algorithm == NULL { 2 } else { 2 + details };
        Some(())
    };
    skip(4)?;
    skip(2)?;
    match kind {
        RSA => {
            let exponent = be32(public, at + 2)?;
            let modulus = slice(public, at + 8, usize::from(be16(public, at + 6)?))?;
            // 0 stands for the usual one.
            Some(der::rsa_public_key(modulus, if exponent == 0 { 65537 } else { exponent }))
        }
        ECC => {
            let curve = be16(public, at)?;
            at += 2;
            at += if be16(public, at)? == NULL { 2 } else { 4 };
            let x = slice(public, at + 2, usize::from(be16(public, at)?))?;
            at += 2 + x.len();
            let y = slice(public, at + 2, usize::from(be16(public, at)?))?;
            der::ecc_public_key(curve, x, y)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_say_their_length() {
        let commands = [
            get_properties(),
            get_handles(0x8100_0000),
            nv_read_public(0x01c0_0002),
            nv_read(0x01c0_0002, false, 512, 0),
            read_public(0x8101_0001),
            create_primary(&ek_template(false, &[])),
            create_primary(&ek_template(true, &[])),
        ];
        for command in commands {
            assert_eq!(be32(&command, 2), Some(command.len() as u32));
        }
    }

    #[test]
    fn the_key_of_a_template_is_the_one_in_it() {
        let nonce = [0xc5; 256];
        for (ecc, algorithm) in [(false, "rsa-2048"), (true, "ecc-p256")] {
            let template = ek_template(ecc, &nonce);
            let response = [&[0u8; 10][..], &(template.len() as u16).to_be_bytes(), &template].concat();
            let key = read_key(&response).expect("well-formed");
            assert_eq!(der::algorithm(&key).as_deref(), Some(algorithm));
            assert!(key.windows(32).any(|w| w == [0xc5; 32]));
            for end in 0..response.len() {
                assert_eq!(read_key(&response[..end]), None);
            }
        }
    }

    #[test]
    fn fixed_properties() {
        let mut response = vec![0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        response.extend([0, 0, 0, 0, 6, 0, 0, 0, 2]);
        response.extend([0, 0, 1, 5]);
        response.extend(b"IBM\0");
        response.extend([0, 0, 1, 0x0b, 0x20, 0x19, 0x10, 0x23]);
        assert_eq!(properties(&response), Some((Some("IBM".into()), Some("8217.4131.0.0".into()))));
        assert_eq!(properties(&[0; 10]), None);
    }
}

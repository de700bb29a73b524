//! Signatures for UEFI Secure Boot: Microsoft's "Windows Authenticode Portable Executable Signature Format", one
//! signature, SHA-256 with RSA, without a timestamp, so that the same input gives the same bytes.
//!
//! Firmware also measures this digest of each program that it starts (register 4 of a TPM).

mod der;
mod key;

pub use key::{Signer, SignerError};

use crate::bytes::{put_u32, u16_at, u32_at};
use der::{Element, element, oid};
use sha2::{Digest, Sha256};

const SIGNED_DATA: &[u8] = oid!(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02);
const SPC_INDIRECT_DATA: &[u8] = oid!(0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x04);
const SPC_PE_IMAGE_DATA: &[u8] = oid!(0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f);
const CONTENT_TYPE: &[u8] = oid!(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03);
const MESSAGE_DIGEST: &[u8] = oid!(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04);
/// AlgorithmIdentifiers with NULL: SHA-256, rsaEncryption.
const SHA256: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// WIN_CERTIFICATE: revision 2.0, PKCS#7 SignedData.
const CERTIFICATE_KIND: u32 = 0x0002_0200;

/// Why a program cannot be signed, or has no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PE32+ program with room for a signature: {0}")]
pub struct PeError(&'static str);

/// The parts of a PE file that a signature does not cover.
struct Pe {
    checksum: usize,
    /// Entry 4 of the data directories.
    directory: usize,
    headers: usize,
    /// Offset and size of the contents of each section, by offset.
    sections: Vec<(usize, usize)>,
    /// Start of an old signature, or the end of the file.
    end: usize,
}

impl Pe {
    fn read(image: &[u8]) -> Option<Self> {
        let coff = (u32_at(image, 0x3c)? as usize).checked_add(4)?;
        if image.get(..2)? != b"MZ" || image.get(coff - 4..coff)? != b"PE\0\0" {
            return None;
        }
        let optional = coff.checked_add(20)?;
        if u16_at(image, optional)? != 0x20b || u32_at(image, optional + 108)? <= 4 {
            return None;
        }
        let table = optional + usize::from(u16_at(image, coff + 16)?);
        let mut sections = Vec::new();
        for n in 0..usize::from(u16_at(image, coff + 2)?) {
            let at = table + n * 40;
            let (size, offset) = (u32_at(image, at + 16)? as usize, u32_at(image, at + 20)? as usize);
            if size > 0 {
                image.get(offset..offset.checked_add(size)?)?;
                sections.push((offset, size));
            }
        }
        sections.sort_unstable();
        let directory = optional + 112 + 4 * 8;
        let (offset, size) = (u32_at(image, directory)? as usize, u32_at(image, directory + 4)? as usize);
        let signed = size > 0 && offset.checked_add(size)? == image.len();
        let end = if signed { offset } else { image.len() };
        let headers = u32_at(image, optional + 60)? as usize;
        image.get(directory + 8..headers)?;
        Some(Self { checksum: optional + 64, directory, headers, sections, end })
    }

    fn digest(&self, image: &[u8]) -> Option<[u8; 32]> {
        let mut hash = Sha256::new();
        hash.update(image.get(..self.checksum)?);
        hash.update(image.get(self.checksum + 4..self.directory)?);
        hash.update(image.get(self.directory + 8..self.headers)?);
        let mut hashed = self.headers;
        for (offset, size) in &self.sections {
            hash.update(image.get(*offset..offset + size)?);
            hashed += size;
        }
        // The data behind the sections, as firmware counts it.
        hash.update(image.get(hashed..self.end).unwrap_or_default());
        Some(hash.finalize().into())
    }
}

/// SHA-256 over a program, without its checksum and signature.
pub fn digest(image: &[u8]) -> Result<[u8; 32], PeError> {
    Pe::read(image).and_then(|pe| pe.digest(image)).ok_or(PeError("damaged headers"))
}

/// Appends a signature, replacing an existing one.
pub fn sign(mut image: Vec<u8>, signer: &Signer) -> Result<Vec<u8>, PeError> {
    let damaged = PeError("damaged headers");
    let pe = Pe::read(&image).ok_or(damaged)?;
    image.truncate(pe.end);
    image.resize(image.len().next_multiple_of(8), 0);
    put_u32(&mut image, pe.directory, 0).ok_or(damaged)?;
    put_u32(&mut image, pe.directory + 4, 0).ok_or(damaged)?;
    let signature = signed_data(&digest(&image)?, signer);

    let too_large = PeError("larger than 4 GiB");
    let offset = u32::try_from(image.len()).map_err(|_| too_large)?;
    let length = u32::try_from(8 + signature.len()).map_err(|_| too_large)?;
    let padded = length.checked_next_multiple_of(8).ok_or(too_large)?;
    image.extend_from_slice(&length.to_le_bytes());
    image.extend_from_slice(&CERTIFICATE_KIND.to_le_bytes());
    image.extend_from_slice(&signature);
    image.resize(offset as usize + padded as usize, 0);
    put_u32(&mut image, pe.directory, offset).ok_or(damaged)?;
    put_u32(&mut image, pe.directory + 4, padded).ok_or(damaged)?;
    Ok(image)
}

/// PKCS#7 (RFC 2315) SignedData over the digest.
fn signed_data(digest: &[u8; 32], signer: &Signer) -> Vec<u8> {
    let content = indirect_data(digest);
    let attributes = [
        attribute(CONTENT_TYPE, SPC_INDIRECT_DATA),
        attribute(MESSAGE_DIGEST, &element(0x04, &[&Sha256::digest(content.contents())])),
    ]
    .concat();
    // Signed with the tag of a SET, stored with the tag for its position.
    let signature = signer.sign(&element(0x31, &[&attributes]));
    let version = element(0x02, &[&[1]]);
    let info = element(
        0x30,
        &[
            &version,
            &element(0x30, &[signer.issuer(), signer.serial()]),
            SHA256,
            &element(0xa0, &[&attributes]),
            RSA,
            &element(0x04, &[&signature]),
        ],
    );
    let data = element(
        0x30,
        &[
            &version,
            &element(0x31, &[SHA256]),
            &element(0x30, &[SPC_INDIRECT_DATA, &element(0xa0, &[content.as_bytes()])]),
            &element(0xa0, &[signer.certificate()]),
            &element(0x31, &[&info]),
        ],
    );
    element(0x30, &[SIGNED_DATA, &element(0xa0, &[&data])])
}

fn attribute(name: &[u8], value: &[u8]) -> Vec<u8> {
    element(0x30, &[name, &element(0x31, &[value])])
}

/// SpcIndirectDataContent: the digest of a PE program. Its file name is a historical constant that every signer writes.
fn indirect_data(digest: &[u8; 32]) -> Element {
    let obsolete: Vec<u8> = "<<<Obsolete>>>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let link = element(0xa0, &[&element(0xa2, &[&element(0x80, &[&obsolete])])]);
    let image_data = element(0x30, &[&[0x03, 0x01, 0x00], &link]);
    let data = element(0x30, &[SPC_PE_IMAGE_DATA, &image_data]);
    let message = element(0x30, &[SHA256, &element(0x04, &[digest])]);
    Element::new(0x30, &[&data, &message])
}

#[cfg(test)]
#[path = "authenticode/tests.rs"]
mod tests;

//! Parses both headers of a LUKS2 volume (LUKS2 On-Disk Format Specification 1.1.1; numbers are big-endian), read from
//! the medium, bypassing every cache. Every checksum is verified.

use super::device::{Device, Sectors};
use crate::error::Coded;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The binary header.
const BINARY: usize = 4096;
/// Allowed sizes of a header with its JSON.
const SIZES: std::ops::RangeInclusive<u64> = 16 << 10..=4 << 20;
const FIRST: &[u8] = b"LUKS\xba\xbe";
const SECOND: &[u8] = b"SKUL\xba\xbe";
const CHECKSUM: std::ops::Range<usize> = 448..512;

#[derive(Debug, thiserror::Error)]
pub enum LuksError {
    #[error("{device}: cannot be read", device = device.display())]
    Io { device: PathBuf, source: io::Error },
    #[error("{device}: not a valid LUKS2 volume: {copy} header: {why}", device = device.display())]
    Unsound { device: PathBuf, copy: &'static str, why: &'static str },
}

impl Coded for LuksError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.luks_io",
            Self::Unsound { .. } => "finalize.luks_header",
        }
    }
}

/// Both copies, which agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub uuid: String,
    /// Incremented with each change.
    pub sequence: u64,
    pub metadata: Metadata,
}

/// The part of the JSON that is compared with the plan.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Metadata {
    pub keyslots: BTreeMap<String, Keyslot>,
    #[serde(default)]
    pub tokens: BTreeMap<String, Token>,
    pub segments: BTreeMap<String, Segment>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Keyslot {
    /// Size of the volume key in bytes.
    pub key_size: u32,
    pub kdf: Kdf,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Kdf {
    #[serde(rename = "type")]
    pub kind: String,
    /// KiB.
    #[serde(default)]
    pub memory: Option<u64>,
    #[serde(default)]
    pub time: Option<u32>,
    #[serde(default)]
    pub cpus: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Token {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub keyslots: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Segment {
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes, in decimal.
    pub offset: String,
    /// `dynamic`: to the end of the device.
    pub size: String,
    pub encryption: String,
    pub sector_size: u32,
}

/// One copy.
#[derive(Debug, Clone, PartialEq)]
struct Copy {
    uuid: String,
    sequence: u64,
    size: u64,
    json: Vec<u8>,
}

/// Reads both headers of a volume.
pub fn read(node: &Path) -> Result<Header, LuksError> {
    let io = |source| LuksError::Io { device: node.to_owned(), source };
    let unsound = |copy| move |why| LuksError::Unsound { device: node.to_owned(), copy, why };
    let device = Device::open_read_only(node).map_err(io)?;
    let first = copy(&device, 0, FIRST).map_err(io)?.map_err(unsound("the first"))?;
    let second = copy(&device, first.size, SECOND).map_err(io)?.map_err(unsound("the second"))?;
    if first != second {
        return Err(unsound("the second")("it says something else than the first"));
    }
    let text = first.json.split(|byte| *byte == 0).next().unwrap_or_default();
    let metadata = serde_json::from_slice(text).map_err(|_| unsound("the first")("its JSON makes no sense"))?;
    Ok(Header { uuid: first.uuid, sequence: first.sequence, metadata })
}

fn copy(device: &Device, offset: u64, magic: &[u8]) -> io::Result<Result<Copy, &'static str>> {
    let mut bytes = vec![0; BINARY];
    if offset.checked_add(BINARY as u64).is_none_or(|end| end > device.size()) {
        return Ok(Err("there is no room for it"));
    }
    device.read_at(offset, &mut bytes)?;
    let size = match head(&bytes, offset, magic) {
        Ok(size) => size,
        Err(why) => return Ok(Err(why)),
    };
    if offset.checked_add(size).is_none_or(|end| end > device.size()) {
        return Ok(Err("it is cut off"));
    }
    bytes.resize(usize::try_from(size).unwrap_or(BINARY), 0);
    device.read_at(offset, &mut bytes)?;
    Ok(parse(&bytes, offset, magic))
}

/// Size of the header with its JSON in bytes.
fn head(bytes: &[u8], offset: u64, magic: &[u8]) -> Result<u64, &'static str> {
    if bytes.get(..6) != Some(magic) {
        return Err("the magic number is missing");
    }
    if bytes.get(6..8) != Some(&[0, 2]) {
        return Err("it is of another version");
    }
    if be64(bytes, 256) != Some(offset) {
        return Err("it says that its place is another");
    }
    let size = be64(bytes, 8).filter(|size| SIZES.contains(size) && size.is_multiple_of(BINARY as u64));
    size.ok_or("its size makes no sense")
}

fn parse(bytes: &[u8], offset: u64, magic: &[u8]) -> Result<Copy, &'static str> {
    const SHORT: &str = "it is cut off";
    let size = head(bytes, offset, magic)?;
    if text(bytes, 72..104) != Some("sha256") {
        return Err("its checksum is of another kind");
    }
    let mut hash = Sha256::new();
    hash.update(bytes.get(..CHECKSUM.start).ok_or(SHORT)?);
    hash.update([0; 64]);
    hash.update(bytes.get(CHECKSUM.end..).ok_or(SHORT)?);
    let wanted = bytes.get(CHECKSUM).and_then(|sum| sum.get(..32)).ok_or(SHORT)?;
    if hash.finalize().as_slice() != wanted {
        return Err("the checksum does not match");
    }
    Ok(Copy {
        uuid: text(bytes, 168..208).ok_or("its UUID is no text")?.to_owned(),
        sequence: be64(bytes, 16).ok_or(SHORT)?,
        size,
        json: bytes.get(BINARY..).ok_or(SHORT)?.to_vec(),
    })
}

fn text(bytes: &[u8], at: std::ops::Range<usize>) -> Option<&str> {
    std::str::from_utf8(bytes.get(at)?.split(|byte| *byte == 0).next()?).ok()
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
#[path = "luks_tests.rs"]
mod tests;

//! EFI_LOAD_OPTION (UEFI 2.10 section 3.1.3) and the device path nodes it needs (section 10.3), bytes to values and
//! back.
//!
//! Depends on nothing but `uuid`, so other programs can reuse this file. Never panics on any input.

use std::fmt;
use uuid::Uuid;

/// Only entries with this attribute are tried at boot.
pub const ACTIVE: u32 = 1;

const MEDIA: u8 = 4;
const HARD_DRIVE: u8 = 1;
const FILE_PATH: u8 = 4;
const END: u8 = 0x7f;
const END_ENTIRE: u8 = 0xff;
const GPT_FORMAT: u8 = 2;
const MBR_FORMAT: u8 = 1;
const GUID_SIGNATURE: u8 = 2;
const MBR_SIGNATURE: u8 = 1;
const NODE_HEADER: usize = 4;

/// Why bytes are not a load option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the load option is truncated")]
    Truncated,
    #[error("the description is not terminated")]
    Description,
    #[error("a device path node has an impossible length")]
    Node,
}

/// The contents of `Boot####`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOption {
    pub attributes: u32,
    /// Unpaired surrogates are shown as U+FFFD.
    pub description: String,
    /// The first device path; further ones in the list are in `more_paths`.
    pub path: Vec<Node>,
    /// Bytes of the file path list after the first path.
    pub more_paths: Vec<u8>,
    pub optional_data: Vec<u8>,
}

/// One node of a device path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    HardDrive(HardDrive),
    /// With backslashes, from the root of the partition.
    File(String),
    /// Any other node, as raw bytes.
    Other {
        kind: u8,
        subkind: u8,
        data: Vec<u8>,
    },
}

/// HD(): a partition (section 10.3.5.1). LBAs in the disk's sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardDrive {
    pub number: u32,
    pub first_lba: u64,
    pub sectors: u64,
    pub signature: Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// GPT partition GUID.
    Guid(Uuid),
    /// MBR disk signature.
    Mbr(u32),
    /// Format, signature type and bytes, unchanged.
    Other(u8, u8, [u8; 16]),
}

impl LoadOption {
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let attributes = u32::from_le_bytes(array(bytes, 0).ok_or(Malformed::Truncated)?);
        let list_length = usize::from(u16::from_le_bytes(array(bytes, 4).ok_or(Malformed::Truncated)?));
        let rest = bytes.get(6..).ok_or(Malformed::Truncated)?;
        let (units, _) = rest.as_chunks::<2>();
        let end = units.iter().position(|unit| *unit == [0, 0]).ok_or(Malformed::Description)?;
        let text: Vec<u16> = units.iter().take(end).map(|&unit| u16::from_le_bytes(unit)).collect();
        let after = rest.get((end + 1) * 2..).ok_or(Malformed::Truncated)?;
        let list = after.get(..list_length).ok_or(Malformed::Truncated)?;
        let (path, length) = parse_path(list)?;
        Ok(Self {
            attributes,
            description: String::from_utf16_lossy(&text),
            path,
            more_paths: list.get(length..).unwrap_or_default().to_vec(),
            optional_data: after.get(list_length..).unwrap_or_default().to_vec(),
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut list = encode_path(&self.path);
        list.extend_from_slice(&self.more_paths);
        let mut bytes = self.attributes.to_le_bytes().to_vec();
        bytes.extend_from_slice(&u16::try_from(list.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend(utf16(&self.description));
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(&self.optional_data);
        bytes
    }

    /// The partition that the first path starts from, if any.
    pub fn hard_drive(&self) -> Option<HardDrive> {
        self.path.iter().find_map(|node| match node {
            Node::HardDrive(drive) => Some(*drive),
            _ => None,
        })
    }

    /// The file at the end of the first path, if any.
    pub fn file(&self) -> Option<&str> {
        self.path.iter().find_map(|node| match node {
            Node::File(path) => Some(path.as_str()),
            _ => None,
        })
    }

    pub fn is_active(&self) -> bool {
        self.attributes & ACTIVE != 0
    }
}

/// The first device path in `bytes` and its length, including its end node.
pub fn parse_path(bytes: &[u8]) -> Result<(Vec<Node>, usize), Malformed> {
    let mut nodes = Vec::new();
    let mut offset = 0;
    loop {
        let Some([kind, subkind, low, high]) = array(bytes, offset) else {
            // Some firmware writes entries without an end node: what was read counts.
            return if offset == bytes.len() { Ok((nodes, offset)) } else { Err(Malformed::Truncated) };
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if length < NODE_HEADER {
            return Err(Malformed::Node);
        }
        let data = bytes.get(offset + NODE_HEADER..offset + length).ok_or(Malformed::Node)?;
        offset += length;
        if kind == END && subkind == END_ENTIRE {
            return Ok((nodes, offset));
        }
        nodes.push(Node::parse(kind, subkind, data));
    }
}

pub fn encode_path(nodes: &[Node]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in nodes {
        let (kind, subkind, data) = node.parts();
        let length = u16::try_from(data.len() + NODE_HEADER).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&[kind, subkind]);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&data);
    }
    bytes.extend_from_slice(&[END, END_ENTIRE, NODE_HEADER as u8, 0]);
    bytes
}

impl Node {
    fn parse(kind: u8, subkind: u8, data: &[u8]) -> Self {
        let other = || Self::Other { kind, subkind, data: data.to_vec() };
        match (kind, subkind) {
            (MEDIA, HARD_DRIVE) => HardDrive::parse(data).map_or_else(other, Self::HardDrive),
            (MEDIA, FILE_PATH) => file_path(data).map_or_else(other, Self::File),
            _ => other(),
        }
    }

    fn parts(&self) -> (u8, u8, Vec<u8>) {
        match self {
            Self::HardDrive(drive) => (MEDIA, HARD_DRIVE, drive.encode()),
            Self::File(path) => (MEDIA, FILE_PATH, utf16(path)),
            Self::Other { kind, subkind, data } => (*kind, *subkind, data.clone()),
        }
    }
}

impl HardDrive {
    fn parse(data: &[u8]) -> Option<Self> {
        let [format, signature_type] = array(data, 36)?;
        let signature: [u8; 16] = array(data, 20)?;
        // A node longer than in this version of the specification is kept as raw bytes.
        if data.len() != 38 {
            return None;
        }
        let signature = match (format, signature_type, signature) {
            (GPT_FORMAT, GUID_SIGNATURE, guid) => Signature::Guid(Uuid::from_bytes_le(guid)),
            (MBR_FORMAT, MBR_SIGNATURE, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => {
                Signature::Mbr(u32::from_le_bytes([a, b, c, d]))
            }
            (format, signature_type, bytes) => Signature::Other(format, signature_type, bytes),
        };
        Some(Self {
            number: u32::from_le_bytes(array(data, 0)?),
            first_lba: u64::from_le_bytes(array(data, 4)?),
            sectors: u64::from_le_bytes(array(data, 12)?),
            signature,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let (format, signature_type, signature) = match self.signature {
            Signature::Guid(guid) => (GPT_FORMAT, GUID_SIGNATURE, guid.to_bytes_le()),
            Signature::Mbr(signature) => {
                let [a, b, c, d] = signature.to_le_bytes();
                (MBR_FORMAT, MBR_SIGNATURE, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            }
            Signature::Other(format, signature_type, bytes) => (format, signature_type, bytes),
        };
        let mut bytes = self.number.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.first_lba.to_le_bytes());
        bytes.extend_from_slice(&self.sectors.to_le_bytes());
        bytes.extend_from_slice(&signature);
        bytes.extend_from_slice(&[format, signature_type]);
        bytes
    }
}

/// As firmware setup and efibootmgr show it.
impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HardDrive(HardDrive { number, first_lba, sectors, signature }) => match signature {
                Signature::Guid(guid) => write!(formatter, "HD({number},GPT,{guid},{first_lba:#x},{sectors:#x})"),
                Signature::Mbr(mbr) => write!(formatter, "HD({number},MBR,{mbr:#x},{first_lba:#x},{sectors:#x})"),
                Signature::Other(..) => write!(formatter, "HD({number},?,{first_lba:#x},{sectors:#x})"),
            },
            Self::File(path) => formatter.write_str(path),
            Self::Other { kind, subkind, data } => {
                write!(formatter, "Path({kind},{subkind},")?;
                data.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
                formatter.write_str(")")
            }
        }
    }
}

/// A file path node that can be written back unchanged: well-formed UTF-16 with one terminator, at its end.
fn file_path(data: &[u8]) -> Option<String> {
    let (units, odd) = data.as_chunks::<2>();
    let (last, text) = units.split_last()?;
    if !odd.is_empty() || *last != [0, 0] || text.contains(&[0, 0]) {
        return None;
    }
    let text: Vec<u16> = text.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
    String::from_utf16(&text).ok()
}

/// NUL-terminated.
fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().filter(|&unit| unit != 0).chain([0]).flat_map(u16::to_le_bytes).collect()
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

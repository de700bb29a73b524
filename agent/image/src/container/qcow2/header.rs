//! Parses the header and the table entries of a qcow2 image.

const MAGIC: u32 = 0x5146_49fb;
/// Limit: 8 EiB needs less with clusters of 2 MiB.
const LARGEST_L1: u64 = 32 << 20;
pub const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// The parts of the header that matter for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Size of the guest's disk in bytes.
    pub size: u64,
    pub cluster_bits: u32,
    pub l1_entries: u64,
    pub l1_offset: u64,
    pub zstd: bool,
    version: u32,
}

/// Why a header is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderError {
    Damaged(String),
    Unsupported(String),
}

impl Header {
    /// Parses the first 105 bytes or more.
    pub fn parse(head: &[u8]) -> Result<Self, HeaderError> {
        let damaged = |what: &str| HeaderError::Damaged(what.to_owned());
        let short = || damaged("the header is cut short");
        let u32_at = |at: usize| be32(head, at).ok_or_else(short);
        let u64_at = |at: usize| be64(head, at).ok_or_else(short);
        if u32_at(0)? != MAGIC {
            return Err(damaged("it has no qcow2 magic"));
        }
        let version = u32_at(4)?;
        if !(2..=3).contains(&version) {
            return Err(HeaderError::Unsupported(format!(
                "is a qcow2 image of version {version}; 2 and 3 are supported"
            )));
        }
        let refuse = |what: &str| Err(HeaderError::Unsupported(format!("is a qcow2 image {what}")));
        if u64_at(8)? != 0 {
            return refuse("with a backing file: convert it to one that stands alone (qemu-img convert)");
        }
        if u32_at(32)? != 0 {
            return refuse("that is encrypted");
        }
        let incompatible = if version >= 3 { u64_at(72)? } else { 0 };
        // Bit 0, dirty, concerns only reference counts.
        match incompatible & !1 {
            features if features & 2 != 0 => return Err(damaged("it is marked corrupt (try qemu-img check)")),
            features if features & 4 != 0 => return refuse("with an external data file"),
            features if features & 16 != 0 => return refuse("with subclusters (extended L2 entries)"),
            features if features & !8 != 0 => return refuse("with features that are not known here"),
            _ => {}
        }
        let zstd = match (incompatible & 8 != 0, head.get(104)) {
            (false, _) | (true, Some(0)) => false,
            (true, Some(1)) => true,
            (true, _) => return refuse("with an unknown compression"),
        };
        let cluster_bits = u32_at(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(damaged("its cluster size is out of range"));
        }
        let (size, l1_entries, l1_offset) = (u64_at(24)?, u64::from(u32_at(36)?), u64_at(40)?);
        if size == 0 {
            return Err(damaged("its disk has no size"));
        }
        let per_l1 = 1u64 << (2 * cluster_bits - 3);
        if l1_entries * 8 > LARGEST_L1
            || l1_entries < size.div_ceil(per_l1)
            || !l1_offset.is_multiple_of(1 << cluster_bits)
        {
            return Err(damaged("its L1 table makes no sense"));
        }
        Ok(Self { size, cluster_bits, l1_entries: size.div_ceil(per_l1), l1_offset, zstd, version })
    }

    pub fn cluster(&self) -> u64 {
        1 << self.cluster_bits
    }
}

/// The location of a cluster's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterData {
    Zero,
    At(u64),
    Compressed { offset: u64, len: u64 },
}

/// Decodes an L2 entry; `None` if it is malformed.
pub fn place(entry: u64, header: &Header) -> Option<ClusterData> {
    if entry & (1 << 62) != 0 {
        let width = 62 - (header.cluster_bits - 8);
        let offset = entry & ((1 << width) - 1);
        let sectors = ((entry & ((1 << 62) - 1)) >> width) + 1;
        return Some(ClusterData::Compressed { offset, len: sectors * 512 - offset % 512 });
    }
    let offset = entry & OFFSET;
    if (header.version >= 3 && entry & 1 != 0) || offset == 0 {
        return Some(ClusterData::Zero);
    }
    offset.is_multiple_of(header.cluster()).then_some(ClusterData::At(offset))
}

pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

pub fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_be_bytes)
}

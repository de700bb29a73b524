//! Parses btrfs tree nodes and maps logical to physical addresses.

use super::bytes::{le16, le32, le64, u8_at};
use std::ops::Range;

const HEADER: usize = 101;
const KEY: usize = 17;
const ITEM: usize = KEY + 8;
const POINTER: usize = KEY + 16;
/// RAID 0, 10, 5 and 6: such a range is not contiguous.
const STRIPED: u64 = 8 | 64 | 128 | 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BtreeKey {
    pub object: u64,
    pub kind: u8,
    pub offset: u64,
}

impl BtreeKey {
    pub fn new(object: u64, kind: u8, offset: u64) -> Self {
        Self { object, kind, offset }
    }

    /// A key and what follows it.
    pub fn split(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let key = Self { object: le64(bytes, 0)?, kind: u8_at(bytes, 8)?, offset: le64(bytes, 9)? };
        Some((key, bytes.get(KEY..)?))
    }
}

pub enum BtreeNode {
    /// Keys, and the ranges of their data in the node.
    Leaf(Vec<(BtreeKey, Range<usize>)>),
    /// The node's level; the first keys of its children, and their logical addresses.
    Inner(u8, Vec<(BtreeKey, u64)>),
}

impl BtreeNode {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (count, level) = (le32(bytes, 96)? as usize, u8_at(bytes, 100)?);
        let body = bytes.get(HEADER..)?;
        let size = if level == 0 { ITEM } else { POINTER };
        if count > body.len() / size {
            return None;
        }
        let slots = body.chunks_exact(size).take(count);
        if level > 0 {
            let child = |slot: &[u8]| Some((BtreeKey::split(slot)?.0, le64(slot, KEY)?));
            return Some(Self::Inner(level, slots.map(child).collect::<Option<_>>()?));
        }
        let item = |slot: &[u8]| {
            let start = HEADER.checked_add(le32(slot, KEY)? as usize)?;
            Some((BtreeKey::split(slot)?.0, start..start.checked_add(le32(slot, KEY + 4)? as usize)?))
        };
        Some(Self::Leaf(slots.map(item).collect::<Option<_>>()?))
    }

    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner(level, _) => *level,
        }
    }
}

/// A range of logical addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    logical: u64,
    length: u64,
    /// Its physical address on this device; `None` if it is striped or on another device.
    physical: Option<u64>,
}

impl Chunk {
    pub fn holds(&self, logical: u64, len: usize) -> bool {
        let within = logical.checked_sub(self.logical);
        within.and_then(|within| within.checked_add(len as u64)).is_some_and(|end| end <= self.length)
    }

    pub fn place(&self, logical: u64) -> Option<u64> {
        self.physical?.checked_add(logical.checked_sub(self.logical)?)
    }
}

/// Parses a chunk item. Also returns its length in bytes.
pub fn chunk(logical: u64, bytes: &[u8], device: u64) -> Option<(Chunk, usize)> {
    let (length, profile, stripes) = (le64(bytes, 0)?, le64(bytes, 24)?, usize::from(le16(bytes, 44)?));
    let all = bytes.get(48..48 + stripes * 32)?;
    let own = all.chunks_exact(32).find(|stripe| le64(stripe, 0) == Some(device));
    let physical = own.and_then(|stripe| le64(stripe, 8)).filter(|_| profile & STRIPED == 0);
    Some((Chunk { logical, length, physical }, 48 + stripes * 32))
}

//! Directories of XFS: in the inode, and in blocks.

use super::bytes::{be16, be32, be64, u8_at};
use super::walk::Child;

/// Parses a directory within an inode. `None` if it is malformed.
pub fn short(fork: &[u8], ftype: bool) -> Option<Vec<Child<u64>>> {
    let (count, wide) = (u8_at(fork, 0)?, u8_at(fork, 1)? > 0);
    let number = if wide { 8 } else { 4 };
    let mut at = 2 + number;
    let mut found = Vec::new();
    // With 8-byte inode numbers the count is in the second byte.
    for _ in 0..count.max(if wide { u8_at(fork, 1)? } else { 0 }) {
        let length = usize::from(u8_at(fork, at)?);
        let name = fork.get(at + 3..at + 3 + length)?.to_vec();
        at += 3 + length + usize::from(ftype);
        let inode = if wide { be64(fork, at)? } else { u64::from(be32(fork, at)?) };
        at += number;
        found.push(Child { name, inode });
    }
    Some(found)
}

/// Adds the entries of a directory block. `None` if it is malformed.
pub fn block(block: &[u8], ftype: bool, found: &mut Vec<Child<u64>>) -> Option<()> {
    let (start, tail) = match block.get(..4)? {
        b"XD2D" => (16, false),
        b"XD2B" => (16, true),
        b"XDD3" => (64, false),
        b"XDB3" => (64, true),
        _ => return None,
    };
    let end = match tail {
        false => block.len(),
        true => {
            let count = be32(block, block.len().checked_sub(8)?)?;
            block.len().checked_sub(8)?.checked_sub(usize::try_from(count).ok()?.checked_mul(8)?)?
        }
    };
    let mut at = start;
    while at + 8 < end {
        if be16(block, at)? == 0xffff {
            let length = usize::from(be16(block, at + 2)?);
            if length == 0 {
                return None;
            }
            at += length;
            continue;
        }
        let length = usize::from(u8_at(block, at + 8)?);
        let name = block.get(at + 9..at + 9 + length)?.to_vec();
        if name != b"." && name != b".." {
            found.push(Child { name, inode: be64(block, at)? });
        }
        at += (8 + 1 + length + usize::from(ftype) + 2).next_multiple_of(8);
    }
    Some(())
}

//! Finds the blocks of a bzip2 stream: their magic numbers may start at any bit.

use super::bits::Bits;
use crate::flow::input::Input;
use std::io::{self, BufRead, Read};

/// Digits of pi start a block, digits of its square root the end of a stream.
pub const BLOCK: u64 = 0x3141_5926_5359;
pub const END: u64 = 0x1772_4538_5090;
const MARK: usize = 48;
const MASK: u64 = (1 << MARK) - 1;
/// Limit for a block: twenty bits for each of its symbols, and tables.
pub const LONGEST: usize = 5 << 19;

/// The mark after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Block,
    /// The end of the stream, with its checksum.
    End(u32),
}

/// A search through a stream, from its first mark on.
pub struct Scan {
    /// The last bytes, the newest in the lowest bits.
    register: u64,
    /// Number of its bits that come after the last mark.
    left: usize,
}

impl Scan {
    /// Reads the first mark of a stream, which is at a byte boundary. Blocks follow it unless the stream is empty.
    pub fn begin(input: &mut Input) -> io::Result<(Self, Mark)> {
        let mut bytes = [0; MARK / 8];
        input.read_exact(&mut bytes)?;
        let mark = bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let mut scan = Self { register: mark, left: 0 };
        match mark {
            BLOCK => Ok((scan, Mark::Block)),
            END => scan.checksum(input).map(|sum| (scan, Mark::End(sum))),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no block where one should begin")),
        }
    }

    /// Reads up to the next mark: appends the bits to `bits`, and returns the mark.
    pub fn next(&mut self, input: &mut Input, bits: &mut Bits) -> io::Result<Mark> {
        bits.push(self.register & ((1 << self.left) - 1), self.left);
        // Bytes read since then, including those of the mark.
        let mut taken: Vec<u8> = Vec::new();
        // Bits that cannot belong to a mark that was found before.
        let mut fresh = self.left;
        loop {
            let piece = input.fill_buf()?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (mut used, mut found) = (0, None);
            for byte in piece {
                self.register = self.register << 8 | u64::from(*byte);
                (used, fresh) = (used + 1, fresh + 8);
                found = (0..8).rev().find_map(|left| {
                    let mark = self.register >> left & MASK;
                    ((mark == BLOCK || mark == END) && fresh >= MARK + left).then_some((mark, left))
                });
                if found.is_some() {
                    break;
                }
            }
            taken.extend_from_slice(piece.get(..used).unwrap_or_default());
            input.consume(used);
            if let Some((mark, left)) = found {
                let all = bits.len() + taken.len() * 8 - left - MARK;
                let mut whole = std::mem::take(bits);
                whole.extend(&taken, 0, taken.len() * 8);
                bits.extend(whole.bytes(), 0, all);
                self.left = left;
                return match mark {
                    BLOCK => Ok(Mark::Block),
                    _ => self.checksum(input).map(Mark::End),
                };
            }
            if bits.bytes().len() + taken.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a block without end"));
            }
        }
    }

    /// The checksum after the end mark; padding to a whole byte follows.
    fn checksum(&mut self, input: &mut Input) -> io::Result<u32> {
        let mut bytes = [0; 4];
        let more = bytes.get_mut(..(32 - self.left).div_ceil(8)).unwrap_or_default();
        input.read_exact(more)?;
        for byte in more.iter() {
            self.register = self.register << 8 | u64::from(*byte);
        }
        let padding = self.left + more.len() * 8 - 32;
        self.left = padding;
        Ok((self.register >> padding) as u32)
    }
}

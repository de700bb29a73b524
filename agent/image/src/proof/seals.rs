//! Digests of the blocks of a source: if a block is read a second time, it must match what was verified the first time.

use crate::error::ImageError;
use crate::proof::wire::{WireDigests, WireSum};
use sha2::{Digest as _, Sha256};

/// Bytes of a block.
pub const BLOCK: usize = 256 * 1024;

/// SHA-256 of each block of a source whose complete digest was verified.
#[derive(Debug, Clone, Default)]
pub struct Seals(Vec<[u8; 32]>);

impl Seals {
    /// Whether this is the block with this number.
    pub fn matches(&self, number: u64, block: &[u8]) -> bool {
        let seal: [u8; 32] = Sha256::digest(block).into();
        usize::try_from(number).ok().and_then(|number| self.0.get(number)) == Some(&seal)
    }
}

/// Makes [`Seals`] while the whole source is hashed.
pub struct Sealer<'a> {
    whole: WireSum<'a>,
    block: Sha256,
    filled: usize,
    seals: Vec<[u8; 32]>,
}

impl<'a> Sealer<'a> {
    pub fn new(whole: WireSum<'a>) -> Self {
        Self { whole, block: Sha256::new(), filled: 0, seals: Vec::new() }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        while !bytes.is_empty() {
            let count = (BLOCK - self.filled).min(bytes.len());
            self.block.update(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled == BLOCK {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        self.seals.push(std::mem::take(&mut self.block).finalize().into());
        self.filled = 0;
    }

    /// The digests; an error if the whole digest is not the required one. `name` is the source's.
    pub fn finish(mut self, name: &str) -> Result<(WireDigests, Seals), ImageError> {
        if self.filled > 0 {
            self.seal();
        }
        Ok((self.whole.finish(name)?, Seals(self.seals)))
    }
}

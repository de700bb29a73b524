//! One digest of a whole image, computed from the digests with which each MiB is read back.
//!
//! Reading back compares the XXH3-128 of each MiB, in whatever order requests come back. The XXH3-128 of all these, in
//! the order of the image, is therefore a digest of the content as it was read back. It tells images and a device's
//! errors apart; against somebody who forges images, the digests of the order help.

use burin_disk::{CHUNK, Chunk, checksum};
use std::sync::LazyLock;
use twox_hash::xxhash3_128::Hasher;

/// The name in receipts: XXH3-128 of the XXH3-128 (16 bytes each, the highest first) of each MiB; the last may be short.
pub const ALGORITHM: &str = "xxh3-128-of-mib";

pub struct MibDigest(Hasher);

impl Default for MibDigest {
    fn default() -> Self {
        Self(Hasher::new())
    }
}

impl MibDigest {
    /// The next MiB, or the end of the image.
    pub fn chunk(&mut self, chunk: &Chunk) {
        static ZEROS: LazyLock<u128> = LazyLock::new(|| checksum(&vec![0; CHUNK]));
        match chunk.digest {
            // The padding of the last sector does not belong to the image.
            _ if chunk.len < chunk.padded || chunk.len < CHUNK && chunk.digest.is_none() => {
                self.digest(checksum(chunk.bytes().get(..chunk.len).unwrap_or_default()));
            }
            Some(digest) => self.digest(digest),
            None => self.digest(*ZEROS),
        }
    }

    /// The same for a MiB whose digest is known.
    pub fn digest(&mut self, digest: u128) {
        self.0.write(&digest.to_be_bytes());
    }

    /// Hexadecimal.
    pub fn finish(self) -> String {
        format!("{:032x}", self.0.finish_128())
    }
}

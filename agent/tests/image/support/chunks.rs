//! Chunks for a writer under test.

use burin::disk::{Chunk, Fed, Feed, Pool};
use std::time::Duration;

/// An image in chunks of 1 MiB, for a writer that is driven by a test.
pub struct Chunks<'a> {
    pub pool: Pool,
    pub image: &'a [u8],
    pub offset: usize,
}

impl Feed for Chunks<'_> {
    fn next(&mut self) -> Fed {
        let rest = &self.image[self.offset..];
        if rest.is_empty() {
            return Fed::End;
        }
        let mut buf = self.pool.take_within(Duration::from_secs(60)).unwrap();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        let chunk = Chunk::new(self.offset as u64, buf, len, 4096);
        self.offset += len;
        Fed::Chunk(chunk)
    }
}

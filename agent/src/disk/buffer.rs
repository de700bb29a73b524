//! A fixed number of aligned buffers that go round: memory does not grow with the image.

use super::zero::{self, Segment};
use crate::sys::aligned::AlignedBuf;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use twox_hash::XxHash3_128;

/// Unit of writing and of read-back.
pub const CHUNK: usize = 1 << 20;

/// Buffers of one size, [`CHUNK`] bytes unless said otherwise.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<Free>,
    returned: Condvar,
    /// Of each buffer.
    bytes: usize,
}

#[derive(Debug)]
struct Free {
    made: Vec<AlignedBuf>,
    /// Buffers that nobody needed so far.
    unmade: usize,
}

impl Free {
    fn count(&self) -> usize {
        self.made.len() + self.unmade
    }
}

impl Pool {
    pub fn new(count: usize) -> Self {
        let made = (0..count).map(|_| AlignedBuf::zeroed(CHUNK)).collect();
        Self::with(Free { made, unmade: 0 }, CHUNK)
    }

    /// Buffers of another size, each made when it is first needed.
    pub fn with_size(count: usize, bytes: usize) -> Self {
        Self::with(Free { made: Vec::new(), unmade: count }, bytes)
    }

    fn with(free: Free, bytes: usize) -> Self {
        Self(Arc::new(Inner { free: Mutex::new(free), returned: Condvar::new(), bytes }))
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the buffers that nobody holds (at the start: all), to register them with the kernel.
    pub fn with_free<T>(&self, look: impl FnOnce(&[AlignedBuf]) -> T) -> T {
        look(&self.free().made)
    }

    /// How many buffers nobody holds.
    pub fn free_count(&self) -> usize {
        self.free().count()
    }

    /// A free buffer, with whatever an earlier user left in it; none if none came back within `timeout`.
    pub fn take_within(&self, timeout: Duration) -> Option<PoolBuf> {
        let deadline = Instant::now() + timeout;
        let mut free = self.free();
        loop {
            if free.made.is_empty() && free.unmade > 0 {
                free.unmade -= 1;
                free.made.push(AlignedBuf::zeroed(self.0.bytes));
            }
            if let Some(buf) = free.made.pop() {
                return Some(PoolBuf { buf: Some(buf), pool: self.clone() });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.0.returned.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until so many buffers are free at once, or for `timeout`; how many are free then.
    pub fn wait_for_free(&self, count: usize, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        let mut free = self.free();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if free.count() >= count || left.is_zero() {
                return free.count();
            }
            free = self.0.returned.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put(&self, buf: AlignedBuf) {
        self.free().made.push(buf);
        self.0.returned.notify_all();
    }
}

/// A buffer on loan; it goes back when dropped.
#[derive(Debug)]
pub struct PoolBuf {
    buf: Option<AlignedBuf>,
    pool: Pool,
}

impl Deref for PoolBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buf.as_deref().unwrap_or_default()
    }
}

impl DerefMut for PoolBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.buf.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for PoolBuf {
    fn drop(&mut self) {
        if let Some(buf) = self.buf.take() {
            self.pool.put(buf);
        }
    }
}

/// A piece of the image at its place on the disk, scanned for holes and with the digest that read-back compares.
#[derive(Debug)]
pub struct Chunk {
    /// Multiple of [`CHUNK`].
    pub offset: u64,
    /// Bytes of the image.
    pub len: usize,
    /// `len` rounded up to whole sectors; what lies between is zero.
    pub padded: usize,
    pub segments: Vec<Segment>,
    /// XXH3-128 of the padded bytes; none where all are zero. It tells a device's errors, not an attacker's.
    pub digest: Option<u128>,
    buf: Option<Arc<AlignedBuf>>,
    /// Where in `buf` it begins.
    base: usize,
    pool: Pool,
}

impl Chunk {
    /// `buf[..len]` is the image at `offset`. `sector` is at most [`zero::BLOCK`].
    pub fn new(offset: u64, mut buf: PoolBuf, len: usize, sector: u32) -> Self {
        let len = len.min(buf.len());
        let padded = len.next_multiple_of(sector.max(1) as usize).min(buf.len());
        buf[len..padded].fill(0);
        let segments = zero::segments(&buf[..padded]);
        let digest = match segments.as_slice() {
            [only] if only.zero => None,
            _ => Some(checksum(&buf[..padded])),
        };
        let (buf, pool) = (buf.buf.take().map(Arc::new), buf.pool.clone());
        Self { offset, len, padded, segments, digest, buf, base: 0, pool }
    }

    /// Cuts `buf[..len]` into whole chunks that share it, the first at `offset` 0; none where it does not come out
    /// even. The buffer goes back to its pool with the last of them.
    pub fn cut(mut buf: PoolBuf, len: usize) -> Result<Vec<Self>, PoolBuf> {
        if len == 0 || len > buf.len() || !len.is_multiple_of(CHUNK) {
            return Err(buf);
        }
        let pool = buf.pool.clone();
        let Some(shared) = buf.buf.take().map(Arc::new) else { return Err(buf) };
        let mut chunks = Vec::with_capacity(len / CHUNK);
        for (index, bytes) in shared[..len].chunks_exact(CHUNK).enumerate() {
            let segments = zero::segments(bytes);
            let digest = match segments.as_slice() {
                [only] if only.zero => None,
                _ => Some(checksum(bytes)),
            };
            let base = index * CHUNK;
            let (buf, pool) = (Some(shared.clone()), pool.clone());
            chunks.push(Self { offset: base as u64, len: CHUNK, padded: CHUNK, segments, digest, buf, base, pool });
        }
        drop(shared);
        Ok(chunks)
    }

    pub fn bytes(&self) -> &[u8] {
        self.buf.as_ref().and_then(|buf| buf.get(self.base..self.base + self.padded)).unwrap_or_default()
    }

    /// The buffer, and where in it the chunk begins.
    pub fn shared(&self) -> Option<(Arc<AlignedBuf>, usize)> {
        self.buf.clone().map(|buf| (buf, self.base))
    }

    /// The same chunk for another writer. The buffer goes back with the last of them.
    pub fn share(&self) -> Self {
        Self {
            offset: self.offset,
            len: self.len,
            padded: self.padded,
            segments: self.segments.clone(),
            digest: self.digest,
            buf: self.buf.clone(),
            base: self.base,
            pool: self.pool.clone(),
        }
    }

    /// Gives the buffer back early, where the bytes are not needed any more.
    pub fn release(&mut self) {
        if let Some(buf) = self.buf.take().and_then(Arc::into_inner) {
            self.pool.put(buf);
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.release();
    }
}

/// The digest that read-back compares: XXH3-128.
pub fn checksum(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_go_round() {
        let pool = Pool::new(2);
        let (first, second) = (pool.take_within(Duration::ZERO).unwrap(), pool.take_within(Duration::ZERO).unwrap());
        assert_eq!(pool.free_count(), 0);
        let chunk = Chunk::new(0, first, 10, 512);
        drop(second);
        drop(chunk);
        assert_eq!(pool.free_count(), 2);
    }

    #[test]
    fn none_comes_from_an_empty_pool() {
        let pool = Pool::new(1);
        let held = pool.take_within(Duration::ZERO);
        assert!(held.is_some() && pool.take_within(Duration::ZERO).is_none());
    }

    #[test]
    fn a_cut_frame_goes_back_with_its_last_chunk() {
        let pool = Pool::with_size(1, 3 * CHUNK);
        let mut buf = pool.take_within(Duration::ZERO).unwrap();
        buf[CHUNK + 5] = 1;
        let mut chunks = Chunk::cut(buf, 2 * CHUNK).unwrap();
        assert_eq!((chunks[0].digest, chunks[1].offset), (None, CHUNK as u64));
        assert_eq!(chunks[1].digest, Some(checksum(chunks[1].bytes())));
        assert_eq!(chunks[1].bytes()[5], 1);
        chunks.pop();
        assert_eq!(pool.free_count(), 0);
        chunks.pop();
        assert_eq!(pool.free_count(), 1);
        let buf = pool.take_within(Duration::ZERO).unwrap();
        assert!(Chunk::cut(buf, CHUNK + 1).is_err());
    }

    #[test]
    fn a_shared_chunk_goes_back_with_its_last_holder() {
        let pool = Pool::new(1);
        let chunk = Chunk::new(0, pool.take_within(Duration::ZERO).unwrap(), 10, 512);
        let mut other = chunk.share();
        drop(chunk);
        assert_eq!(pool.free_count(), 0);
        other.release();
        assert_eq!(pool.free_count(), 1);
    }

    #[test]
    fn stale_bytes_behind_a_short_tail_are_cleared() {
        let pool = Pool::new(1);
        let mut buf = pool.take_within(Duration::ZERO).unwrap();
        buf.fill(0xff);
        let chunk = Chunk::new(CHUNK as u64, buf, 700, 512);
        assert_eq!(chunk.padded, 1024);
        assert!(chunk.bytes()[..700].iter().all(|byte| *byte == 0xff));
        assert!(chunk.bytes()[700..].iter().all(|byte| *byte == 0));
    }
}

//! A fixed number of aligned buffers that go round: memory does not grow with the image.

use super::zero::{self, Segment};
use crate::sys::aligned::AlignedBuf;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use twox_hash::XxHash3_128;

/// Unit of writing and of read-back.
pub const CHUNK: usize = 1 << 20;

/// Buffers of [`CHUNK`] bytes.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Debug)]
struct State {
    free: Vec<AlignedBuf>,
    closed: bool,
}

impl Pool {
    pub fn new(count: usize) -> Self {
        let free = (0..count).map(|_| AlignedBuf::zeroed(CHUNK)).collect();
        Self(Arc::new(Inner { state: Mutex::new(State { free, closed: false }), returned: Condvar::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the buffers that nobody holds (at the start: all), to register them with the kernel.
    pub fn with_free<T>(&self, look: impl FnOnce(&[AlignedBuf]) -> T) -> T {
        look(&self.state().free)
    }

    /// Waits for a free buffer, with whatever an earlier user left in it. None once the pool is closed.
    pub fn take(&self) -> Option<PoolBuf> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(buf) = state.free.pop() {
                return Some(PoolBuf { buf: Some(buf), pool: self.clone() });
            }
            state = self.0.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends every wait: the pipeline stops.
    pub fn close(&self) {
        self.state().closed = true;
        self.0.returned.notify_all();
    }

    fn put(&self, buf: AlignedBuf) {
        self.state().free.push(buf);
        self.0.returned.notify_one();
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
        Self { offset, len, padded, segments, digest, buf, pool }
    }

    pub fn bytes(&self) -> &[u8] {
        self.buf.as_ref().and_then(|buf| buf.get(..self.padded)).unwrap_or_default()
    }

    pub fn shared(&self) -> Option<Arc<AlignedBuf>> {
        self.buf.clone()
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
        let (first, second) = (pool.take().unwrap(), pool.take().unwrap());
        assert_eq!(pool.with_free(<[_]>::len), 0);
        let chunk = Chunk::new(0, first, 10, 512);
        drop(second);
        drop(chunk);
        assert_eq!(pool.with_free(<[_]>::len), 2);
        pool.close();
        assert!(pool.take().is_none());
    }

    #[test]
    fn stale_bytes_behind_a_short_tail_are_cleared() {
        let pool = Pool::new(1);
        let mut buf = pool.take().unwrap();
        buf.fill(0xff);
        let chunk = Chunk::new(CHUNK as u64, buf, 700, 512);
        assert_eq!(chunk.padded, 1024);
        assert!(chunk.bytes()[..700].iter().all(|byte| *byte == 0xff));
        assert!(chunk.bytes()[700..].iter().all(|byte| *byte == 0));
    }
}

//! A fixed pool of aligned, reusable buffers, so that memory does not grow with the image.

use super::zero::{self, Segment};
use burin_sys::aligned::AlignedBuf;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use twox_hash::XxHash3_128;

/// Unit of writing and of read-back.
pub const CHUNK: usize = 1 << 20;

/// Buffers of [`CHUNK`] bytes.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Mutex<Free>,
    returned: Condvar,
}

#[derive(Debug)]
struct Free {
    made: Vec<AlignedBuf>,
    /// Buffers that have not been needed so far.
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
        Self::with(Free { made, unmade: 0 })
    }

    /// Buffers that are allocated when they are first needed.
    pub fn lazy(count: usize) -> Self {
        Self::with(Free { made: Vec::new(), unmade: count })
    }

    fn with(free: Free) -> Self {
        Self(Arc::new(Inner { free: Mutex::new(free), returned: Condvar::new() }))
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the unused buffers (at the start: all), to register them with the kernel.
    pub fn with_free<T>(&self, look: impl FnOnce(&[AlignedBuf]) -> T) -> T {
        look(&self.free().made)
    }

    /// Number of unused buffers.
    pub fn free_count(&self) -> usize {
        self.free().count()
    }

    /// A free buffer, with arbitrary contents; `None` if none is returned within `timeout`.
    pub fn take_within(&self, timeout: Duration) -> Option<PoolBuf> {
        self.take_beyond(&|| 0, timeout)
    }

    /// Like [`Pool::take_within`], but leaves at least `kept` buffers for others, which is evaluated again after
    /// [`Pool::ask_again`].
    pub fn take_beyond(&self, kept: &dyn Fn() -> usize, timeout: Duration) -> Option<PoolBuf> {
        let deadline = Instant::now() + timeout;
        let mut free = self.free();
        loop {
            if free.count() > kept() {
                if free.made.is_empty() {
                    free.unmade -= 1;
                    free.made.push(AlignedBuf::zeroed(CHUNK));
                }
                if let Some(buf) = free.made.pop() {
                    return Some(PoolBuf { buf: Some(buf), pool: self.clone() });
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            free = self.0.returned.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of buffers to leave for others has changed.
    pub fn ask_again(&self) {
        // A thread between evaluating and waiting holds the lock.
        drop(self.free());
        self.0.returned.notify_all();
    }

    fn put(&self, buf: AlignedBuf) {
        self.free().made.push(buf);
        self.0.returned.notify_all();
    }
}

/// A borrowed buffer; it is returned when dropped.
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

/// A piece of the image with its position on the disk, scanned for holes, and with the digest for read-back.
#[derive(Debug)]
pub struct Chunk {
    /// Multiple of [`CHUNK`].
    pub offset: u64,
    /// Bytes of the image.
    pub len: usize,
    /// `len` rounded up to whole sectors; the padding is zero.
    pub padded: usize,
    pub segments: Vec<Segment>,
    /// XXH3-128 of the padded bytes; `None` if all are zero. It detects a device's errors, not an attacker's.
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
        let pool = buf.pool.clone();
        let (digest, buf) = match segments.as_slice() {
            // The buffer is useful to others, and still in the processor's cache.
            [only] if only.zero => (None, Some(zeros())),
            _ => (Some(checksum(&buf[..padded])), buf.buf.take().map(Arc::new)),
        };
        Self { offset, len, padded, segments, digest, buf, pool }
    }

    /// A whole chunk of zeros, which needs no buffer.
    pub fn zeros(offset: u64, pool: &Pool) -> Self {
        let segments = vec![Segment { range: 0..CHUNK, zero: true }];
        let (buf, pool) = (Some(zeros()), pool.clone());
        Self { offset, len: CHUNK, padded: CHUNK, segments, digest: None, buf, pool }
    }

    /// Keeps only the first `padded` bytes, a multiple of the sector.
    pub fn truncate(&mut self, padded: usize) {
        self.padded = self.padded.min(padded);
        self.len = self.len.min(padded);
        self.segments.retain_mut(|segment| {
            segment.range.end = segment.range.end.min(padded);
            !segment.range.is_empty()
        });
        self.digest = self.digest.map(|_| checksum(self.bytes()));
    }

    pub fn bytes(&self) -> &[u8] {
        self.buf.as_ref().and_then(|buf| buf.get(..self.padded)).unwrap_or_default()
    }

    /// The buffer that starts with the chunk.
    pub fn shared(&self) -> Option<Arc<AlignedBuf>> {
        self.buf.clone()
    }

    /// The same chunk for another writer. The buffer is returned with the last of them.
    pub fn share(&self) -> Self {
        Self {
            offset: self.offset,
            len: self.len,
            padded: self.padded,
            segments: self.segments.clone(),
            digest: self.digest,
            buf: self.buf.clone(),
            pool: self.pool.clone(),
        }
    }

    /// Returns the buffer early, once the bytes are no longer needed.
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

/// [`CHUNK`] zeros in one buffer for the whole process.
pub fn zeros() -> Arc<AlignedBuf> {
    static ZEROS: OnceLock<Arc<AlignedBuf>> = OnceLock::new();
    ZEROS.get_or_init(|| Arc::new(AlignedBuf::zeroed(CHUNK))).clone()
}

/// The digest for read-back: XXH3-128.
pub fn checksum(bytes: &[u8]) -> u128 {
    XxHash3_128::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_go_round() {
        let pool = Pool::new(2);
        let (mut first, second) =
            (pool.take_within(Duration::ZERO).unwrap(), pool.take_within(Duration::ZERO).unwrap());
        assert_eq!(pool.free_count(), 0);
        first[3] = 1;
        let chunk = Chunk::new(0, first, 10, 512);
        drop(second);
        assert_eq!(pool.free_count(), 1);
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
    fn some_buffers_are_kept_for_others() {
        let pool = Pool::lazy(2);
        let kept = std::sync::atomic::AtomicUsize::new(1);
        let take = |timeout| pool.take_beyond(&|| kept.load(std::sync::atomic::Ordering::SeqCst), timeout);
        let first = take(Duration::ZERO).unwrap();
        assert!(take(Duration::ZERO).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(Duration::from_secs(60)));
            kept.store(0, std::sync::atomic::Ordering::SeqCst);
            pool.ask_again();
            assert!(waiting.join().unwrap().is_some());
        });
        drop(first);
        assert_eq!(pool.free_count(), 2);
    }

    #[test]
    fn zeros_take_no_buffer() {
        let pool = Pool::new(1);
        let mut buf = pool.take_within(Duration::ZERO).unwrap();
        buf.fill(0);
        for chunk in [Chunk::new(0, buf, 700, 512), Chunk::zeros(CHUNK as u64, &pool)] {
            assert_eq!((pool.free_count(), chunk.digest, chunk.segments.len()), (1, None, 1));
            assert_eq!(chunk.bytes().len(), chunk.padded);
            assert!(zero::is_zero(chunk.bytes()));
        }
        assert_eq!(pool.free_count(), 1);
    }

    #[test]
    fn a_shared_chunk_goes_back_with_its_last_holder() {
        let pool = Pool::new(1);
        let mut buf = pool.take_within(Duration::ZERO).unwrap();
        buf[3] = 1;
        let chunk = Chunk::new(0, buf, 10, 512);
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

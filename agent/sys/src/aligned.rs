//! Memory aligned for direct I/O.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Alignment that satisfies every block device (the page size; logical sectors are at most that).
pub const ALIGNMENT: usize = 4096;

/// A heap block of fixed length, aligned to [`ALIGNMENT`] and always initialised.
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
    /// Unlike an address, never used twice in one process.
    id: u64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

// SAFETY: AlignedBuf owns its memory alone, like Box<[u8]>; access follows the borrow of the handle.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared borrow gives only shared bytes.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// A zeroed buffer; a length of 0 is rounded up to one alignment unit.
    pub fn zeroed(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(ALIGNMENT);
        let layout = Self::layout(len);
        // SAFETY: the layout has a size above zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Self { start, len, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) },
            None => handle_alloc_error(layout),
        }
    }

    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, ALIGNMENT).unwrap_or(Layout::new::<[u8; ALIGNMENT]>())
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.len)) }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: start is valid for len initialised bytes for as long as self lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_zeroed_and_writable() {
        let mut buf = AlignedBuf::zeroed(5000);
        assert_eq!(buf.len(), 8192);
        assert_eq!(buf.as_ptr() as usize % ALIGNMENT, 0);
        assert!(buf.iter().all(|byte| *byte == 0));
        buf[8191] = 7;
        assert_eq!(buf[8191], 7);
    }
}

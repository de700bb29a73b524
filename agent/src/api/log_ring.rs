//! The end of the agent's log, for `GET /v1/log`: bytes with their offset since the start.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Cheap to clone; pass a clone to the logger as its writer.
#[derive(Debug, Clone)]
pub struct LogRing(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    bytes: VecDeque<u8>,
    /// Bytes dropped at the front.
    gone: u64,
    limit: usize,
}

impl LogRing {
    /// Keeps the last `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Ring { bytes: VecDeque::new(), gone: 0, limit })))
    }

    /// The offset of the first byte returned, and at most `most` bytes from `offset` on, as far as they are stored.
    pub fn read(&self, offset: u64, most: usize) -> (u64, Vec<u8>) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = ring.gone + ring.bytes.len() as u64;
        let start = offset.clamp(ring.gone, end);
        let skip = usize::try_from(start - ring.gone).unwrap_or(usize::MAX);
        (start, ring.bytes.iter().skip(skip).take(most).copied().collect())
    }
}

impl io::Write for LogRing {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.bytes.extend(text);
        let over = ring.bytes.len().saturating_sub(ring.limit);
        ring.bytes.drain(..over);
        ring.gone += over as u64;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn offsets_count_what_fell_out() {
        let mut ring = LogRing::new(10);
        ring.write_all(b"0123456").unwrap();
        assert_eq!(ring.read(5, 100), (5, b"56".to_vec()));
        ring.write_all(b"789abcde").unwrap();
        assert_eq!(ring.read(0, 100), (5, b"56789abcde".to_vec()));
        assert_eq!(ring.read(7, 2), (7, b"78".to_vec()));
        assert_eq!(ring.read(99, 2), (15, vec![]));
    }
}

//! A queue of bytes that keeps the pieces in which they arrived, without copying.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

/// Bytes in order, in pieces.
#[derive(Debug, Default)]
pub struct ByteQueue {
    /// Each piece with the offset of its first valid byte.
    pieces: VecDeque<(Vec<u8>, usize)>,
    len: usize,
    memory: usize,
}

impl ByteQueue {
    /// Adds `piece[from..]`.
    pub fn push(&mut self, piece: Vec<u8>, from: usize) {
        if from < piece.len() {
            self.len += piece.len() - from;
            self.memory += piece.capacity();
            self.pieces.push_back((piece, from));
        }
    }

    /// Number of bytes left.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory used by the pieces.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// All bytes that are left, if they are at most `most`.
    pub fn small(&self, most: usize) -> Option<Vec<u8>> {
        let bytes = || self.pieces.iter().flat_map(|(piece, from)| &piece[*from..]).copied().collect();
        (self.len <= most).then(bytes)
    }
}

impl BufRead for ByteQueue {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.pieces.front().map_or(&[], |(piece, from)| &piece[*from..]))
    }

    fn consume(&mut self, count: usize) {
        let Some((piece, from)) = self.pieces.front_mut() else { return };
        let count = count.min(piece.len() - *from);
        *from += count;
        self.len -= count;
        if *from == piece.len() {
            self.memory -= piece.capacity();
            self.pieces.pop_front();
        }
    }
}

impl Read for ByteQueue {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

//! The wire bytes as the decoders read them.

use super::ImageError;
use super::source::Stream;
use std::io::{self, BufRead, Read};

/// Pieces of wire bytes in order; none at the end.
pub trait Pieces: Send {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError>;
}

impl Pieces for Stream {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
        Stream::next(self)
    }
}

/// A buffered reader over pieces. It keeps the typed error that stopped it, as `io::Error` cannot carry it whole.
pub struct Input {
    pieces: Box<dyn Pieces>,
    piece: Vec<u8>,
    used: usize,
    position: u64,
    ended: bool,
    failed: Option<ImageError>,
}

impl Input {
    pub fn new(pieces: Box<dyn Pieces>) -> Self {
        Self { pieces, piece: Vec::new(), used: 0, position: 0, ended: false, failed: None }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The error that ended the pieces, if one did.
    pub fn take_failure(&mut self) -> Option<ImageError> {
        self.failed.take()
    }

    /// Up to `len` bytes without taking them; fewer only at the end.
    pub fn peek(&mut self, len: usize) -> Result<&[u8], ImageError> {
        while self.piece.len() - self.used < len && !self.ended {
            match self.pieces.next()? {
                Some(more) if self.used == self.piece.len() => (self.piece, self.used) = (more, 0),
                Some(more) => {
                    self.piece.drain(..self.used);
                    self.used = 0;
                    self.piece.extend_from_slice(&more);
                }
                None => self.ended = true,
            }
        }
        let left = &self.piece[self.used..];
        Ok(&left[..len.min(left.len())])
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.piece.len()
            && let Err(error) = self.peek(1)
        {
            self.failed = Some(error);
            self.ended = true;
            return Err(io::Error::other("the source failed"));
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, count: usize) {
        let count = count.min(self.piece.len() - self.used);
        self.used += count;
        self.position += count as u64;
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

//! The downloaded bytes as a reader for the decoders.

use crate::error::ImageError;
use crate::flow::byte_queue::ByteQueue;
use std::io::{self, BufRead, Read};

/// Downloaded bytes in pieces, in order; `None` at the end.
pub trait Pieces: Send {
    fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError>;
}

/// A buffered reader over pieces. It keeps the typed error that ended it, because `io::Error` cannot carry it
/// completely.
pub struct Input {
    pieces: Box<dyn Pieces>,
    piece: Vec<u8>,
    used: usize,
    position: u64,
    ended: bool,
    failed: Option<ImageError>,
    kept: Option<Kept>,
}

/// Consumed bytes that are kept.
struct Kept {
    packed: ByteQueue,
    /// Where they continue in the current piece.
    from: usize,
}

impl Input {
    pub fn new(pieces: Box<dyn Pieces>) -> Self {
        Self { pieces, piece: Vec::new(), used: 0, position: 0, ended: false, failed: None, kept: None }
    }

    /// Number of bytes available without waiting.
    pub fn buffered(&self) -> usize {
        self.piece.len() - self.used
    }

    /// Number of bytes consumed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The error that ended the pieces, if there was one.
    pub fn take_failure(&mut self) -> Option<ImageError> {
        self.failed.take()
    }

    /// Keeps everything that is consumed from here on.
    pub fn keep(&mut self) {
        self.kept = Some(Kept { packed: ByteQueue::default(), from: self.used });
    }

    /// Returns everything consumed since [`Input::keep`]. Pieces are moved; only the last one is copied.
    pub fn kept(&mut self) -> ByteQueue {
        let Some(Kept { mut packed, from }) = self.kept.take() else { return ByteQueue::default() };
        packed.push(self.piece[from..self.used].to_vec(), 0);
        packed
    }

    /// Puts consumed bytes back, to be read again. Must not be called between [`Input::keep`] and [`Input::kept`].
    pub fn unread(&mut self, mut bytes: Vec<u8>) {
        self.position -= bytes.len() as u64;
        bytes.extend_from_slice(&self.piece[self.used..]);
        (self.piece, self.used) = (bytes, 0);
    }

    /// Up to `len` bytes without consuming them; fewer only at the end.
    pub fn peek(&mut self, len: usize) -> Result<&[u8], ImageError> {
        while self.piece.len() - self.used < len && !self.ended {
            match self.pieces.next()? {
                Some(more) if self.used == self.piece.len() => {
                    let piece = std::mem::replace(&mut self.piece, more);
                    self.used = 0;
                    if let Some(Kept { packed, from }) = &mut self.kept {
                        packed.push(piece, std::mem::take(from));
                    }
                }
                Some(more) => {
                    if let Some(Kept { packed, from }) = &mut self.kept {
                        packed.push(self.piece[std::mem::take(from)..self.used].to_vec(), 0);
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(std::vec::IntoIter<Vec<u8>>);

    impl Pieces for Given {
        fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
            Ok(self.0.next())
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_consumed_is_kept(
            sizes in proptest::collection::vec(1usize..50, 1..10),
            steps in proptest::collection::vec((0usize..40, 0usize..12), 1..20), before in 0usize..60,
        ) {
            let all: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|index| index as u8).collect();
            let mut rest = all.as_slice();
            let mut piece = |size: &usize| {
                let (piece, after) = rest.split_at(*size);
                rest = after;
                piece.to_vec()
            };
            let pieces: Vec<Vec<u8>> = sizes.iter().map(&mut piece).collect();
            let mut input = Input::new(Box::new(Given(pieces.into_iter())));
            let skip = |input: &mut Input, mut count: usize| {
                while count > 0 {
                    let now = input.fill_buf().unwrap().len().min(count);
                    if now == 0 {
                        break;
                    }
                    input.consume(now);
                    count -= now;
                }
            };
            skip(&mut input, before);
            let start = input.position() as usize;
            input.keep();
            for (count, ahead) in steps {
                skip(&mut input, count);
                let place = input.position() as usize;
                assert_eq!(input.peek(ahead).unwrap(), &all[place..all.len().min(place + ahead)]);
            }
            let end = input.position() as usize;
            let mut packed = input.kept();
            assert_eq!(packed.len(), end - start);
            let mut kept = Vec::new();
            packed.read_to_end(&mut kept).unwrap();
            assert_eq!(kept, &all[start..end]);
        }
    }
}

//! Tracks the structure of an lz4 frame, because the decoder accepts an end between two blocks as the end of the frame.
//!
//! LZ4 Frame Format 1.6: magic, FLG, BD, content size (FLG bit 3), dictionary id (bit 0), header checksum; blocks of a
//! 4-byte length (top bit: stored), data, checksum (bit 4); a length of 0; content checksum (bit 2).

use std::io::{self, Read};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Magic, FLG and BD.
    Start,
    /// This many bytes to skip, then a block length.
    Skip(u64),
    Length,
    /// Content checksum.
    Last(u64),
    Ended,
}

pub struct Watched<R> {
    inner: R,
    state: State,
    flags: u8,
    field: Vec<u8>,
}

impl<R: Read> Watched<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, state: State::Start, flags: 0, field: Vec::with_capacity(6) }
    }

    /// Whether the end of the frame was reached.
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match &mut self.state {
                State::Ended => return,
                State::Skip(left) | State::Last(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= count as u64;
                    bytes = &bytes[count..];
                    self.settle();
                    continue;
                }
                State::Start => 6,
                State::Length => 4,
            };
            let count = (wanted - self.field.len()).min(bytes.len());
            self.field.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.field.len() == wanted {
                self.take_field();
            }
        }
    }

    fn take_field(&mut self) {
        let flag = |bit: u8, bytes: u64| if self.flags & (1 << bit) == 0 { 0 } else { bytes };
        self.state = match (self.state, self.field.as_slice()) {
            (State::Start, [_, _, _, _, flags, _]) => {
                self.flags = *flags;
                let flag = |bit: u8, bytes: u64| if flags & (1 << bit) == 0 { 0 } else { bytes };
                State::Skip(flag(3, 8) + flag(0, 4) + 1)
            }
            (State::Length, [0, 0, 0, 0]) => State::Last(flag(2, 4)),
            (State::Length, [a, b, c, d]) => {
                State::Skip(u64::from(u32::from_le_bytes([*a, *b, *c, d & 0x7f])) + flag(4, 4))
            }
            (state, _) => state,
        };
        self.field.clear();
        self.settle();
    }

    /// Leaves states that have no bytes left to skip.
    fn settle(&mut self) {
        self.state = match self.state {
            State::Skip(0) => State::Length,
            State::Last(0) => State::Ended,
            state => state,
        };
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.pass(&out[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
    use std::io::Write;

    fn frame(block: bool, content: bool, size: bool) -> Vec<u8> {
        let info = FrameInfo::new()
            .block_size(BlockSize::Max64KB)
            .block_mode(BlockMode::Linked)
            .block_checksums(block)
            .content_checksum(content)
            .content_size(size.then_some(200_000));
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&(0..200_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect::<Vec<_>>()).unwrap();
        encoder.finish().unwrap()
    }

    fn ended(bytes: &[u8]) -> bool {
        let mut decoder = FrameDecoder::new(Watched::new(bytes));
        let decoded = decoder.read_to_end(&mut Vec::new());
        decoded.is_ok() && decoder.into_inner().ended()
    }

    #[test]
    fn only_a_whole_frame_ends() {
        for bits in 0..8 {
            let frame = frame(bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            assert!(ended(&frame), "{bits}");
            for cut in (0..frame.len()).step_by(97).chain(frame.len() - 12..frame.len()) {
                assert!(!ended(&frame[..cut]), "{bits} cut at {cut} of {}", frame.len());
            }
        }
    }
}

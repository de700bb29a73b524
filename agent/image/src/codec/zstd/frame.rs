//! Finds a compressed zstd frame by its block headers (RFC 8878, 3.1.1) and holds it in the pieces in which it arrived.

use crate::codec::sniff;
use crate::codec::zstd::LARGEST_FRAME as LARGEST;
use crate::flow::byte_queue::ByteQueue;
use crate::flow::input::Input;
use std::io::{self, BufRead, Read};

/// RFC 8878, 3.1.1.2.4: the largest block.
pub const LARGEST_BLOCK: usize = 128 << 10;

/// The part of a frame that was collected.
#[derive(Debug)]
pub enum Collected {
    /// All of it.
    Whole { packed: ByteQueue, window: usize },
    /// The frame is too large, truncated or malformed: the streaming decoder handles it.
    Begun(ByteQueue),
}

/// The window that the first frame in `head` needs, possibly after one skippable frame.
pub fn window(head: &[u8]) -> Option<u64> {
    let head = match sniff::skippable(head) {
        Some(len) => head.get(usize::try_from(len).ok()?.checked_add(8)?..)?,
        None => head,
    };
    let [0x28, 0xb5, 0x2f, 0xfd, descriptor, rest @ ..] = head else { return None };
    if descriptor & 0x20 == 0 {
        return Some(window_size(*rest.first()?));
    }
    let (at, len) = ([0, 1, 2, 4][usize::from(descriptor & 3)], 1 << (descriptor >> 6));
    let size = rest.get(at..at + len)?.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    Some(size + if len == 2 { 256 } else { 0 })
}

/// Collects one frame from `input`, unless it is too large. `window` is the memory of its decoder for earlier output.
pub fn collect(input: &mut Input) -> io::Result<Collected> {
    input.keep();
    let window = scan(input);
    let packed = input.kept();
    Ok(match window? {
        Some(window) => Collected::Whole { packed, window },
        None => Collected::Begun(packed),
    })
}

/// Scans a frame. Returns its window if the frame is complete and small enough.
fn scan(input: &mut Input) -> io::Result<Option<usize>> {
    let start = input.position();
    let mut head = [0; 5];
    if !take(input, &mut head)? {
        return Ok(None);
    }
    let descriptor = head[4];
    let single = descriptor & 0x20 != 0;
    let content = match (descriptor >> 6, single) {
        (0, false) => 0,
        (0, true) => 1,
        (flag, _) => 1 << flag,
    };
    let (mut window, mut size) = ([0; 1], [0; 8]);
    if !single && !take(input, &mut window)? {
        return Ok(None);
    }
    if !pass(input, [0, 1, 2, 4][usize::from(descriptor & 3)])? || !take(input, &mut size[..content])? {
        return Ok(None);
    }
    let size = u64::from_le_bytes(size) + if content == 2 { 256 } else { 0 };
    let size = if content > 0 { size } else { u64::MAX };
    // If the content is smaller, its size is the window.
    let window = if single { size } else { window_size(window[0]).min(size) };
    let window = usize::try_from(window).unwrap_or(usize::MAX);
    let mut bound = 0;
    loop {
        let mut header = [0; 4];
        if !take(input, &mut header[..3])? {
            return Ok(None);
        }
        let header = u32::from_le_bytes(header);
        let (last, kind, size) = (header & 1 != 0, header >> 1 & 3, (header >> 3) as usize);
        let (stored, decoded) = match kind {
            0 => (size, size),
            1 => (1, size),
            2 => (size, LARGEST_BLOCK),
            _ => return Ok(None),
        };
        bound += decoded;
        // Empty blocks have no output but still take space.
        let packed = (input.position() - start) as usize;
        if bound.max(packed) > LARGEST || stored > LARGEST_BLOCK || !pass(input, stored)? {
            return Ok(None);
        }
        if last {
            let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
            return Ok(pass(input, checksum)?.then_some(window));
        }
    }
}

/// RFC 8878, 3.1.1.1.2.
fn window_size(descriptor: u8) -> u64 {
    let base = 1u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

/// Fills `to`; false if there are not enough bytes.
fn take(input: &mut Input, to: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Skips `count` bytes; false if there are not enough.
fn pass(input: &mut Input, mut count: usize) -> io::Result<bool> {
    while count > 0 {
        let available = input.fill_buf()?.len();
        if available == 0 {
            return Ok(false);
        }
        let now = available.min(count);
        input.consume(now);
        count -= now;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ImageError;
    use crate::flow::input::Pieces;
    use std::collections::VecDeque;

    struct Cut(VecDeque<Vec<u8>>);

    impl Pieces for Cut {
        fn next(&mut self) -> Result<Option<Vec<u8>>, ImageError> {
            Ok(self.0.pop_front())
        }
    }

    /// The result for `bytes` that arrive in pieces of this size.
    fn collected(bytes: &[u8], piece: usize) -> Collected {
        collect(&mut Input::new(Box::new(Cut(bytes.chunks(piece).map(<[u8]>::to_vec).collect())))).unwrap()
    }

    fn bytes(mut packed: ByteQueue) -> Vec<u8> {
        let (mut all, memory) = (Vec::new(), packed.memory());
        packed.read_to_end(&mut all).unwrap();
        assert!(memory >= all.len() && packed.len() == 0 && packed.memory() == 0);
        all
    }

    #[test]
    fn the_window_is_read_from_the_header() {
        let single = zstd::bulk::compress(&[7; 100_000], 1).unwrap();
        assert_eq!(window(&single), Some(100_000));
        let mut stream = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        stream.window_log(27).unwrap();
        std::io::Write::write_all(&mut stream, &[7; 100]).unwrap();
        std::io::Write::flush(&mut stream).unwrap();
        let stream = stream.finish().unwrap();
        assert_eq!(window(&stream), Some(1 << 27));
        let behind = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &stream].concat();
        assert_eq!(window(&behind), Some(1 << 27));
        assert_eq!(window(&stream[..5]), None);
    }

    #[test]
    fn a_frame_of_countless_empty_blocks_is_not_collected() {
        // Single segment, one byte of content size; then empty raw blocks.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0];
        frame.resize(3 * LARGEST, 0);
        match collected(&frame, 1 << 20) {
            Collected::Begun(begun) => assert!(begun.len() <= LARGEST + LARGEST_BLOCK + 8, "{}", begun.len()),
            Collected::Whole { .. } => panic!("a frame without an end"),
        }
    }

    #[test]
    fn whole_frames_are_taken_with_their_window_and_nothing_of_the_next() {
        let text = b"some text, again and again, ".repeat(200_000);
        let known = zstd::bulk::compress(&text, 3).unwrap();
        let streamed = zstd::stream::encode_all(&text[..], 3).unwrap();
        let small = zstd::bulk::compress(&text[..400], 3).unwrap();
        for (frame, windows) in [(known, 1 << 20..=text.len()), (streamed, 1 << 20..=8 << 20), (small, 400..=400)] {
            for piece in [1, 700, 1 << 20] {
                match collected(&[&frame[..], b"the next"].concat(), piece) {
                    Collected::Whole { packed, window } => {
                        assert!(windows.contains(&window), "{window}");
                        assert_eq!(packed.small(frame.len()).as_deref(), Some(&frame[..]));
                        assert_eq!(packed.small(frame.len() - 1), None);
                        assert_eq!(bytes(packed), frame);
                    }
                    Collected::Begun(_) => panic!("not collected"),
                }
            }
            match collected(&frame[..frame.len() - 1], 1000) {
                Collected::Begun(begun) => assert_eq!(bytes(begun), frame[..frame.len() - 1]),
                Collected::Whole { .. } => panic!("cut short"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_collected_or_begun(
            mut given in proptest::collection::vec(proptest::num::u8::ANY, 0..4000), magic in proptest::bool::ANY,
            piece in 1usize..5000,
        ) {
            if magic && given.len() >= 4 {
                given[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
            }
            let (Collected::Whole { packed, .. } | Collected::Begun(packed)) = collected(&given, piece);
            proptest::prop_assert!(given.starts_with(&bytes(packed)));
        }
    }
}

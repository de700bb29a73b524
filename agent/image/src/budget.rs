//! The memory budget of a write, fixed before it starts, whatever the sizes of image, disk and RAM.

use crate::codec::zstd::LARGEST_FRAME;
use crate::flow::chunker::CHUNKS;
use crate::flow::pieces::{PIECE, PIECES};
use crate::options::Options;
use crate::source::fetch::PART;
use burin_disk::CHUNK;

/// Bytes for zstd frames under way beside the chunks: compressed frames, the windows of those who decode them, and, where
/// the image does not look like many frames, what compares a device with an index. One more compressed frame may be
/// coming in: it stands in for the one window of a plain stream.
pub const IN_FLIGHT: usize = 24 << 20;
/// The part for compressed frames if the image consists of many; chunks get the rest.
const PACKED: usize = 18 << 20;
/// An incompressible frame, with the pieces in which it starts and ends, must fit beside the windows, which take half.
const _: () = assert!(LARGEST_FRAME + 2 * PIECE <= PACKED / 2);
/// Pieces outside of the queues: one each in source, digest and decoder.
const IN_HAND: usize = 3;

/// Additional chunks in flight for each device beyond the first.
const CHUNKS_A_DEVICE: usize = 8;

/// The division of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShare {
    /// Buffers of [`CHUNK`] bytes between decoder and devices.
    pub buffers: usize,
    /// Bytes of frames in flight.
    pub in_flight: usize,
}

/// `frames`: whether the image seems to consist of many zstd frames. A wrong guess costs only speed.
pub fn share(options: &Options, devices: usize, frames: bool) -> MemoryShare {
    let in_flight = if frames { PACKED } else { IN_FLIGHT };
    MemoryShare { buffers: buffers(options, devices) + (IN_FLIGHT - in_flight) / CHUNK, in_flight }
}

/// Bytes of buffers that a write with these options holds at most, onto so many devices, with so many connections.
/// A delta and a qcow2 image stay within it, too: they have no pieces, and what they hold instead is less.
/// Beside them are the decoder's window (at most 2^`window_log` bytes, as many as the image asks for; in its place
/// [`LARGEST_FRAME`] where frames are decoded side by side), stacks and the program itself.
pub fn bytes(options: &Options, devices: usize, connections: usize) -> usize {
    // One queue before and one after the digest of the download.
    let pieces = (2 * PIECES + IN_HAND) * PIECE;
    let parts = if connections > 1 { connections * (PART as usize + PIECE) } else { 0 };
    // One more buffer, of zeros, shared by all.
    (buffers(options, devices) + 1) * CHUNK + pieces + parts + IN_FLIGHT + devices.max(1) * burin_disk::WRITER_BYTES
}

/// The number of workers that decode differences from a device, and how many MiB may be in flight, if frames have at
/// most `frame` bytes. Comparison has its own buffers: this uses the budget of those through which a whole image would
/// pass.
pub fn patching(options: &Options, frame: usize) -> (usize, usize) {
    let most = buffers(options, 1) * CHUNK;
    // The frames of one MiB may start before it and end after it; a worker keeps one that it needs in part.
    let fits = |workers: usize| 2 * workers * (CHUNK + 2 * frame) + workers * frame <= most;
    match (1..=options.workers()).rev().find(|workers| fits(*workers)) {
        Some(workers) => (workers, 2 * workers),
        None => (1, 1),
    }
}

/// Number of buffers of [`CHUNK`] bytes.
pub fn buffers(options: &Options, devices: usize) -> usize {
    options.buffers.max(LEAST_BUFFERS) + CHUNKS_A_DEVICE * devices.saturating_sub(1)
}

/// With fewer the stages would stop: one being filled, some between the stages, one being written, and the withheld
/// first one.
pub const LEAST_BUFFERS: usize = CHUNKS + 2;
const _: () = assert!(LEAST_BUFFERS > crate::codec::zstd::workers::KEPT);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::zstd::workers::KEPT;

    #[test]
    fn frames_get_what_the_others_give() {
        let options = Options::default();
        for devices in [1, 2] {
            let (plain, frames) = (share(&options, devices, false), share(&options, devices, true));
            let bytes = |share: MemoryShare| share.buffers * CHUNK + share.in_flight;
            assert_eq!(bytes(plain), bytes(frames));
            // Some chunks of the frame whose turn it is, and all of another frame.
            assert!(frames.buffers >= LEAST_BUFFERS + KEPT + LARGEST_FRAME / CHUNK);
            // Three compressed frames from pzstd, and the windows of two.
            assert!(frames.in_flight >= 3 * (3 << 20) + 2 * (2 << 20));
        }
    }

    #[test]
    fn large_frames_are_patched_by_fewer_workers() {
        let with = |workers: usize, frame: usize| patching(&Options { workers, ..Options::default() }, frame);
        assert_eq!((with(1, 256 << 10), with(2, 256 << 10), with(2, 1)), ((1, 2), (2, 4), (2, 4)));
        assert_eq!((with(4, 256 << 10), with(4, 1 << 20), with(4, LARGEST_FRAME)), ((3, 6), (1, 2), (1, 1)));
    }

    #[test]
    fn a_write_with_default_settings_is_within_48_mib() {
        let one = bytes(&Options::default(), 1, 1);
        assert!(one <= 48 << 20, "{one}");
        let more = bytes(&Options::default(), 2, 1) - one;
        assert!(more <= 13 << 20, "{more}");
    }
}

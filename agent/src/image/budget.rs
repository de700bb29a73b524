//! What a write may hold in memory: fixed before it starts, whatever the sizes of image, disk and RAM.

use super::Options;
use super::source::{PIECE, PIECES};
use super::stages::CHUNKS;
use crate::disk::{self, CHUNK};

/// Largest decoded zstd frame that a worker takes whole: what pzstd makes by default. It stands in for the window.
pub const LARGEST_FRAME: usize = 8 << 20;
/// Bytes of zstd frames under way, compressed ones and decoded ones together. One more compressed frame may be coming in.
pub const IN_FLIGHT: usize = 24 << 20;
/// A frame that does not compress must fit.
const _: () = assert!(2 * LARGEST_FRAME <= IN_FLIGHT);
/// Pieces in hands between the queues: one each in source, digest and decoder.
const IN_HAND: usize = 3;

/// How the budget is divided. Frames that are decoded side by side have buffers of their own, which leaves the others
/// to the few bytes between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Buffers of 1 MiB between decoder and device.
    pub buffers: usize,
    /// Bytes of frames under way.
    pub in_flight: usize,
}

/// `frames`: whether the image looks like many zstd frames. If it turns out otherwise, all still works, less fast.
pub fn share(options: &Options, frames: bool) -> Share {
    let all = options.buffers.max(LEAST_BUFFERS);
    let buffers = if frames { LEAST_BUFFERS } else { all };
    Share { buffers, in_flight: IN_FLIGHT + (all - buffers) * CHUNK }
}

/// Bytes of buffers that a write with these options holds at most. Beside them are the decoder's window (at most
/// 2^`window_log` bytes, as many as the image asks for; in its place [`LARGEST_FRAME`] where frames are decoded whole),
/// stacks and the program itself.
pub fn bytes(options: &Options) -> usize {
    let buffers = options.buffers.max(LEAST_BUFFERS) * CHUNK;
    // A queue on either side of the digest of the download.
    let pieces = (2 * PIECES + IN_HAND) * PIECE;
    buffers + pieces + IN_FLIGHT + disk::WRITER_BYTES
}

/// Fewer would stop the stages: one being filled, some between them, one being written, the first withheld.
pub const LEAST_BUFFERS: usize = CHUNKS + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_get_what_the_others_give() {
        let options = Options::default();
        let (plain, frames) = (share(&options, false), share(&options, true));
        let bytes = |share: Share| share.buffers * CHUNK + share.in_flight;
        assert_eq!(bytes(plain), bytes(frames));
        // Three frames of pzstd, of which one is written while two are decoded, and their compressed bytes.
        assert!(frames.in_flight >= 3 * LARGEST_FRAME + (4 << 20));
    }

    #[test]
    fn a_write_with_default_settings_is_within_48_mib() {
        let bytes = bytes(&Options::default());
        assert!(bytes <= 48 << 20, "{bytes}");
    }
}

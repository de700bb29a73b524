//! What a write may hold in memory: fixed before it starts, whatever the sizes of image, disk and RAM.

use super::Options;
use super::fetch::PART;
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

/// Chunks that each device beyond the first may have on their way besides.
const CHUNKS_A_DEVICE: usize = 8;

/// Bytes of buffers that a write with these options holds at most, onto so many devices, with so many connections.
/// Beside them are the decoder's window (at most 2^`window_log` bytes, as many as the image asks for; in its place
/// [`LARGEST_FRAME`] where frames are decoded whole), stacks and the program itself.
pub fn bytes(options: &Options, devices: usize, connections: usize) -> usize {
    // A queue on either side of the digest of the download.
    let pieces = (2 * PIECES + IN_HAND) * PIECE;
    let parts = if connections > 1 { connections * (PART as usize + PIECE) } else { 0 };
    buffers(options, devices) * CHUNK + pieces + parts + IN_FLIGHT + devices.max(1) * disk::WRITER_BYTES
}

/// Buffers of [`CHUNK`] bytes.
pub fn buffers(options: &Options, devices: usize) -> usize {
    options.buffers.max(LEAST_BUFFERS) + CHUNKS_A_DEVICE * devices.saturating_sub(1)
}

/// Fewer would stop the stages: one being filled, some between them, one being written, the first withheld.
pub const LEAST_BUFFERS: usize = CHUNKS + 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_with_default_settings_is_within_48_mib() {
        let one = bytes(&Options::default(), 1, 1);
        assert!(one <= 48 << 20, "{one}");
        let more = bytes(&Options::default(), 2, 1) - one;
        assert!(more <= 15 << 20, "{more}");
    }
}

//! Pumps bytes from a source to a decoder, in pieces of one size, through a channel.

use crate::flow::channel::Producer;
use crate::flow::progress::timed;
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Bytes per piece between source and decoder.
pub const PIECE: usize = 256 * 1024;
/// Pieces that may wait between two stages.
pub const PIECES: usize = 8;
/// How often a waiting stage checks whether it should stop.
pub const TICK: Duration = Duration::from_millis(100);

/// Pumps until the end, an error, or until nobody listens. `each` gets the length of every piece after its push.
pub fn pump(
    reader: &mut dyn Read,
    producer: &Producer<io::Result<Vec<u8>>>,
    busy: &AtomicU64,
    mut each: impl FnMut(usize),
) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = timed(busy, || reader.take(PIECE as u64).read_to_end(&mut piece));
        let len = piece.len();
        // What arrived before an error is valid and need not be fetched again.
        if len > 0 && producer.push(Ok(piece)).is_err() {
            return;
        }
        each(len);
        match read {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let _ = producer.push(Err(error));
                return;
            }
        }
    }
}

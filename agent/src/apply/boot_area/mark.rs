//! The mark in the first sector of a disk that an order is at work on.

/// Begins the sector.
const MAGIC: &str = "BURIN-UNFINISHED\n";
/// Bytes that a mark has to fit into: the smallest sector.
const ROOM: usize = 512;

/// The first sector of a disk that `order` has not done with: the order's id between line breaks, zeros, no boot
/// signature.
pub fn mark(order: &str, sector: usize) -> Vec<u8> {
    let mut text = format!("{MAGIC}{order}\n").into_bytes();
    if text.len() > ROOM - 2 {
        // An order's id is shorter; whose it is then stays open.
        text = format!("{MAGIC}\n").into_bytes();
    }
    text.resize(sector.max(ROOM), 0);
    text
}

//! Moves bytes between threads, whatever they mean: channels, workers, pieces, chunks, and how a write is stopped.

pub mod byte_queue;
pub mod channel;
pub mod chunker;
pub mod detached;
pub mod input;
pub mod pieces;
pub mod progress;
pub mod stop;
pub mod workers;

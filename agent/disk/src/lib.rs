//! Block devices: exclusive direct-I/O targets, aligned buffers, zeroing, read-back, wiping.

mod buffer;
mod error;
mod holders;
mod kept;
mod queue;
mod target;
mod threads;
pub mod wipe;
mod writer;
pub mod zero;

pub use buffer::{CHUNK, Chunk, Pool, PoolBuf, checksum};
pub use error::DiskError;
pub use kept::{KeptRanges, KeptRecord};
pub use queue::{Backend, Completion, Op, Queue, Waker, open as open_queue};
pub use target::{QueueLimits, Roots, Target, TargetKind};
pub use writer::{
    Body, Counters, Fed, Feed, Interrupt, Mark, PATIENCE, WRITER_BYTES, Withheld, WriteFailure, Writer, WriterOptions,
    Written,
};
pub use zero::is_zero;

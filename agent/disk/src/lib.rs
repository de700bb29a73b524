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
pub use kept::{Kept, Record};
pub use queue::{Backend, Completion, Op, Queue, Waker, open as open_queue};
pub use target::{Limits, Roots, Target, TargetKind};
pub use writer::{
    Body, Counters, Failure, Fed, Feed, Interrupt, Mark, Options, PATIENCE, WRITER_BYTES, Withheld, Writer, Written,
};
pub use zero::is_zero;

//! Zstandard (RFC 8878): frames side by side, and random access by a seek table.

pub mod frame;
pub mod parallel;
pub mod seekable;
pub mod workers;

/// Largest frame, compressed or decoded, that a worker takes: what pzstd makes by default.
pub const LARGEST_FRAME: usize = 8 << 20;

//! Compressions: found by magic, decoded member by member.

pub mod decode;
pub mod lz4;
pub mod sniff;
pub mod zstd;

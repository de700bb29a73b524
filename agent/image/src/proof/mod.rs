//! Verification of the bytes: digests and signatures.

pub mod digest;
pub mod mib;
pub mod seals;
pub mod signature;
pub mod wire;

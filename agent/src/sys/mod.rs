//! The only room with `unsafe`: ioctls and raw syscalls behind safe functions.
#![allow(unsafe_code)]

pub mod aligned;
pub mod blockdev;
pub mod uring;

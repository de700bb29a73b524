//! The only room with `unsafe`: ioctls and raw syscalls behind safe functions.
#![allow(unsafe_code)]

pub mod clock;
pub mod module;
pub mod packet;
pub mod signal;

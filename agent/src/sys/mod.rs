//! The only room with `unsafe`: ioctls and raw syscalls behind safe functions.
#![allow(unsafe_code)]

pub mod efivar;
pub mod grow;
pub mod partition;
pub mod aligned;
pub mod blockdev;
pub mod uring;
pub mod clock;
pub mod module;
pub mod packet;
pub mod signal;

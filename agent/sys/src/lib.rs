//! The only crate with `unsafe`: ioctls and raw syscalls behind safe functions.
#![allow(unsafe_code)]

pub mod aligned;
pub mod blockdev;
pub mod clock;
pub mod efivar;
pub mod frames;
pub mod grow;
pub mod kexec;
pub mod mapper;
#[doc(hidden)]
pub mod module;
pub mod nvme;
pub mod packet;
pub mod partition;
pub mod signal;
pub mod swap;
pub mod uring;

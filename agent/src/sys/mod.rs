//! The only room with `unsafe`: ioctls and raw syscalls behind safe functions.
#![allow(unsafe_code)]

pub mod module;
pub mod packet;

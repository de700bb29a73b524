//! Disk image formats other than raw bytes, and formats that are not disk images at all.

pub mod foreign;
pub mod qcow2;

//! Disk image formats that are more than the bytes of the disk, and what is no disk image at all.

pub mod foreign;
pub mod qcow2;

//! What happens to a disk after its image is verified: partition table, grow, seed, boot entry.
//!
//! Every step takes explicit inputs, may be killed at any point and run again, and says what it changed.

pub mod adjust;
pub mod bootloader;
pub mod device;
pub mod fat;
#[cfg(test)]
mod fault_disk;
pub mod filesystem;
pub mod gpt;
pub mod grow;
pub mod guid;
pub mod kernel;
pub mod layout;
pub mod mbr;
pub mod md;
pub mod mount;
pub mod root;
pub mod rootfs;
pub mod seed_write;
pub mod table;
pub mod uefi;

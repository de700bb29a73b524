//! Work on a disk after its image has been verified: partition table, grow, seed, boot entry.
//!
//! Every step takes explicit inputs, may be killed at any point and run again, and reports what it changed.

pub mod accounts;
pub mod bootloader;
pub mod device;
pub mod fat;
pub mod fat_read;
pub mod files;
pub mod filesystem;
pub mod grow;
pub mod ignition;
pub mod kernel;
pub mod look;
pub mod luks;
pub mod lvm;
pub mod md;
pub mod modules;
pub mod mount;
pub mod root;
pub mod rootfs;
pub mod seed_write;
pub mod selinux;
pub mod system;
pub mod tpm;
pub mod uefi;

#[cfg(test)]
pub use burin_table::fault_disk;
pub use burin_table::{adjust, gpt, guid, layout, mbr, table};

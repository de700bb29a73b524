//! Partition tables, by arithmetic and bytes: GPT (UEFI 2.10, section 5.3) and MBR. No I/O of its own: a disk is whatever
//! implements [`Sectors`], be it a block device, an overlay in memory, or a disk of a test that loses its power.

pub mod adjust;
#[cfg(any(test, feature = "testing"))]
pub mod fault_disk;
pub mod gpt;
pub mod guid;
pub mod layout;
pub mod mbr;
mod sectors;
pub mod table;

pub use sectors::Sectors;

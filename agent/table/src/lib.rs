//! Partition tables, by arithmetic and bytes: GPT (UEFI 2.10, section 5.3) and MBR. No I/O of its own: a disk is whatever
//! implements [`Sectors`], be it a block device, an overlay in memory, or a disk of a test that loses its power.

pub mod adjust;
#[cfg(any(test, feature = "testing"))]
pub mod fault_disk;
pub mod gpt;
pub mod guid;
pub mod head;
pub mod layout;
pub mod mbr;
pub mod rehearsal;
mod sectors;
pub mod signature;
pub mod table;
pub mod types;

pub use head::Head;
pub use rehearsal::Rehearsal;
pub use sectors::Sectors;

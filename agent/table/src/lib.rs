//! Partition tables as pure arithmetic and byte parsing: GPT (UEFI 2.10, section 5.3) and MBR. No I/O of its own: a
//! disk is anything that implements [`Sectors`], such as a block device, an overlay in memory, or a test's disk that
//! loses power.
//!
//! - [`layout`] is the one arithmetic of places: alignment, sizes, numbers. The planner and whoever carries a plan out both
//!   ask it, so that what is planned can be placed.
//! - [`gpt`] and [`mbr`] are bytes to values and back. Tables are edited in place: numbers, order, attributes and bytes that
//!   nobody defines stay as they are.
//! - [`table`] reads either copy of a GPT as the kernel does, and writes both so that one is valid at every instant.
//! - [`adjust`] is a change as one commit that can be run again: what is done already is found and not done twice.
//! - [`head`] reads what the first bytes of an image tell, and [`Rehearsal`] is a disk in memory on which a change is tried
//!   before it is made, by the same code.
//! - [`types`] and [`guid`] are partition types by name, and GUIDs that come out the same when a step runs again.
//!
//! The `gpt` crate renumbers sparse tables when it writes and leaves the protective MBR at the old size, so it is not used
//! for writing; the tests here have it read what we wrote, as a second opinion.
//!
//! ```
//! use burin_table::layout::{self, Extension, Space};
//!
//! // A disk of 8 GiB whose RAID stripe is 4 MiB: an ESP, and a root that takes the rest.
//! let alignment = layout::alignment(4 << 20);
//! let space = Space::fresh(8 << 30, 512, alignment).expect("room for a table");
//! let esp = Extension { min: 512 << 20, max: Some(512 << 20), weight: 0 };
//! let root = Extension { min: 1 << 30, max: None, weight: 1 };
//! let places = layout::places(space, &[esp, root]).expect("room for both");
//! assert!(places.iter().all(|place| place.start % alignment == 0));
//! assert_eq!(places[1].start, places[0].start + places[0].size);
//! ```

pub mod adjust;
mod adjust_mbr;
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

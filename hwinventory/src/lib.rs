//! Hardware inventory of a Linux machine without external programs and without udev: sysfs, procfs, SMBIOS tables,
//! ioctls and netlink, read through one recordable [`source::Source`].
//!
//! ```no_run
//! let inventory = hwinventory::collect(&hwinventory::Options::default());
//! println!("{}", serde_json::to_string_pretty(&inventory).unwrap());
//! ```

pub mod diff;
pub mod format;
pub mod page;
pub mod source;

mod collect;
mod findings;
mod parse;
mod sys;

pub use collect::{Options, collect};
pub use hwinventory_types as model;
pub use model::Inventory;
pub use parse::mounts::unescape as unescape_mount_path;
pub use parse::names::{real, real_uuid};

/// JSON Schema of [`Inventory`], generated from the types.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Inventory)
}

#[doc(hidden)]
pub mod fuzz;

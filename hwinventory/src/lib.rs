//! Hardware inventory of a Linux machine without external programs and without udev: sysfs, procfs, SMBIOS tables,
//! ioctls and netlink, read through one recordable [`source::Source`].
//!
//! ```no_run
//! let inventory = hwinventory::collect(&hwinventory::Options::default());
//! println!("{}", serde_json::to_string_pretty(&inventory).unwrap());
//! ```

pub mod diff;
pub mod fleet;
pub mod format;
pub mod page;
pub mod source;

mod collect;
mod findings;
mod parse;
mod sys;

pub use collect::{Options, bmc_records, collect};
pub use hwinventory_types as model;
pub use model::Inventory;
pub use parse::cmdline::masked as mask_cmdline;
pub use parse::lldp::neighbour as lldp_neighbour;
pub use parse::mounts::unescape as unescape_mount_path;
pub use parse::names::{real, real_uuid};

/// Puts a section that was collected later into an inventory, and judges it anew.
pub fn add_bmc_records(inventory: &mut Inventory, records: model::Section<model::BmcRecords>) {
    inventory.bmc_records = records;
    inventory.findings = findings::findings(inventory, std::time::Instant::now() + std::time::Duration::from_secs(5));
}

/// What a raw structure table of SMBIOS (`/sys/firmware/dmi/tables/DMI`) says about ways to the management controller.
pub fn host_interfaces(table: &[u8]) -> Vec<model::HostInterface> {
    parse::smbios::host_interfaces(&parse::smbios::Table::parse(None, table))
}

/// JSON Schema of [`Inventory`]. It is generated from the types by a test.
pub fn schema() -> &'static str {
    include_str!("../../docs/inventory.schema.json")
}

#[doc(hidden)]
pub mod fuzz;

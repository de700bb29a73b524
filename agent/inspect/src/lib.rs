//! Inspects a disk image and finds what will break on other machines: in user space, without root, and without writing.
//!
//! [`check`] is the one call. It takes an image that `burin_image::open_disk` opened, and answers with a [`Report`]: the
//! table, the ways firmware starts it, the installed system, and findings by a table of rules, each with a code, a reason
//! and a remedy ([`faults`]).

mod boot_faults;
mod disk;
mod drivers;
pub mod faults;
mod files;
mod fstab;
pub mod fuzz;
mod identity_faults;
mod leftovers;
mod loader;
mod look;
mod lvm;
pub mod lvm_text;
mod network_faults;
mod order;
mod page;
mod pe;
pub mod ramdisk;
mod ramdisk_faults;
pub mod report;
mod system;
mod tree;
mod volumes;

pub use disk::Disk;
pub use files::Files;
pub use order::OrderError;
pub use page::page;
pub use report::Report;
pub use tree::{FsError, Tree};

use burin_image::{ImageError, OpenedDisk};
use burin_protocol::order::Order;
use hwinventory_types::Inventory;

/// Options of a check.
#[derive(Debug, Default)]
pub struct CheckOptions {
    /// Codes of findings that the caller accepts.
    pub accepted: Vec<String>,
    /// An order, the name of the image in it (if it has several), and the machine, if one is given.
    pub order: Option<(Order, Option<String>, Option<Inventory>)>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// Inspects an image.
pub fn check(image: OpenedDisk, wanted: &CheckOptions) -> Result<Report, InspectError> {
    let look = look::Look::at(image)?;
    let mut report = look.report();
    report.findings = faults::find(&look);
    for finding in &mut report.findings {
        finding.accepted = wanted.accepted.contains(&finding.code);
    }
    if let Some((order, image, machine)) = &wanted.order {
        report.order = Some(order::check(order, image.as_deref(), machine.as_ref(), &look)?);
    }
    Ok(report)
}

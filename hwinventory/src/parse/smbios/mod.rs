//! SMBIOS tables (DMTF DSP0134).

mod decode;
mod memory;
mod table;
mod words;

pub use decode::{bmc_interface, system};
pub use memory::memory;
pub use table::Table;
pub use words::chassis as chassis_kind;

#[cfg(test)]
mod tests;

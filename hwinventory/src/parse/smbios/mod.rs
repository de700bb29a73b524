//! SMBIOS tables (DMTF DSP0134).

mod decode;
mod devices;
mod memory;
mod processor;
mod processor_words;
mod table;
mod words;

pub use decode::{bmc_interface, system};
pub use devices::host_interfaces;
pub use memory::memory;
pub use processor::sockets;
pub use table::{Table, blank};
pub use words::chassis as chassis_kind;

#[cfg(test)]
mod tests;

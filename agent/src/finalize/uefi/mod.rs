//! UEFI boot entries: codec, variables, loader on the ESP, and the entry for the new system.

pub mod entry;
pub mod load_option;
pub mod loader;
pub mod variables;

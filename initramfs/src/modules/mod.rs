//! Kernel modules: what a kernel offers, which of them the ramdisk gets, and kmod's index files about those.

mod closure;
pub mod glob;
mod hardware;
pub mod modinfo;
mod select;
mod tables;
mod tree;

pub use closure::{Closure, ClosureError};
pub use hardware::{Hardware, HardwareError};
pub use select::{ModuleRules, ModuleRulesError, STANDARD_RULES};
pub use tables::Tables;
pub use tree::{Module, ModuleTree, ModuleTreeError, read_plain};

//! Kernel modules: the modules of a kernel, the selection for the ramdisk, and kmod's index files for it.

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

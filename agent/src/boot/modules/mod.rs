//! Kernel modules: kmod's text indexes, aliases, loading in dependency order, coldplug and hotplug.

mod alias;
mod coldplug;
mod glob;
mod index;
mod kernel;
mod loader;
mod names;
mod options;
mod uevent;
mod unpack;
mod urgency;

#[cfg(test)]
mod tests;

pub use alias::Aliases;
pub use coldplug::modaliases;
#[cfg(test)]
pub use index::IndexTexts;
pub use index::{ModuleId, ModuleIndex};
pub use kernel::{Insert, Insertion, Kernel};
pub use loader::ModuleLoader;
pub use names::{ALWAYS, ASIDE, FIRST, LATE};
pub use options::ModuleOptions;
#[cfg(test)]
pub use uevent::Uevent;
pub use uevent::{UeventListener, UeventMessage, listen};
pub use urgency::Urgency;

/// Module names treat `-` and `_` as the same character.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

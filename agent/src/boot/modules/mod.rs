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
pub use index::Texts;
pub use index::{Index, ModuleId};
pub use kernel::{Insert, Insertion, Kernel};
pub use loader::Loader;
pub use names::{ALWAYS, ASIDE, FIRST, LATE};
pub use options::Options;
#[cfg(test)]
pub use uevent::Uevent;
pub use uevent::{Heard, Listener, listen};
pub use urgency::Urgency;

/// Modules compare with `-` and `_` as one character.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

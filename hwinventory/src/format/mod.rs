//! The inventory in the formats of other programs: pure conversions.

mod ipa;
mod ipa_collectors;
#[cfg(test)]
mod ipa_tests;
mod lshw;
mod lshw_devices;
#[cfg(test)]
mod lshw_tests;

pub use ipa::{IpaOptions, ipa, ipa_inventory};
pub use lshw::lshw;

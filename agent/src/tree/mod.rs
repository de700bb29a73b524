//! Tree images: a tar unpacked onto mounted filesystems, with everything that a system's files have, and read back.

mod acl;
mod archive;
mod attributes;
mod error;
mod manifest;
mod sparse;
mod unpack;

pub use error::TreeError;
pub use manifest::{Manifest, Verified};
pub use unpack::{Unpacked, unpack};

#[cfg(test)]
mod foreign_tests;

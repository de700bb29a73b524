//! Tree images: a tar, or the layers of a container image, unpacked onto mounted filesystems, with everything that a
//! system's files have, and read back; and the disk images that some layers hold.

mod acl;
mod archive;
mod attributes;
mod contained;
mod error;
mod layers;
mod manifest;
mod sparse;
mod unpack;

pub use contained::disk;
pub use error::TreeError;
pub use manifest::{Manifest, Verified};
pub use unpack::{Unpacked, Unpacker, unpack};

#[cfg(test)]
mod foreign_tests;

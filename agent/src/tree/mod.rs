//! Tree images: unpacks a tar, or the layers of a container image, onto mounted filesystems, with all file attributes,
//! and reads it back; also finds the disk images that some layers contain.

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
pub use manifest::{TreeManifest, Verified};
pub use unpack::{Unpacked, Unpacker, unpack};

#[cfg(test)]
mod foreign_tests;

//! Tree images: a tar unpacked onto mounted filesystems, with everything that a system's files have.

mod acl;
mod error;
mod unpack;

pub use error::TreeError;
pub use unpack::{Unpacked, unpack};

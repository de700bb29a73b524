//! Builds burin's netboot artefacts on an ordinary Linux host: kernel, ramdisk, iPXE script, GRUB fragment and unified
//! kernel image.
//!
//! [`build`] does everything; the modules are its steps. ARCHITECTURE.md specifies the contents of the ramdisk.

pub mod agent;
pub mod arch;
mod assemble;
pub mod authenticode;
mod bytes;
pub mod codec;
pub mod cpio;
pub mod debian;
mod digest;
pub mod iso;
pub mod kernel;
pub mod manifest;
pub mod modules;
pub mod netboot;
pub mod notice;
pub mod options;
mod pack;
mod parallel;
mod ramdisk;
mod sbom;
pub mod tools;
pub mod uki;

pub use assemble::{BuildError, GRUB, INITRAMFS, IPXE, KERNEL, MANIFEST, NOTICE, UKI, build};
pub use manifest::Manifest;
pub use options::Options;
pub use pack::PackError;
pub use ramdisk::RamdiskError;

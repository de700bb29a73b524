//! The kernel's side of module loading as a trait, so that order and parallelism can be tested without a kernel.

use super::unpack;
use nix::errno::Errno;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// The result of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insert {
    Loaded,
    /// It was already present (or is built in).
    Present,
}

pub trait Insertion: Send + Sync {
    fn insert(&self, path: &Path, parameters: &str) -> io::Result<Insert>;
}

/// init_module(2) of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Kernel;

impl Insertion for Kernel {
    fn insert(&self, path: &Path, parameters: &str) -> io::Result<Insert> {
        let image = unpack::read(path)?;
        let parameters = CString::new(parameters).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // The kernel returns only after the module's initialisation, including probing unless that is asynchronous.
        match nix::kmod::init_module(&image, &parameters) {
            Ok(()) => Ok(Insert::Loaded),
            Err(Errno::EEXIST) => Ok(Insert::Present),
            // For modules these errors have another meaning than for files.
            Err(Errno::ENOENT) => Err(io::Error::other("it needs what no loaded module has: is one missing?")),
            Err(Errno::ENOEXEC) => Err(io::Error::other("it is not a module for this kernel")),
            Err(error) => Err(error.into()),
        }
    }
}

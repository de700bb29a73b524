//! Takes tools from an existing system: this host, or one unpacked in a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Found, Source, ToolError, first_file, library_paths};
use crate::arch::Arch;
use crate::debian::{self, Package};

/// Where programs are.
pub(super) const PROGRAMS: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

/// A system's root directory.
#[derive(Debug, Clone)]
pub struct Root {
    root: PathBuf,
    arch: Arch,
    /// Asking dpkg reads the lists of all packages.
    owners: BTreeMap<PathBuf, Option<Package>>,
}

impl Root {
    pub fn new(root: &Path, arch: Arch) -> Root {
        Root { root: root.to_owned(), arch, owners: BTreeMap::new() }
    }

    fn found(&mut self, path: &str, file: PathBuf) -> Found {
        // dpkg knows the files of this host and of no other.
        let package = match self.root == Path::new("/") {
            true => self.owners.entry(file.clone()).or_insert_with(|| debian::owner(&file)).clone(),
            false => None,
        };
        Found { path: format!("/{path}"), file, package }
    }
}

impl Source for Root {
    fn program(&mut self, program: &'static str, package: &'static str) -> Result<Found, ToolError> {
        let paths = PROGRAMS.map(|directory| format!("{directory}/{program}"));
        let missing = || ToolError::Missing { program, package, root: self.root.clone() };
        let (path, file) = first_file(&self.root, &paths).ok_or_else(missing)?;
        Ok(self.found(path, file))
    }

    fn library(&mut self, name: &str, _by: &Found) -> Result<Option<Found>, ToolError> {
        let paths = library_paths(name, self.arch);
        let Some((path, file)) = first_file(&self.root, &paths) else { return Ok(None) };
        // A loader stays where the program says, wherever it was found.
        let path = name.strip_prefix('/').unwrap_or(path);
        Ok(Some(self.found(path, file)))
    }
}

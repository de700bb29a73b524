//! Takes tools from an existing system: this host, or one unpacked in a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FoundTool, ToolError, ToolSource, first_file, library_paths};
use crate::arch::Arch;
use crate::debian::{self, Package};

/// Directories with programs.
pub(super) const PROGRAMS: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

/// A system's root directory.
#[derive(Debug, Clone)]
pub struct RootTools {
    root: PathBuf,
    arch: Arch,
    /// Cached, because querying dpkg reads the lists of all packages.
    owners: BTreeMap<PathBuf, Option<Package>>,
}

impl RootTools {
    pub fn new(root: &Path, arch: Arch) -> RootTools {
        RootTools { root: root.to_owned(), arch, owners: BTreeMap::new() }
    }

    fn found(&mut self, path: &str, file: PathBuf) -> FoundTool {
        // dpkg knows only this host's files.
        let package = match self.root == Path::new("/") {
            true => self.owners.entry(file.clone()).or_insert_with(|| debian::owner(&file)).clone(),
            false => None,
        };
        FoundTool { path: format!("/{path}"), file, package }
    }
}

impl ToolSource for RootTools {
    fn program(&mut self, program: &'static str, package: &'static str) -> Result<FoundTool, ToolError> {
        let paths = PROGRAMS.map(|directory| format!("{directory}/{program}"));
        let missing = || ToolError::Missing { program, package, root: self.root.clone() };
        let (path, file) = first_file(&self.root, &paths).ok_or_else(missing)?;
        Ok(self.found(path, file))
    }

    fn library(&mut self, name: &str, _by: &FoundTool) -> Result<Option<FoundTool>, ToolError> {
        let paths = library_paths(name, self.arch);
        let Some((path, file)) = first_file(&self.root, &paths) else { return Ok(None) };
        // A loader keeps the path that the program names, wherever it was found.
        let path = name.strip_prefix('/').unwrap_or(path);
        Ok(Some(self.found(path, file)))
    }
}

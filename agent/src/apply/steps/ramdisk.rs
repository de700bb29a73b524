//! What the ramdisk provides for steps: programs, kernel filesystems and array levels.

use super::super::ApplyError;
use super::super::tools::Tool;
use crate::finalize::modules;
use crate::finalize::root::Root;
use std::fs;
use std::path::Path;

/// The parts of the running system that steps need.
#[derive(Debug, Clone, Copy)]
pub struct Ramdisk<'a> {
    /// `/` on a real machine.
    pub root: &'a Path,
}

impl Ramdisk<'_> {
    pub fn program(&self, tool: Tool) -> Result<(), ApplyError> {
        tool.find(self.root).map(|_| ())
    }

    /// Checks for a kernel module, by its file name without `.ko`: present, built in, or unknown.
    pub fn module(&self, name: &'static str) -> Result<(), ApplyError> {
        let has = Root::open(self.root).ok().and_then(|root| modules::has(&root, &release(), name).ok().flatten());
        match has.unwrap_or(true) || in_use(name) {
            true => Ok(()),
            false => Err(ApplyError::NoModule { module: name }),
        }
    }
}

/// Loaded or built-in filesystems are listed there, array levels in mdstat.
fn in_use(name: &str) -> bool {
    let lists = ["/proc/filesystems", "/proc/mdstat"].map(|path| fs::read_to_string(path).unwrap_or_default());
    lists.iter().any(|list| list.split_ascii_whitespace().any(|word| word.trim_matches(['[', ']']) == name))
}

fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

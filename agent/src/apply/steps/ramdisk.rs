//! What the ramdisk brings for steps: programs, and filesystems and array levels of the kernel.

use super::super::ApplyError;
use super::super::tools::Tool;
use std::fs;
use std::path::{Path, PathBuf};

/// The running system, as far as steps need it.
#[derive(Debug, Clone, Copy)]
pub struct Ramdisk<'a> {
    /// `/` on a real machine.
    pub root: &'a Path,
}

impl Ramdisk<'_> {
    pub fn program(&self, tool: Tool) -> Result<(), ApplyError> {
        tool.find(self.root).map(|_| ())
    }

    /// A module of the kernel, by its file's name without `.ko`: there, built in, or nobody knows.
    pub fn module(&self, name: &'static str) -> Result<(), ApplyError> {
        let directory = self.root.join("lib/modules").join(release());
        let lists = ["modules.dep", "modules.builtin"].map(|list| fs::read_to_string(directory.join(list)));
        if lists.iter().all(Result::is_err) || in_use(name) {
            return Ok(());
        }
        let wanted = format!("/{}.ko", normal(name));
        let has =
            |list: &String| list.lines().any(|line| normal(line.split(':').next().unwrap_or(line)).contains(&wanted));
        match lists.iter().flatten().any(has) {
            true => Ok(()),
            false => Err(ApplyError::NoModule { module: name }),
        }
    }
}

/// Modules are called with hyphens or underscores as it comes.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// Filesystems that are loaded or built in are listed there, array levels in mdstat.
fn in_use(name: &str) -> bool {
    let lists = ["/proc/filesystems", "/proc/mdstat"].map(|path| fs::read_to_string(path).unwrap_or_default());
    lists.iter().any(|list| list.split_ascii_whitespace().any(|word| word.trim_matches(['[', ']']) == name))
}

fn release() -> PathBuf {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    PathBuf::from(release.trim())
}

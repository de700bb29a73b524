//! External programs for tasks that have no ioctl, with the shared libraries and the loader that they need.
//!
//! They come from Debian packages that apt fetches (they need not be installed, and none of their programs are run), or
//! from an existing system. What a loader would load (DT_NEEDED, recursively) is found by reading the files. Libraries
//! that a program loads at run time (dlopen) cannot be found that way and are listed in a table ([`BESIDE`]).

mod elf;
mod packages;
mod root;

pub use packages::Packages;
pub use root::RootTools;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::arch::Arch;
use crate::debian::{DebianError, Package};
use elf::Wants;

/// A tool that can be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
    Swap,
    Raid,
    Lvm,
    Luks,
}

/// Name, program, Debian package.
const TOOLS: [(Tool, &str, &str, &str); 8] = [
    (Tool::Ext4, "ext4", "mkfs.ext4", "e2fsprogs"),
    (Tool::Xfs, "xfs", "mkfs.xfs", "xfsprogs"),
    (Tool::Btrfs, "btrfs", "mkfs.btrfs", "btrfs-progs"),
    (Tool::Vfat, "vfat", "mkfs.vfat", "dosfstools"),
    (Tool::Swap, "swap", "mkswap", "util-linux"),
    (Tool::Raid, "raid", "mdadm", "mdadm"),
    (Tool::Lvm, "lvm", "lvm", "lvm2"),
    (Tool::Luks, "luks", "cryptsetup", "cryptsetup-bin"),
];

/// Libraries that are loaded at run time (dlopen): threads of libargon2 end with pthread_exit(3), for which libc.so.6
/// needs libgcc_s.so.1.
const BESIDE: [(Tool, &str, &str); 1] = [(Tool::Luks, "libc.so.6", "libgcc_s.so.1")];

impl Tool {
    /// All tools.
    pub fn all() -> Vec<Tool> {
        TOOLS.iter().map(|(tool, ..)| *tool).collect()
    }

    fn row(self) -> (&'static str, &'static str, &'static str) {
        let row = TOOLS.iter().find(|(tool, ..)| *tool == self);
        row.map_or(("", "", ""), |&(_, name, program, package)| (name, program, package))
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(text: &str) -> Result<Tool, String> {
        let known = || TOOLS.map(|(_, name, ..)| name).join(", ");
        let found = TOOLS.iter().find(|(_, name, ..)| *name == text).map(|(tool, ..)| *tool);
        found.ok_or_else(|| format!("`{text}` is none of {}", known()))
    }
}

/// Why a program cannot be included.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("no {program} below {}: install the Debian package {package}", root.display())]
    Missing { program: &'static str, package: &'static str, root: PathBuf },
    #[error("the Debian package {package} has no {program}")]
    NotInPackage { program: &'static str, package: &'static str },
    #[error("{wanted_by}: needs {library}, which is missing")]
    Library { library: String, wanted_by: String },
    #[error("{} is not a 64-bit ELF file", path.display())]
    NotElf { path: PathBuf, source: object::Error },
    #[error("{} is not built for {expected}, as the agent is", path.display())]
    Arch { path: PathBuf, expected: Arch },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("a package cannot be downloaded or read")]
    Debian(#[from] DebianError),
}

/// A file for the ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Absolute path in the ramdisk.
    pub path: String,
    pub data: Vec<u8>,
    /// The package it comes from, if known.
    pub package: Option<Package>,
}

/// A file from a source: the path where a loader looks for it, and its path on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTool {
    /// Absolute path in the ramdisk.
    pub path: String,
    /// The real file, with links followed.
    pub file: PathBuf,
    pub package: Option<Package>,
}

/// Where programs and libraries come from.
pub trait ToolSource {
    fn program(&mut self, program: &'static str, package: &'static str) -> Result<FoundTool, ToolError>;

    /// Finds a library by its soname, or a loader by its absolute path; `by` needs it.
    fn library(&mut self, name: &str, by: &FoundTool) -> Result<Option<FoundTool>, ToolError>;
}

/// The programs for `tools` and everything they load, sorted by path.
pub fn collect(tools: &[Tool], source: &mut dyn ToolSource, arch: Arch) -> Result<Vec<Taken>, ToolError> {
    let mut taken: BTreeMap<String, Taken> = BTreeMap::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for tool in tools.iter().collect::<BTreeSet<_>>() {
        let (_, program, package) = tool.row();
        let found = source.program(program, package)?;
        // Always stored in the same directory, which the agent searches first.
        let mut queue = vec![FoundTool { path: format!("/usr/sbin/{program}"), ..found }];
        while let Some(one) = queue.pop() {
            let data =
                fs::read(&one.file).map_err(|error| ToolError::Read { path: one.file.clone(), source: error })?;
            let mut wants = Wants::read(&data, &one.file, arch)?;
            let beside = BESIDE.iter().filter(|(tool, by, _)| tools.contains(tool) && one.path.ends_with(by));
            wants.libraries.extend(beside.map(|(.., library)| (*library).to_owned()));
            for name in wants.loader.into_iter().chain(wants.libraries) {
                if !known.insert(name.clone()) {
                    continue;
                }
                let missing = || ToolError::Library { library: name.clone(), wanted_by: one.path.clone() };
                queue.push(source.library(&name, &one)?.ok_or_else(missing)?);
            }
            taken.insert(one.path.clone(), Taken { path: one.path, data, package: one.package });
        }
    }
    Ok(taken.into_values().collect())
}

/// The packages that the files come from, without duplicates, each with what is taken from it.
pub fn packages(taken: &[Taken]) -> Vec<(Option<Package>, String)> {
    let mut known: BTreeMap<Option<&Package>, Vec<&str>> = BTreeMap::new();
    for one in taken {
        known.entry(one.package.as_ref()).or_default().push(&one.path);
    }
    let terms = "licences in the package's copyright file";
    known.into_iter().map(|(package, paths)| (package.cloned(), format!("{} ({terms})", paths.join(", ")))).collect()
}

/// Where a loader looks for a soname, best first. Libraries found outside of a multiarch directory keep their path,
/// because other distributions' loaders do not know that directory.
fn library_paths(name: &str, arch: Arch) -> Vec<String> {
    if let Some(path) = name.strip_prefix('/') {
        // A loader. Packages of a merged-usr system have it only below usr.
        return vec![path.to_owned(), format!("usr/{path}")];
    }
    let multiarch = match arch {
        Arch::X86_64 => "x86_64-linux-gnu",
        Arch::Aarch64 => "aarch64-linux-gnu",
    };
    let directories = [
        format!("lib/{multiarch}"),
        format!("usr/lib/{multiarch}"),
        "lib64".into(),
        "usr/lib64".into(),
        "lib".into(),
        "usr/lib".into(),
    ];
    directories.iter().map(|directory| format!("{directory}/{name}")).collect()
}

/// The first of `paths` that is a file below `root`. Links are followed as if `root` were `/`: those in an unpacked
/// package must not lead to this host's files.
fn first_file<'a>(root: &Path, paths: &'a [String]) -> Option<(&'a str, PathBuf)> {
    paths.iter().find_map(|path| {
        let file = inside(root, Path::new(path))?;
        file.is_file().then_some((path.as_str(), file))
    })
}

/// The target of `path` below `root`; `None` for endless links.
fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    use std::path::Component;
    let mut rest: Vec<std::ffi::OsString> = components(path);
    let mut reached = PathBuf::new();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            reached.pop();
            continue;
        }
        let next = reached.join(&name);
        match fs::read_link(root.join(&next)) {
            Ok(target) => {
                links += 1;
                if links > 40 {
                    return None;
                }
                if target.components().next() == Some(Component::RootDir) {
                    reached = PathBuf::new();
                }
                rest.extend(components(&target));
            }
            Err(_) => reached = next,
        }
    }
    Some(root.join(reached))
}

/// Path components in reverse order.
fn components(path: &Path) -> Vec<std::ffi::OsString> {
    use std::path::Component;
    let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut names: Vec<_> = names.map(|part| part.as_os_str().to_owned()).collect();
    names.reverse();
    names
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

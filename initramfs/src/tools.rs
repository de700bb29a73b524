//! Programs that the agent runs for what no ioctl does, with the shared libraries and the loader that they want.
//!
//! They are taken from this host, where their packages have to be installed: what a loader would load (DT_NEEDED, over
//! and over) is found by reading the files. Nothing is run. Symbols that a program looks up while it runs (dlopen) are
//! not seen; none of these needs any for what the agent asks of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use object::Object as _;
use object::elf::PT_INTERP;
use object::read::elf::{ElfFile64, ProgramHeader as _};

use crate::arch::Arch;
use crate::debian::{self, Package};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
    Swap,
    Raid,
}

/// Name, program, Debian package.
const TOOLS: [(Tool, &str, &str, &str); 6] = [
    (Tool::Ext4, "ext4", "mkfs.ext4", "e2fsprogs"),
    (Tool::Xfs, "xfs", "mkfs.xfs", "xfsprogs"),
    (Tool::Btrfs, "btrfs", "mkfs.btrfs", "btrfs-progs"),
    (Tool::Vfat, "vfat", "mkfs.vfat", "dosfstools"),
    (Tool::Swap, "swap", "mkswap", "util-linux"),
    (Tool::Raid, "raid", "mdadm", "mdadm"),
];

/// Where programs are.
const PROGRAMS: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

impl Tool {
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

/// Why a program cannot go in.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("no {program} below {}: install the Debian package {package}", root.display())]
    Missing { program: &'static str, package: &'static str, root: PathBuf },
    #[error("{}: wants the library {library}, which is not there", wanted_by.display())]
    Library { library: String, wanted_by: PathBuf },
    #[error("{} is not a 64-bit ELF file", path.display())]
    NotElf { path: PathBuf, source: object::Error },
    #[error("{} is not built for {expected}, as the agent is", path.display())]
    Arch { path: PathBuf, expected: Arch },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

/// A file for the ramdisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Absolute path in the ramdisk.
    pub path: String,
    /// On this host, links followed.
    pub source: PathBuf,
    pub data: Vec<u8>,
}

/// The programs for `tools` and all that they load, sorted by path. `root` is `/`, or where such a system is unpacked.
pub fn collect(tools: &[Tool], root: &Path, arch: Arch) -> Result<Vec<Taken>, ToolError> {
    let mut taken: BTreeMap<String, Taken> = BTreeMap::new();
    let mut libraries: BTreeSet<String> = BTreeSet::new();
    for tool in tools.iter().collect::<BTreeSet<_>>() {
        let (_, program, package) = tool.row();
        let there = PROGRAMS.iter().map(|directory| format!("{directory}/{program}"));
        let found = there.into_iter().find(|path| root.join(path).is_file());
        let missing = || ToolError::Missing { program, package, root: root.to_owned() };
        let found = root.join(found.ok_or_else(missing)?);
        // Always the same place, whatever the host's: the agent looks there first.
        let mut queue = vec![(format!("/usr/sbin/{program}"), found)];
        while let Some((path, source)) = queue.pop() {
            if taken.contains_key(&path) {
                continue;
            }
            let source = fs::canonicalize(&source).map_err(|error| ToolError::Read { path: source, source: error })?;
            let data = fs::read(&source).map_err(|error| ToolError::Read { path: source.clone(), source: error })?;
            let wants = Wants::read(&data, &source, arch)?;
            if let Some(loader) = wants.loader {
                let file = root.join(loader.trim_start_matches('/'));
                queue.push((loader, file));
            }
            for library in wants.libraries {
                if libraries.insert(library.clone()) {
                    let missing = || ToolError::Library { library: library.clone(), wanted_by: source.clone() };
                    queue.push(find_library(&library, root, arch).ok_or_else(missing)?);
                }
            }
            taken.insert(path.clone(), Taken { path, source, data });
        }
    }
    Ok(taken.into_values().collect())
}

/// The installed packages that the files are from, each once.
pub fn packages(taken: &[Taken]) -> Vec<(Option<Package>, String)> {
    let mut known: BTreeMap<Option<Package>, Vec<&str>> = BTreeMap::new();
    for one in taken {
        known.entry(debian::owner(&one.source)).or_default().push(&one.path);
    }
    let terms = "licences in the package's copyright file";
    known.into_iter().map(|(package, paths)| (package, format!("{} ({terms})", paths.join(", ")))).collect()
}

/// Path in the ramdisk and file on this host, in the order in which a loader looks. What the loader looks for under a
/// name without a multiarch directory stays there: other distributions' loaders do not know that directory.
fn find_library(name: &str, root: &Path, arch: Arch) -> Option<(String, PathBuf)> {
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
    let found =
        directories.iter().map(|directory| format!("{directory}/{name}")).find(|path| root.join(path).is_file());
    found.map(|path| (format!("/{path}"), root.join(path)))
}

/// What a program or library needs to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wants {
    loader: Option<String>,
    libraries: Vec<String>,
}

impl Wants {
    fn read(data: &[u8], path: &Path, arch: Arch) -> Result<Wants, ToolError> {
        let not_elf = |source| ToolError::NotElf { path: path.to_owned(), source };
        let elf = ElfFile64::<object::Endianness>::parse(data).map_err(not_elf)?;
        if Arch::from_object(elf.architecture()) != Some(arch) {
            return Err(ToolError::Arch { path: path.to_owned(), expected: arch });
        }
        let endian = elf.endian();
        let mut wants = Wants::default();
        for segment in elf.elf_program_headers() {
            if segment.p_type(endian) == PT_INTERP {
                let loader = segment.interpreter(endian, elf.data()).map_err(not_elf)?.unwrap_or_default();
                wants.loader = Some(String::from_utf8_lossy(loader).into_owned());
            }
        }
        for library in elf.import_libraries().map_err(not_elf)? {
            wants.libraries.push(String::from_utf8_lossy(library.map_err(not_elf)?.name()).into_owned());
        }
        Ok(wants)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native() -> Arch {
        if cfg!(target_arch = "aarch64") { Arch::Aarch64 } else { Arch::X86_64 }
    }

    #[test]
    fn names_are_those_of_the_table() {
        assert_eq!("btrfs".parse(), Ok(Tool::Btrfs));
        let error = "ntfs".parse::<Tool>().unwrap_err();
        assert!(error.contains("`ntfs`") && error.contains("ext4, xfs"), "{error}");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let root = tempfile::tempdir().unwrap();
        let error = collect(&[Tool::Vfat], root.path(), native()).unwrap_err();
        assert!(error.to_string().ends_with("install the Debian package dosfstools"), "{error}");
    }

    #[test]
    fn a_script_and_another_architecture_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("usr/sbin");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("mdadm"), "#!/bin/sh\n").unwrap();
        assert!(matches!(collect(&[Tool::Raid], root.path(), native()), Err(ToolError::NotElf { .. })));
        fs::copy(std::env::current_exe().unwrap(), directory.join("mdadm")).unwrap();
        let other = if native() == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 };
        assert!(matches!(collect(&[Tool::Raid], root.path(), other), Err(ToolError::Arch { .. })));
    }

    /// The proof of a closure is that the program runs with nothing else.
    #[test]
    fn what_is_taken_runs_alone() {
        let all = TOOLS.map(|(tool, ..)| tool);
        let there: Vec<Tool> =
            all.into_iter().filter(|tool| collect(&[*tool], Path::new("/"), native()).is_ok()).collect();
        if there.is_empty() {
            println!("skipped: this host has none of the programs");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let taken = collect(&there, Path::new("/"), native()).unwrap();
        for one in &taken {
            let to = root.path().join(one.path.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(&to, &one.data).unwrap();
            fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        for tool in there {
            let (_, program, _) = tool.row();
            let mut command = std::process::Command::new("chroot");
            let version = if tool == Tool::Vfat { "--help" } else { "-V" };
            let output = command.arg(root.path()).arg(format!("/usr/sbin/{program}")).arg(version).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            if said.contains("cannot change root") {
                println!("skipped: {said}");
                return;
            }
            assert!(!said.contains("shared libraries") && output.status.code() != Some(127), "{program}: {said}");
            println!("{program}: {}", said.lines().next().unwrap_or_default());
        }
    }
}

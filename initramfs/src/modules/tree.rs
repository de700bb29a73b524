//! A kernel's modules on disk, with the metadata of each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::codec;
use crate::modules::modinfo::{ModInfo, ModInfoError, module_name, normalize_alias};
use crate::parallel;

/// One module file.
#[derive(Debug, Clone)]
pub struct Module {
    /// The kernel's name for it, with underscores.
    pub name: String,
    /// Path below the release directory without compression suffix: `kernel/fs/ext4/ext4.ko`.
    pub path: String,
    /// Where the file lies on this host.
    pub source: PathBuf,
    /// Architecture of the ELF file.
    pub arch: Arch,
    /// Its `.modinfo`.
    pub info: ModInfo,
}

/// All modules of one kernel release.
#[derive(Debug)]
pub struct ModuleTree {
    /// Kernel release, taken from the modules' `vermagic`.
    pub release: String,
    /// The directory that holds `kernel/` and `modules.builtin`.
    pub root: PathBuf,
    /// By name.
    pub modules: BTreeMap<String, Module>,
    /// Built-in modules: name to path, from `modules.builtin`.
    pub builtin: BTreeMap<String, String>,
    /// Position in `modules.order`, the kernel build's order of preference.
    order: HashMap<String, usize>,
    /// Alias (normalized) to names of modules or built-ins. Only aliases without wildcards.
    aliases: HashMap<String, Vec<String>>,
}

/// Why a directory does not contain a kernel's modules.
#[derive(Debug, thiserror::Error)]
pub enum ModuleTreeError {
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A module's compression is damaged.
    #[error("cannot decompress {}", path.display())]
    Decompress { path: PathBuf, source: io::Error },
    /// A `.ko` file that is not a module.
    #[error("{} is not a kernel module", path.display())]
    NotAModule { path: PathBuf, source: ModInfoError },
    /// Neither a release directory nor a parent of exactly one.
    #[error("{}: no kernel modules here: expected a directory with modules.builtin and kernel/, or one such inside{}", path.display(), found(.candidates))]
    NoModules { path: PathBuf, candidates: Vec<String> },
    /// Modules of two kernels in one directory.
    #[error("{}: built for kernel {found}, others here for {expected}", path.display())]
    MixedRelease { path: PathBuf, found: String, expected: String },
    /// No module says which kernel it is for.
    #[error("{}: no module states its kernel release", path.display())]
    NoRelease { path: PathBuf },
    /// The same name twice, in directories of equal rank.
    #[error("module {name} exists twice: {} and {}", first.display(), second.display())]
    Twice { name: String, first: PathBuf, second: PathBuf },
}

fn found(candidates: &[String]) -> String {
    if candidates.is_empty() { String::new() } else { format!(" (several found: {})", candidates.join(", ")) }
}

impl ModuleTree {
    /// Reads the modules under `dir`, which is the release directory or contains it (`lib/modules`). If `dir` contains
    /// several releases, `release` selects one.
    pub fn load(dir: &Path, release: Option<&str>) -> Result<ModuleTree, ModuleTreeError> {
        let root = release_dir(dir, release)?;
        let mut files = Vec::new();
        find_modules(&root, &root, &mut files)?;
        files.sort();
        let read = parallel::map(&files, |(path, source)| read_module(path, source));

        let mut modules: BTreeMap<String, Module> = BTreeMap::new();
        let mut aliases: HashMap<String, Vec<String>> = HashMap::new();
        let mut release: Option<String> = None;
        for module in read {
            let module = module?;
            match (&release, &module.info.release) {
                (Some(expected), Some(found)) if expected != found => {
                    return Err(ModuleTreeError::MixedRelease {
                        path: module.source,
                        found: found.clone(),
                        expected: expected.clone(),
                    });
                }
                (None, Some(found)) => release = Some(found.clone()),
                _ => {}
            }
            if let Some(first) = modules.get(&module.name) {
                match rank(&first.path).cmp(&rank(&module.path)) {
                    Ordering::Less => continue,
                    Ordering::Greater => {}
                    Ordering::Equal => {
                        let (first, second) = (first.source.clone(), module.source);
                        return Err(ModuleTreeError::Twice { name: module.name, first, second });
                    }
                }
            }
            modules.insert(module.name.clone(), module);
        }
        for module in modules.values() {
            for alias in module.info.aliases.iter().filter(|a| !a.contains(['*', '?', '['])) {
                if let Some(alias) = normalize_alias(alias) {
                    aliases.entry(alias).or_default().push(module.name.clone());
                }
            }
        }
        let release = release.ok_or_else(|| ModuleTreeError::NoRelease { path: root.clone() })?;

        let builtin_text = read_text(&root.join("modules.builtin"))?;
        let builtin: BTreeMap<String, String> =
            builtin_text.lines().filter(|l| !l.is_empty()).map(|l| (module_name(l), l.to_owned())).collect();
        for (name, alias) in builtin_aliases(&read_bytes_or_empty(&root.join("modules.builtin.modinfo"))?) {
            aliases.entry(alias).or_default().push(name);
        }
        let order_text = String::from_utf8_lossy(&read_bytes_or_empty(&root.join("modules.order"))?).into_owned();
        let order = order_text.lines().enumerate().map(|(n, l)| (module_name(l), n)).collect();
        Ok(ModuleTree { release, root, modules, builtin, order, aliases })
    }

    #[cfg(test)]
    pub(crate) fn from_parts(release: &str, modules: Vec<(String, ModInfo)>, builtin: &[&str]) -> ModuleTree {
        let mut tree = ModuleTree {
            release: release.to_owned(),
            root: PathBuf::new(),
            modules: BTreeMap::new(),
            builtin: builtin.iter().map(|p| (module_name(p), (*p).to_owned())).collect(),
            order: HashMap::new(),
            aliases: HashMap::new(),
        };
        for (path, info) in modules {
            let name = module_name(&path);
            for alias in info.aliases.iter().filter_map(|a| normalize_alias(a)) {
                tree.aliases.entry(alias).or_default().push(name.clone());
            }
            let source = PathBuf::from(&path);
            tree.modules.insert(name.clone(), Module { name, path, source, arch: Arch::X86_64, info });
        }
        tree
    }

    /// A module by name, written with dashes or underscores.
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.modules.get(&module_name(name))
    }

    /// Whether it is built into the kernel.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains_key(&module_name(name))
    }

    /// Modules that match `name`: the one of that name, or those that have it as an alias. Built-ins are left out.
    pub fn resolve_soft(&self, name: &str) -> Vec<&Module> {
        if let Some(module) = self.get(name) {
            return vec![module];
        }
        let names = normalize_alias(name).and_then(|a| self.aliases.get(&a));
        names.into_iter().flatten().filter_map(|n| self.modules.get(n)).collect()
    }

    /// Sorts names by the kernel build's own order, then by path.
    pub fn sort_key(&self, module: &Module) -> (usize, String) {
        (self.order.get(&module.name).copied().unwrap_or(usize::MAX), module.path.clone())
    }
}

/// Of two modules with the same name, the one with the lower rank is used, as in depmod's usual search order: modules
/// built by an administrator or DKMS come before those of the kernel.
fn rank(path: &str) -> usize {
    let first = path.split('/').next().unwrap_or_default();
    ["updates", "extra", "kernel"].iter().position(|d| *d == first).unwrap_or(3)
}

/// (module name, normalized alias) pairs of `modules.builtin.modinfo`: NUL-separated `name.key=value`.
fn builtin_aliases(data: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(data);
    let fields = text.split('\0').filter_map(|field| {
        let (name, rest) = field.split_once('.')?;
        let alias = rest.strip_prefix("alias=")?;
        Some((module_name(name), normalize_alias(alias)?))
    });
    fields.collect()
}

fn release_dir(dir: &Path, release: Option<&str>) -> Result<PathBuf, ModuleTreeError> {
    let is_root = |d: &Path| d.join("modules.builtin").is_file() && d.join("kernel").is_dir();
    if is_root(dir) {
        return Ok(dir.to_owned());
    }
    let entries = fs::read_dir(dir).map_err(|source| ModuleTreeError::Read { path: dir.to_owned(), source })?;
    let mut roots: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).filter(|p| is_root(p)).collect();
    if let (Some(release), true) = (release, roots.len() > 1) {
        roots.retain(|r| r.ends_with(release));
    }
    roots.sort();
    if roots.len() != 1 {
        let candidates = roots.iter().map(|r| r.display().to_string()).collect();
        return Err(ModuleTreeError::NoModules { path: dir.to_owned(), candidates });
    }
    Ok(roots.remove(0))
}

/// Collects (path without compression suffix, file) below `dir`.
fn find_modules(root: &Path, dir: &Path, out: &mut Vec<(String, PathBuf)>) -> Result<(), ModuleTreeError> {
    let entries = fs::read_dir(dir).map_err(|source| ModuleTreeError::Read { path: dir.to_owned(), source })?;
    for entry in entries {
        let entry = entry.map_err(|source| ModuleTreeError::Read { path: dir.to_owned(), source })?;
        let path = entry.path();
        let kind = entry.file_type().map_err(|source| ModuleTreeError::Read { path: path.clone(), source })?;
        if kind.is_dir() {
            find_modules(root, &path, out)?;
        } else if let Some(relative) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && let Some(plain) = without_compression(relative)
        {
            out.push((plain.to_owned(), path));
        }
    }
    Ok(())
}

/// `a/b.ko.xz` to `a/b.ko`; `None` if it is not a module.
fn without_compression(path: &str) -> Option<&str> {
    let plain = [".xz", ".zst", ".gz"].iter().find_map(|s| path.strip_suffix(s)).unwrap_or(path);
    plain.ends_with(".ko").then_some(plain)
}

fn read_module(path: &str, source: &Path) -> Result<Module, ModuleTreeError> {
    let data = read_plain(source)?;
    let (arch, info) =
        ModInfo::from_elf(&data).map_err(|e| ModuleTreeError::NotAModule { path: source.to_owned(), source: e })?;
    Ok(Module { name: module_name(path), path: path.to_owned(), source: source.to_owned(), arch, info })
}

/// A module file's ELF bytes, whatever its compression.
pub fn read_plain(path: &Path) -> Result<Vec<u8>, ModuleTreeError> {
    let data = fs::read(path).map_err(|source| ModuleTreeError::Read { path: path.to_owned(), source })?;
    codec::decompress(data).map_err(|source| ModuleTreeError::Decompress { path: path.to_owned(), source })
}

fn read_text(path: &Path) -> Result<String, ModuleTreeError> {
    fs::read_to_string(path).map_err(|source| ModuleTreeError::Read { path: path.to_owned(), source })
}

fn read_bytes_or_empty(path: &Path) -> Result<Vec<u8>, ModuleTreeError> {
    match fs::read(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|source| ModuleTreeError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_suffixes_fall_away() {
        assert_eq!(without_compression("kernel/a.ko"), Some("kernel/a.ko"));
        assert_eq!(without_compression("kernel/a.ko.zst"), Some("kernel/a.ko"));
        assert_eq!(without_compression("modules.order"), None);
    }

    #[test]
    fn what_dkms_built_comes_first() {
        assert!(rank("updates/dkms/igb.ko") < rank("kernel/drivers/net/igb.ko"));
        assert!(rank("extra/igb.ko") < rank("kernel/drivers/net/igb.ko"));
        assert!(rank("weak-updates/igb.ko") > rank("kernel/drivers/net/igb.ko"));
    }

    #[test]
    fn builtin_aliases_are_read() {
        let found = builtin_aliases(b"crc32c_generic.alias=crypto-crc32c\0ext4.license=GPL\0no-dot\0");
        assert_eq!(found, [("crc32c_generic".to_owned(), "crypto_crc32c".to_owned())]);
    }

    #[test]
    fn an_empty_directory_has_no_modules() {
        let dir = tempfile::tempdir().unwrap();
        let error = ModuleTree::load(dir.path(), None).unwrap_err();
        assert!(matches!(error, ModuleTreeError::NoModules { .. }), "{error}");
    }
}

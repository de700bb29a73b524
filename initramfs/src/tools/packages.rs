//! Takes tools from Debian packages: the program's own, and those dependencies that contain a needed library.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::root::PROGRAMS;
use super::{FoundTool, Tool, ToolError, ToolSource, first_file, library_paths};
use crate::arch::Arch;
use crate::debian::{self, Package, Stanza};

/// Fetched and unpacked packages, in a cache that outlives the build.
pub struct Packages<'a> {
    cache: PathBuf,
    arch: Arch,
    say: &'a mut dyn FnMut(&str),
    /// `None`: not in apt's lists.
    records: BTreeMap<String, Option<Stanza>>,
    unpacked: Vec<Unpacked>,
}

struct Unpacked {
    package: Package,
    root: PathBuf,
    /// Names of its dependencies, without those already fetched.
    depends: Vec<String>,
}

impl std::fmt::Debug for Packages<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packages").field("cache", &self.cache).field("arch", &self.arch).finish_non_exhaustive()
    }
}

impl<'a> Packages<'a> {
    pub fn new(cache: &Path, arch: Arch, say: &'a mut dyn FnMut(&str)) -> Packages<'a> {
        Packages { cache: cache.to_owned(), arch, say, records: BTreeMap::new(), unpacked: Vec::new() }
    }

    /// The index of the package in `unpacked`.
    fn fetch(&mut self, name: &str) -> Result<usize, ToolError> {
        if let Some(known) = self.unpacked.iter().position(|one| one.package.name == name) {
            return Ok(known);
        }
        self.learn(name)?;
        let record = self.records.get(name).and_then(Option::as_ref);
        let record = record.ok_or_else(|| debian::DebianError::Unknown(name.to_owned()))?;
        let deb = debian::fetch_package(name, self.arch.debian(), record, &self.cache, self.say)?;
        let root = debian::unpack(&deb, &self.cache)?;
        self.unpacked.push(Unpacked { package: deb.package, root, depends: depends(record) });
        Ok(self.unpacked.len() - 1)
    }

    /// Queries apt's lists for `name` and everything else that may be needed, in as few calls as possible: each one
    /// reads the lists again, which takes longer than everything else.
    fn learn(&mut self, name: &str) -> Result<(), ToolError> {
        if self.records.contains_key(name) {
            return Ok(());
        }
        let tools = Tool::all().into_iter().map(|tool| tool.row().2.to_owned());
        let mut wanted: BTreeSet<String> = tools.chain([name.to_owned()]).collect();
        loop {
            wanted.retain(|name| !self.records.contains_key(name));
            if wanted.is_empty() {
                return Ok(());
            }
            let asked: Vec<String> = wanted.into_iter().collect();
            let mut found = debian::records(&asked, self.arch.debian())?;
            // Other packages contain no library.
            wanted = found.values().flat_map(depends).filter(|name| name.contains("lib")).collect();
            self.records.extend(asked.into_iter().map(|name| {
                let record = found.remove(&name);
                (name, record)
            }));
        }
    }

    fn look(&self, name: &str) -> Option<FoundTool> {
        let paths = library_paths(name, self.arch);
        self.unpacked.iter().find_map(|one| {
            let (path, file) = first_file(&one.root, &paths)?;
            // A loader keeps the path that the program names, wherever it was found.
            let path = if name.starts_with('/') { name.to_owned() } else { format!("/{path}") };
            Some(FoundTool { path, file, package: Some(one.package.clone()) })
        })
    }
}

impl ToolSource for Packages<'_> {
    fn program(&mut self, program: &'static str, package: &'static str) -> Result<FoundTool, ToolError> {
        let place = self.fetch(package)?;
        let paths = PROGRAMS.map(|directory| format!("{directory}/{program}"));
        let missing = || ToolError::NotInPackage { program, package };
        let one = self.unpacked.get(place).ok_or_else(missing)?;
        let (path, file) = first_file(&one.root, &paths).ok_or_else(missing)?;
        Ok(FoundTool { path: format!("/{path}"), file, package: Some(one.package.clone()) })
    }

    /// A package depends on the packages of the libraries it is linked with (Debian Policy, 8.6), so the right one is
    /// among them, and can usually be recognised by its name.
    fn library(&mut self, name: &str, by: &FoundTool) -> Result<Option<FoundTool>, ToolError> {
        if let Some(found) = self.look(name) {
            return Ok(Some(found));
        }
        let from = self.unpacked.iter().find(|one| Some(&one.package) == by.package.as_ref());
        let mut candidates = from.map(|one| one.depends.clone()).unwrap_or_default();
        candidates.sort_by_key(|package| likeness(name, package));
        for package in candidates.iter().filter(|package| likeness(name, package) < UNLIKE) {
            match self.fetch(package) {
                // An alternative that does not exist in this release.
                Err(ToolError::Debian(debian::DebianError::Unknown(_))) => continue,
                other => other?,
            };
            if let Some(found) = self.look(name) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// A value for packages that are not worth downloading.
const UNLIKE: u8 = 4;

/// How closely a package's name resembles the library's; smaller is better.
fn likeness(library: &str, package: &str) -> u8 {
    if package == "libc6" && (library.starts_with('/') || library.starts_with("libc.so")) {
        return 0;
    }
    let (stem, version) = library.split_once(".so.").unwrap_or((library, ""));
    let stem = stem.replace('_', "-").to_ascii_lowercase();
    let hyphen = if stem.ends_with(|c: char| c.is_ascii_digit()) { "-" } else { "" };
    let whole = format!("{stem}{hyphen}{version}");
    match package {
        _ if package == whole || package.strip_suffix("t64") == Some(&whole) => 0,
        _ if package.starts_with(&stem) => 1,
        "libc6" => 2,
        _ if package.contains("lib") => 3,
        _ => UNLIKE,
    }
}

/// Every package named, alternatives included, without versions and architectures.
fn depends(record: &Stanza) -> Vec<String> {
    let fields = ["Pre-Depends", "Depends"].iter().filter_map(|field| record.get(field));
    let names = fields.flat_map(|text| text.split([',', '|'])).filter_map(|one| one.split_whitespace().next());
    let mut names: Vec<String> = names.filter_map(|name| name.split(':').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_that_holds_a_library_is_tried_first() {
        let order = |library: &str, packages: &[&str]| {
            let mut packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
            packages.sort_by_key(|package| likeness(library, package));
            packages.retain(|package| likeness(library, package) < UNLIKE);
            packages
        };
        let e2fsprogs = ["libblkid1", "libc6", "libcom-err2", "libext2fs2", "libss2", "libuuid1", "logsave"];
        assert_eq!(order("libcom_err.so.2", &e2fsprogs)[0], "libcom-err2");
        assert_eq!(order("libc.so.6", &e2fsprogs)[0], "libc6");
        assert_eq!(order("/lib64/ld-linux-x86-64.so.2", &e2fsprogs)[0], "libc6");
        assert!(order("libe2p.so.2", &e2fsprogs).contains(&"libext2fs2".to_owned()));
        assert!(!order("libe2p.so.2", &e2fsprogs).contains(&"logsave".to_owned()));
        assert_eq!(order("libz.so.1", &["debconf", "zlib1g"]), ["zlib1g"]);
        assert_eq!(order("libext2fs.so.2", &["libblkid1", "libext2fs2t64"])[0], "libext2fs2t64");
        assert_eq!(order("liblz4.so.1", &["liblzma5", "liblz4-1"])[0], "liblz4-1");
    }

    #[test]
    fn dependencies_are_names_and_nothing_else() {
        let text = "Package: x\nPre-Depends: init-system-helpers (>= 1.54~)\nDepends: libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any\n";
        assert_eq!(
            depends(&Stanza::parse(text)),
            ["debconf", "debconf-2.0", "init-system-helpers", "libc6", "python3"]
        );
    }
}

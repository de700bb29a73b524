//! Debian packages: finds, downloads and unpacks a kernel, and finds the source package of a file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use crate::digest;

/// Identity of a package and of its source package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Binary package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Source package.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
}

/// A package file on this host.
#[derive(Debug, Clone)]
pub struct Deb {
    /// The file.
    pub path: PathBuf,
    /// Its identity.
    pub package: Package,
}

/// A kernel package, unpacked.
#[derive(Debug, Clone)]
pub struct UnpackedKernel {
    /// boot/vmlinuz-RELEASE.
    pub kernel: PathBuf,
    /// lib/modules, which contains one release.
    pub modules: PathBuf,
}

/// What can go wrong with packages.
#[derive(Debug, thiserror::Error)]
pub enum DebianError {
    /// A dpkg or apt tool is missing.
    #[error("cannot run {tool}: a Debian system is needed for kernel packages; elsewhere give --kernel and --modules")]
    Tool { tool: String, source: io::Error },
    /// A tool failed.
    #[error("{command} failed: {stderr}")]
    Failed { command: String, stderr: String },
    /// apt's lists do not have the package.
    #[error("package {0} is not known to apt; run `apt-get update`, or check the name")]
    Unknown(String),
    /// A record without a mandatory field.
    #[error("package {package}: no field {field}")]
    Field { package: String, field: &'static str },
    /// Meta packages that never lead to a kernel.
    #[error("package {0} does not depend on a kernel image package")]
    NoImage(String),
    /// The downloaded file differs from apt's lists.
    #[error("{}: SHA-256 is {found}, expected {expected}", path.display())]
    Digest { path: PathBuf, found: String, expected: String },
    /// A package that contains no kernel.
    #[error("{}: no {what} inside; is it a kernel image package?", path.display())]
    Contents { path: PathBuf, what: &'static str },
    /// The cache could not be used.
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Fetches the kernel package `name` into `cache`; a meta package such as `linux-image-amd64` is followed. `name` may
/// include an architecture (`linux-image-arm64:arm64`). An intact cached file is not fetched again.
pub fn fetch_kernel(name: &str, cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Deb, DebianError> {
    let mut wanted = name.to_owned();
    for _ in 0..4 {
        let record = show(&wanted)?;
        if let Some(next) = record.get("Depends").and_then(image_dependency) {
            say(&format!("{wanted} stands for {next}"));
            wanted = match name.split_once(':') {
                Some((_, arch)) => format!("{next}:{arch}"),
                None => next,
            };
            continue;
        }
        return fetch(&wanted, &record, cache, say);
    }
    Err(DebianError::NoImage(name.to_owned()))
}

fn fetch(name: &str, record: &Stanza, cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Deb, DebianError> {
    let field =
        |field: &'static str| record.get(field).ok_or_else(|| DebianError::Field { package: name.to_owned(), field });
    let package = record.package(name)?;
    let expected = field("SHA256")?;
    // As apt names its files: an epoch's colon is escaped.
    let version = package.version.replace(':', "%3a");
    let file = cache.join(format!("{}_{version}_{}.deb", package.name, field("Architecture")?));
    if file.is_file() && sha256_file(&file)? == expected {
        say(&format!("{} is in the cache", file.display()));
        return Ok(Deb { path: file, package });
    }
    fs::create_dir_all(cache).map_err(|source| DebianError::Io { path: cache.to_owned(), source })?;
    let scratch = tempfile::tempdir_in(cache).map_err(|source| DebianError::Io { path: cache.to_owned(), source })?;
    let size = record.get("Size").and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    say(&format!("fetching {} {} ({})", package.name, package.version, digest::megabytes(size)));
    let which = format!("{name}={}", package.version);
    // Otherwise, as root, apt would warn that its unprivileged user cannot write here.
    run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", &which], Some(scratch.path()))?;
    let fetched = only_file(scratch.path(), "deb")?;
    let found = sha256_file(&fetched)?;
    if found != expected {
        return Err(DebianError::Digest { path: fetched, found, expected: expected.to_owned() });
    }
    fs::rename(&fetched, &file).map_err(|source| DebianError::Io { path: file.clone(), source })?;
    Ok(Deb { path: file, package })
}

/// Fetches the package `name` of an architecture, whose entry in apt's lists is `record`, into `cache`.
pub fn fetch_package(
    name: &str,
    arch: &str,
    record: &Stanza,
    cache: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Deb, DebianError> {
    fetch(&format!("{name}:{arch}"), record, cache, say)
}

/// The entries in apt's lists for the candidate versions of `names`, by name; unknown ones are left out. Reading the
/// lists takes most of the time, however many packages are asked for.
pub fn records(names: &[String], arch: &str) -> Result<BTreeMap<String, Stanza>, DebianError> {
    let wanted = names.iter().map(|name| format!("{name}:{arch}"));
    let options = ["show", "--no-all-versions"].map(str::to_owned);
    let text = match run("apt-cache", options.into_iter().chain(wanted), None) {
        Ok(text) => text,
        // It knows none of them.
        Err(DebianError::Failed { .. }) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let records = text.split("\n\n").map(Stanza::parse);
    Ok(records.filter_map(|record| Some((record.get("Package")?.to_owned(), record))).collect())
}

/// The entry in apt's lists for the candidate version.
fn show(name: &str) -> Result<Stanza, DebianError> {
    let text = run("apt-cache", ["show", "--no-all-versions", name], None).map_err(|error| match error {
        DebianError::Failed { .. } => DebianError::Unknown(name.to_owned()),
        other => other,
    })?;
    let record = Stanza::parse(&text);
    // A virtual package has no record, but also causes no error.
    if record.get("Package").is_none() { Err(DebianError::Unknown(name.to_owned())) } else { Ok(record) }
}

/// Reads a package file's own metadata.
pub fn open_deb(path: &Path) -> Result<Deb, DebianError> {
    let text = run("dpkg-deb", [OsStr::new("-f"), path.as_os_str()], None)?;
    let package = Stanza::parse(&text).package(&path.display().to_string())?;
    Ok(Deb { path: path.to_owned(), package })
}

/// Unpacks a package below `cache`, once for each package file.
pub fn unpack(deb: &Deb, cache: &Path) -> Result<PathBuf, DebianError> {
    let io = |path: &Path, source| DebianError::Io { path: path.to_owned(), source };
    let digest = sha256_file(&deb.path)?;
    let dir = cache.join("unpacked").join(digest.get(..32).unwrap_or(&digest));
    if !dir.is_dir() {
        let parent = cache.join("unpacked");
        fs::create_dir_all(&parent).map_err(|e| io(&parent, e))?;
        let scratch = tempfile::tempdir_in(&parent).map_err(|e| io(&parent, e))?;
        let to = scratch.path().join("root");
        run("dpkg-deb", [OsStr::new("-x"), deb.path.as_os_str(), to.as_os_str()], None)?;
        // Either complete or absent. Another builder may have been faster.
        if let Err(source) = fs::rename(&to, &dir)
            && !dir.is_dir()
        {
            return Err(io(&dir, source));
        }
    }
    Ok(dir)
}

/// Unpacks a kernel package and finds the parts needed.
pub fn unpack_kernel(deb: &Deb, cache: &Path) -> Result<UnpackedKernel, DebianError> {
    let dir = unpack(deb, cache)?;
    let contents = |what| DebianError::Contents { path: deb.path.clone(), what };
    let boot = dir.join("boot");
    let mut kernels: Vec<PathBuf> = list(&boot).unwrap_or_default();
    kernels.retain(|p| p.file_name().and_then(OsStr::to_str).is_some_and(|n| n.starts_with("vmlinuz-")));
    let kernel = kernels.into_iter().next().ok_or(contents("boot/vmlinuz-*"))?;
    let modules = ["lib/modules", "usr/lib/modules"].iter().map(|m| dir.join(m)).find(|m| m.is_dir());
    Ok(UnpackedKernel { kernel, modules: modules.ok_or(contents("lib/modules"))? })
}

/// The installed package that owns `path`; `None` if dpkg does not know, or is missing.
pub fn owner(path: &Path) -> Option<Package> {
    let real = fs::canonicalize(path).ok()?;
    let found =
        [real.as_path(), path].iter().find_map(|p| run("dpkg-query", [OsStr::new("-S"), p.as_os_str()], None).ok())?;
    installed(found.lines().next()?.split(": ").next()?)
}

/// An installed package; `None` if dpkg does not know it, or is missing.
pub fn installed(name: &str) -> Option<Package> {
    let format = "-fPackage: ${Package}\nVersion: ${Version}\nSource: ${source:Package} (${source:Version})\n";
    let text = run("dpkg-query", ["-W", format, name], None).ok()?;
    Stanza::parse(&text).package(name).ok()
}

/// One stanza of a control file. Continuation lines are dropped: no field that is read here has any.
#[derive(Debug, Clone)]
pub struct Stanza(Vec<(String, String)>);

impl Stanza {
    pub fn parse(text: &str) -> Stanza {
        let stanza = text.lines().take_while(|l| !l.trim().is_empty());
        let fields = stanza.filter(|l| !l.starts_with([' ', '\t'])).filter_map(|l| l.split_once(':'));
        Stanza(fields.map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect())
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    fn package(&self, from: &str) -> Result<Package, DebianError> {
        let field =
            |field: &'static str| self.get(field).ok_or_else(|| DebianError::Field { package: from.to_owned(), field });
        let (name, version) = (field("Package")?.to_owned(), field("Version")?.to_owned());
        // `Source: name (version)`; the version is omitted if it equals the binary's, the whole field if the name does
        // too.
        let source = self.get("Source").unwrap_or(&name);
        let (source, source_version) = match source.split_once(" (") {
            Some((source, rest)) => (source.to_owned(), rest.trim_end_matches(')').to_owned()),
            None => (source.to_owned(), version.clone()),
        };
        Ok(Package { name, version, source, source_version })
    }
}

/// The kernel image that a meta package depends on.
fn image_dependency(depends: &str) -> Option<String> {
    let mut names = depends.split([',', '|']).filter_map(|d| d.split_whitespace().next());
    names.find(|n| n.starts_with("linux-image-")).map(str::to_owned)
}

fn run<S: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = S>,
    dir: Option<&Path>,
) -> Result<String, DebianError> {
    let mut command = Command::new(tool);
    command.args(args).env("LC_ALL", "C");
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let out = command.output().map_err(|source| DebianError::Tool { tool: tool.to_owned(), source })?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
        return Err(DebianError::Failed { command: format!("{tool} {}", args.join(" ")), stderr });
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|e| e.map(|e| e.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn only_file(dir: &Path, extension: &str) -> Result<PathBuf, DebianError> {
    let files = list(dir).map_err(|source| DebianError::Io { path: dir.to_owned(), source })?;
    let mut files = files.into_iter().filter(|f| f.extension().is_some_and(|e| e == extension));
    files.next().ok_or(DebianError::Contents { path: dir.to_owned(), what: "downloaded package" })
}

fn sha256_file(path: &Path) -> Result<String, DebianError> {
    let data = fs::read(path).map_err(|source| DebianError::Io { path: path.to_owned(), source })?;
    Ok(digest::sha256(&data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meta_package_names_its_image() {
        assert_eq!(
            image_dependency("linux-image-6.1.0-9-amd64 (= 6.1.27-1)").as_deref(),
            Some("linux-image-6.1.0-9-amd64")
        );
        assert_eq!(image_dependency("kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool"), None);
    }

    #[test]
    fn sources_are_read_in_all_three_forms() {
        let package = |text: &str| Stanza::parse(text).package("x").unwrap();
        let full = package("Package: a\nSource: s (1+2)\nVersion: 1-2\nDescription: x\n more: y\n\nPackage: b\n");
        assert_eq!((full.source.as_str(), full.source_version.as_str()), ("s", "1+2"));
        let same = package("Package: a\nSource: s\nVersion: 1-2\n");
        assert_eq!((same.source.as_str(), same.source_version.as_str()), ("s", "1-2"));
        let none = package("Package: a\nVersion: 1-2\n");
        assert_eq!((none.source.as_str(), none.source_version.as_str()), ("a", "1-2"));
        assert!(Stanza::parse("Package: a\n").package("x").is_err());
    }

    #[test]
    fn what_is_no_package_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.deb");
        fs::write(&path, "no package").unwrap();
        // Not on Debian: Tool. On Debian: Failed, with dpkg's message.
        let error = open_deb(&path).unwrap_err();
        assert!(matches!(error, DebianError::Failed { .. } | DebianError::Tool { .. }), "{error}");
    }
}

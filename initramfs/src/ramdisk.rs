//! The layout of the ramdisk. ARCHITECTURE.md, "The ramdisk", specifies what the agent expects.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cpio::{Archive, CpioError, CpioNode};
use crate::manifest::FirmwareEntry;
use crate::modules::{Closure, ModuleTree, Tables, glob};
use crate::options::{ExtraFile, Options};
use crate::pack::{PackedModule, SUFFIX};
use crate::tools::Taken;
use burin_protocol::Policy;
use burin_protocol::policy::PolicyError;
use burin_sign::{KeyError, PublicKey};

/// Empty directories with their modes: mount points and writable directories.
const DIRECTORIES: [(&str, u32); 12] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/etc/burin", 0o755),
    ("/lib/firmware", 0o755),
    ("/mnt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr/share/doc/burin", 0o755),
    ("/var", 0o755),
];

/// Devices that a kernel opens for /init before anything is mounted: (path, mode, major, minor).
const DEVICES: [(&str, u32, u32, u32); 3] =
    [("/dev/console", 0o600, 5, 1), ("/dev/kmsg", 0o644, 1, 11), ("/dev/null", 0o666, 1, 3)];

/// Suffixes under which the kernel's firmware loader finds a compressed file.
const FIRMWARE_SUFFIXES: [&str; 3] = ["", ".xz", ".zst"];

/// Why something cannot be put into the ramdisk.
#[derive(Debug, thiserror::Error)]
pub enum RamdiskError {
    /// The archive does not accept it.
    #[error("{what} does not fit in")]
    Cpio { what: String, source: CpioError },
    /// A file on this host.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A file that contains no certificate.
    #[error("{} contains no PEM certificate", path.display())]
    NoCertificate { path: PathBuf },
    /// An order that is not JSON.
    #[error("the order {} is not JSON", path.display())]
    Order { path: PathBuf, source: serde_json::Error },
    /// A policy with which an agent would not start.
    #[error("the policy {} cannot be used", path.display())]
    Policy { path: PathBuf, source: PolicyError },
    /// An invalid key in it.
    #[error("a key of the policy {} cannot be used", path.display())]
    PolicyKey { path: PathBuf, source: KeyError },
    /// A special file, such as a socket or device, among the extra files.
    #[error("{} is neither file, directory nor symbolic link", path.display())]
    Kind { path: PathBuf },
    /// A name that is not UTF-8.
    #[error("{} is not valid UTF-8", path.display())]
    Name { path: PathBuf },
}

type Result<T> = std::result::Result<T, RamdiskError>;

fn add(archive: &mut Archive, path: &str, mode: u32, node: CpioNode) -> Result<()> {
    archive.add(path, mode, node).map_err(|source| RamdiskError::Cpio { what: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| RamdiskError::Read { path: path.to_owned(), source })
}

/// Directories, devices and /init.
pub fn skeleton(archive: &mut Archive, agent: &[u8]) -> Result<()> {
    for (path, mode) in DIRECTORIES {
        add(archive, path, mode, CpioNode::Directory)?;
    }
    for (path, mode, major, minor) in DEVICES {
        add(archive, path, mode, CpioNode::CharDevice(major, minor))?;
    }
    add(archive, "/init", 0o755, CpioNode::File(agent.to_vec()))
}

/// Modules and kmod's index files.
pub fn modules(archive: &mut Archive, tree: &ModuleTree, closure: &Closure<'_>, packed: &[PackedModule]) -> Result<()> {
    let dir = format!("/lib/modules/{}", tree.release);
    for module in packed {
        add(archive, &format!("{dir}/{}", module.path), 0o644, CpioNode::File(module.data.clone()))?;
    }
    let tables = Tables::of(closure, SUFFIX);
    let builtin: String = tree.builtin.values().map(|path| format!("{path}\n")).collect();
    for (name, text) in [
        ("modules.dep", tables.dep),
        ("modules.alias", tables.alias),
        ("modules.softdep", tables.softdep),
        ("modules.builtin", builtin),
    ] {
        add(archive, &format!("{dir}/{name}"), 0o644, CpioNode::File(text.into_bytes()))?;
    }
    Ok(())
}

/// The included firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarriedFirmware {
    /// Every file that a chosen module names.
    pub wanted: Vec<FirmwareEntry>,
    /// Number of files put in.
    pub files: usize,
}

/// Includes firmware from `dirs` that chosen modules name (or `all`). The first directory that has a file is used.
pub fn firmware(archive: &mut Archive, closure: &Closure<'_>, dirs: &[PathBuf], all: bool) -> Result<CarriedFirmware> {
    let wanted = closure.firmware();
    let mut included: BTreeSet<String> = BTreeSet::new();
    for dir in dirs {
        for (relative, path) in walk(dir)? {
            let plain = FIRMWARE_SUFFIXES.iter().rev().find_map(|s| relative.strip_suffix(s)).unwrap_or(&relative);
            let asked = wanted.keys().any(|w| *w == plain || *w == relative || glob::matches(w, plain));
            // Follows links: in linux-firmware one file has many names.
            if (all || asked) && path.is_file() && included.insert(relative.clone()) {
                add(archive, &format!("/lib/firmware/{relative}"), 0o644, CpioNode::File(read(&path)?))?;
            }
        }
    }
    let has = |wanted: &str| {
        FIRMWARE_SUFFIXES.iter().any(|s| included.contains(&format!("{wanted}{s}")))
            || included.iter().any(|i| glob::matches(wanted, i))
    };
    let entries = wanted.iter().map(|(path, modules)| FirmwareEntry {
        path: (*path).to_owned(),
        modules: modules.iter().map(|m| (*m).to_owned()).collect(),
        included: has(path),
    });
    Ok(CarriedFirmware { wanted: entries.collect(), files: included.len() })
}

/// Certificates, command line, order and extra files.
pub fn configuration(archive: &mut Archive, options: &Options) -> Result<()> {
    for (source, destination) in
        [(&options.ca_bundle, "/etc/ssl/certs/ca-certificates.crt"), (&options.ca, "/etc/burin/ca.pem")]
    {
        if let Some(path) = source {
            let data = read(path)?;
            if !String::from_utf8_lossy(&data).contains("-----BEGIN CERTIFICATE-----") {
                return Err(RamdiskError::NoCertificate { path: path.clone() });
            }
            add(archive, destination, 0o644, CpioNode::File(data))?;
        }
    }
    if let Some(path) = &options.order {
        let data = read(path)?;
        serde_json::from_slice::<serde_json::Value>(&data)
            .map_err(|source| RamdiskError::Order { path: path.clone(), source })?;
        // An order may contain secrets for the machine's first boot.
        add(archive, "/etc/burin/order.json", 0o600, CpioNode::File(data))?;
    }
    if let Some(path) = &options.policy {
        let data = read(path)?;
        let policy = Policy::parse(&data).map_err(|source| RamdiskError::Policy { path: path.clone(), source })?;
        for key in policy.orders.iter().flat_map(|orders| &orders.keys) {
            key.parse::<PublicKey>().map_err(|source| RamdiskError::PolicyKey { path: path.clone(), source })?;
        }
        add(archive, "/etc/burin/policy.json", 0o644, CpioNode::File(data))?;
    }
    if !options.embedded_cmdline.is_empty() {
        let text = format!("{}\n", options.embedded_cmdline.join(" "));
        add(archive, "/etc/burin/cmdline", 0o600, CpioNode::File(text.into_bytes()))?;
    }
    options.files.iter().try_for_each(|file| extra(archive, file))
}

/// Programs, their libraries and loader.
pub fn tools(archive: &mut Archive, taken: &[Taken]) -> Result<()> {
    taken.iter().try_for_each(|one| add(archive, &one.path, 0o755, CpioNode::File(one.data.clone())))
}

/// The notice.
pub fn notice(archive: &mut Archive, text: &str) -> Result<()> {
    add(archive, "/usr/share/doc/burin/NOTICE", 0o644, CpioNode::File(text.as_bytes().to_vec()))
}

/// Adds a file under its new name, or everything below a directory. Only the execute bit of modes is kept.
fn extra(archive: &mut Archive, file: &ExtraFile) -> Result<()> {
    let metadata =
        fs::metadata(&file.source).map_err(|source| RamdiskError::Read { path: file.source.clone(), source })?;
    if !metadata.is_dir() {
        return add(archive, &file.destination, mode(&metadata), CpioNode::File(read(&file.source)?));
    }
    let destination = file.destination.trim_end_matches('/');
    if !destination.is_empty() {
        add(archive, destination, 0o755, CpioNode::Directory)?;
    }
    for (relative, path) in walk(&file.source)? {
        let to = format!("{destination}/{relative}");
        let metadata =
            fs::symlink_metadata(&path).map_err(|source| RamdiskError::Read { path: path.clone(), source })?;
        if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(|source| RamdiskError::Read { path: path.clone(), source })?;
            let target = target.into_os_string().into_string().map_err(|_| RamdiskError::Name { path })?;
            add(archive, &to, 0o777, CpioNode::Symlink(target))?;
        } else if metadata.is_file() {
            add(archive, &to, mode(&metadata), CpioNode::File(read(&path)?))?;
        } else {
            return Err(RamdiskError::Kind { path });
        }
    }
    Ok(())
}

fn mode(metadata: &fs::Metadata) -> u32 {
    if metadata.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 }
}

/// Everything but directories below `dir`, with relative paths, sorted. Symbolic links are not followed.
fn walk(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut queue = vec![dir.to_owned()];
    while let Some(next) = queue.pop() {
        let error = |source| RamdiskError::Read { path: next.clone(), source };
        for entry in fs::read_dir(&next).map_err(error)? {
            let entry = entry.map_err(error)?;
            let path = entry.path();
            if entry.file_type().map_err(error)?.is_dir() {
                queue.push(path);
            } else {
                let relative = path.strip_prefix(dir).ok().and_then(Path::to_str);
                let relative = relative.ok_or_else(|| RamdiskError::Name { path: path.clone() })?.to_owned();
                found.push((relative, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
#[path = "ramdisk_tests.rs"]
mod tests;

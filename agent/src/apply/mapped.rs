//! Device-mapper devices of this order: found by name, and accepted only if the kernel reports the identity and the
//! underlying devices with which they were made.

use super::bound::{Access, Proven};
use super::holders::names;
use super::{ApplyError, Paths};
use crate::sys::mapper;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// More nesting than volumes of a group ever have.
const DEEPEST: usize = 8;

/// A mapped device as it should be.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// device-mapper's name: `/dev/mapper/NAME`.
    pub name: String,
    /// Its device-mapper identity.
    pub uuid: String,
    /// Kernel names of the devices that it may lie on, through parts of its own group.
    pub below: BTreeSet<String>,
    /// Directory for our own nodes.
    pub nodes: PathBuf,
    pub sys: PathBuf,
}

/// The name into which LVM joins group and volume.
pub fn lvm_name(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// The kernel name of a node's device: `sda3`, `md127`, `dm-0`.
pub fn kernel_name(node: &Path, paths: &Paths) -> Result<String, ApplyError> {
    let failed = |source| ApplyError::Open { device: node.to_owned(), source };
    let number = fs::metadata(node).map_err(failed)?.rdev();
    let link = paths.sys.join(format!("dev/block/{}:{}", libc::major(number), libc::minor(number)));
    let real = fs::canonicalize(link).map_err(failed)?;
    let name = real.file_name().map(|name| name.to_string_lossy().into_owned());
    name.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

/// Creates device-mapper's control device, and loads the driver: in a ramdisk, no udev does so.
pub fn control(paths: &Paths) -> Result<(), ApplyError> {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let directory = paths.dev.join("mapper");
    let node = directory.join("control");
    let failed = |source| ApplyError::Node { path: node.clone(), source };
    fs::create_dir_all(&directory).map_err(failed)?;
    // MAPPER_CTRL_MINOR of the kernel's miscdevice.h.
    match mknod(&node, SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IWUSR, makedev(10, 236)) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
        Err(error) => return Err(failed(error.into())),
    }
    OpenOptions::new().read(true).write(true).open(&node).map(|_| ()).map_err(failed)
}

/// Loads a device-mapper target: lvm would call /sbin/modprobe, which a ramdisk does not have. If that fails, lvm
/// reports what is missing.
pub fn load(paths: &Paths, module: &str) {
    let mut command = Command::new(&paths.program);
    command.arg0("modprobe").arg(module).env_clear().stdin(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => log::warn!("the kernel module {module} was not loaded: {status}"),
        Err(error) => log::warn!("the kernel module {module} was not loaded: {error}"),
    }
}

/// sysfs names of devices whose identity starts with this.
pub fn with_uuid(sys: &Path, start: &str) -> Vec<String> {
    let mut names = names(&sys.join("class/block"));
    names.retain(|name| {
        text(&sys.join("class/block").join(name), "dm/uuid").is_some_and(|uuid| uuid.starts_with(start))
    });
    names
}

/// Removes the device with this identity, using only the kernel.
pub fn remove(mapped: &Mapped) -> Result<(), ApplyError> {
    for name in with_uuid(&mapped.sys, &mapped.uuid) {
        let number = text(&mapped.block().join(&name), "dev").and_then(|text| number(&text));
        let Some(number) = number else { continue };
        let failed = |source| ApplyError::StopVolume { volume: mapped.link(), source };
        mapper::remove(Path::new("/dev/mapper/control"), number).map_err(failed)?;
    }
    Ok(())
}

/// `MAJOR:MINOR`.
fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether any device has one of these device-mapper names.
pub fn with_names(sys: &Path, wanted: &BTreeSet<String>) -> bool {
    let block = sys.join("class/block");
    let name = |device: &String| text(&block.join(device), "dm/name");
    names(&block).iter().filter_map(name).any(|name| wanted.contains(&name))
}

fn text(device: &Path, attribute: &str) -> Option<String> {
    fs::read_to_string(device.join(attribute)).ok().map(|text| text.trim().to_owned())
}

impl Mapped {
    fn block(&self) -> PathBuf {
        self.sys.join("class/block")
    }

    /// `/dev/mapper/NAME`.
    pub fn link(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }

    /// The kernel name, if the device exists.
    pub fn found(&self) -> Option<String> {
        let is = |name: &String| text(&self.block().join(name), "dm/name").is_some_and(|found| found == self.name);
        names(&self.block()).into_iter().find(is)
    }

    /// Opens it, after verifying that it is what was made and lies on nothing else.
    pub fn open(&self, access: Access) -> Result<Proven, ApplyError> {
        let failed = |source| ApplyError::Open { device: self.link(), source };
        let name = self.found().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        let device = self.block().join(&name);
        let number = text(&device, "dev").and_then(|text| number(&text));
        let number = number.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let node = super::bound::make_node(&self.nodes, &name, number)?;
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write).custom_flags(libc::O_DIRECT | libc::O_CLOEXEC);
        let file = options.open(&node).map_err(failed)?;
        if file.metadata().map_err(failed)?.rdev() != libc::makedev(number.0, number.1) {
            return Err(self.wrong("it is another device by now".to_owned()));
        }
        // It was looked up by name, and is now held open: the number cannot be reused.
        let uuid = text(&device, "dm/uuid").unwrap_or_default();
        if uuid != self.uuid {
            return Err(self.wrong(format!("its identity is {uuid}, it was made as {}", self.uuid)));
        }
        let found = self.leaves(&name);
        if found.is_empty() || !found.is_subset(&self.below) {
            return Err(self.wrong(format!("it lies on {found:?}, not on {:?}", self.below)));
        }
        Ok(Proven::array(file, node, self.link()))
    }

    /// The devices below it, except parts of its own group.
    fn leaves(&self, name: &str) -> BTreeSet<String> {
        let (mut level, mut found) = (vec![name.to_owned()], BTreeSet::new());
        for _ in 0..DEEPEST {
            let slaves: Vec<String> =
                level.iter().flat_map(|name| names(&self.block().join(name).join("slaves"))).collect();
            let own = |name: &String| {
                let uuid = text(&self.block().join(name), "dm/uuid");
                !self.below.contains(name) && uuid.is_some_and(|uuid| uuid.starts_with("LVM-"))
            };
            let (parts, leaves): (Vec<String>, Vec<String>) = slaves.into_iter().partition(own);
            found.extend(leaves);
            level = parts;
        }
        // An endless chain is not valid.
        found.extend(level);
        found
    }

    pub fn wrong(&self, what: String) -> ApplyError {
        ApplyError::Mapping { device: self.link(), what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_as_lvm_joins_them() {
        assert_eq!(lvm_name("vg", "root"), "vg-root");
        assert_eq!(lvm_name("my-vg", "a-b"), "my--vg-a--b");
    }

    /// Real mapped devices need the kernel's dm; here sysfs is a directory of files.
    #[test]
    fn what_lies_elsewhere_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, dm: Option<(&str, &str)>, slaves: &[&str]| {
            let device = dir.path().join("class/block").join(name);
            fs::create_dir_all(device.join("slaves")).unwrap();
            for slave in slaves {
                fs::create_dir(device.join("slaves").join(slave)).unwrap();
            }
            if let Some((name, uuid)) = dm {
                fs::create_dir(device.join("dm")).unwrap();
                fs::write(device.join("dm/name"), format!("{name}\n")).unwrap();
                fs::write(device.join("dm/uuid"), format!("{uuid}\n")).unwrap();
            }
        };
        make("sda2", None, &[]);
        make("dm-0", Some(("crypt", "CRYPT-LUKS2-0f-crypt")), &["sda2"]);
        make("dm-1", Some(("vg-m_rimage_0", "LVM-gm0")), &["dm-0"]);
        make("dm-2", Some(("vg-m", "LVM-gm")), &["dm-1"]);
        make("dm-3", Some(("vg-x", "LVM-gx")), &["sda2", "dm-1"]);
        let mapped = |name: &str| Mapped {
            name: name.to_owned(),
            uuid: String::new(),
            below: ["dm-0".to_owned()].into(),
            nodes: dir.path().to_owned(),
            sys: dir.path().to_owned(),
        };
        assert_eq!(mapped("vg-m").found().as_deref(), Some("dm-2"));
        assert_eq!(mapped("vg").found(), None);
        assert_eq!(mapped("vg-m").leaves("dm-2"), ["dm-0".to_owned()].into());
        let others = mapped("vg-x").leaves("dm-3");
        assert!(!others.is_subset(&mapped("vg-x").below), "{others:?}");
        assert_eq!(with_uuid(dir.path(), "LVM-g").len(), 3);
    }
}

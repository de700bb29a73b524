//! The filesystems that PID 1 mounts, as a table.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Debug)]
struct Mount {
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
    /// Mounted only if this exists, after the preceding rows of the table.
    when: Option<&'static str>,
}

const NO_EXEC: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const NO_DEV: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

const TABLE: &[Mount] = &[
    Mount { target: "proc", kind: "proc", flags: NO_EXEC, data: "", when: None },
    Mount { target: "sys", kind: "sysfs", flags: NO_EXEC, data: "", when: None },
    Mount { target: "dev", kind: "devtmpfs", flags: MsFlags::MS_NOSUID, data: "mode=0755", when: None },
    Mount {
        target: "dev/pts",
        kind: "devpts",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: "mode=0620,gid=5,ptmxmode=0666",
        when: None,
    },
    Mount { target: "run", kind: "tmpfs", flags: NO_DEV, data: "mode=0755", when: None },
    Mount { target: "tmp", kind: "tmpfs", flags: NO_DEV, data: "mode=1777", when: None },
    // Shows whether the kernel is locked down, and what firmware has measured.
    Mount { target: SECURITY, kind: "securityfs", flags: NO_EXEC, data: "", when: Some(SECURITY) },
    Mount { target: EFIVARS, kind: "efivarfs", flags: NO_EXEC, data: "", when: Some("sys/firmware/efi") },
];

const SECURITY: &str = "sys/kernel/security";
const EFIVARS: &str = "sys/firmware/efi/efivars";
const LINKS: &[(&str, &str)] = &[
    ("dev/fd", "/proc/self/fd"),
    ("dev/stdin", "/proc/self/fd/0"),
    ("dev/stdout", "/proc/self/fd/1"),
    ("dev/stderr", "/proc/self/fd/2"),
];

#[derive(Debug, thiserror::Error)]
#[error("cannot mount {kind} on {target}", target = target.display())]
pub struct SystemMountError {
    pub kind: &'static str,
    pub target: PathBuf,
    pub source: io::Error,
}

/// Mounts the filesystems of the table below `root` that are not yet mounted. Failures are returned and do not stop the
/// rest: a ramdisk without devpts can still image a machine.
pub fn mount_all(root: &Path) -> Vec<SystemMountError> {
    let mut errors = Vec::new();
    for entry in TABLE {
        if entry.when.is_some_and(|path| !root.join(path).exists()) {
            continue;
        }
        if let Err(source) = mount_one(root, entry) {
            errors.push(SystemMountError { kind: entry.kind, target: root.join(entry.target), source });
        }
    }
    for (link, target) in LINKS {
        // A convenience, and already there on a second run.
        let _ = std::os::unix::fs::symlink(target, root.join(link));
    }
    errors
}

/// Mounts efivarfs, whose module may arrive later than the first mounts.
pub fn mount_efivars(root: &Path) -> Result<(), SystemMountError> {
    for entry in TABLE.iter().filter(|entry| entry.target == EFIVARS) {
        if entry.when.is_some_and(|path| root.join(path).exists()) {
            mount_one(root, entry).map_err(|source| SystemMountError {
                kind: entry.kind,
                target: root.join(entry.target),
                source,
            })?;
        }
    }
    Ok(())
}

fn mount_one(root: &Path, entry: &Mount) -> io::Result<()> {
    let target = root.join(entry.target);
    if !target.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&target)?;
    }
    if is_mount_point(&target)? {
        return Ok(());
    }
    let mut data = entry.data.to_owned();
    if entry.kind == "tmpfs" {
        // proc is mounted by now, because it is first in the table.
        let table = std::fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        data += &format!(",size={}", budget(available(&table)));
    }
    mount(Some(entry.kind), &target, Some(entry.kind), entry.flags, Some(data.as_str())).map_err(io::Error::from)
}

/// `MemAvailable` of `/proc/meminfo` in bytes (proc(5)): memory available without swapping.
pub fn available(meminfo: &str) -> Option<u64> {
    bytes_of(meminfo, "MemAvailable:")
}

/// `MemFree` of the same: memory that is not used at all, not even as a cache.
pub fn unused(meminfo: &str) -> Option<u64> {
    bytes_of(meminfo, "MemFree:")
}

fn bytes_of(meminfo: &str, word: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(word))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The size limit of each tmpfs: a share of the memory that is really free, not of what is installed. On a small
/// machine the ramdisk itself has taken its share, and image buffers need the rest.
fn budget(available: Option<u64>) -> u64 {
    const LEAST: u64 = 16 << 20;
    const MOST: u64 = 8 << 30;
    available.map_or(LEAST, |bytes| (bytes / 8).clamp(LEAST, MOST))
}

/// Whether a directory is on another device than its parent. (Bind mounts within one file system are not detected; the
/// table has none.)
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(std::fs::metadata(path)?.dev() != std::fs::metadata(parent)?.dev())
}

/// The boot medium, mounted read-only until dropped.
#[derive(Debug)]
pub struct Medium(PathBuf);

impl Medium {
    /// At `path`, which only root can enter.
    pub fn mount(device: &Path, kind: &str, path: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        mount(Some(device), path, Some(kind), NO_EXEC | MsFlags::MS_RDONLY, None::<&str>)?;
        Ok(Self(path.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.0, MntFlags::MNT_DETACH) {
            log::warn!("{}: {error}", self.0.display());
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Unmounts filesystems on block devices, last mounted first; busy ones are remounted read-only and detached.
pub fn unmount_disks(mounts: &str) -> Vec<String> {
    let mut notes = Vec::new();
    for target in disk_mounts(mounts) {
        let path = Path::new(&target);
        if umount2(path, MntFlags::empty()).is_ok() {
            continue;
        }
        let remounted = mount(None::<&str>, path, None::<&str>, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None::<&str>);
        let detached = umount2(path, MntFlags::MNT_DETACH);
        if let (Err(error), _) | (_, Err(error)) = (remounted, detached) {
            notes.push(format!("{target} stays mounted: {error}"));
        }
    }
    notes
}

/// Mount points of block devices in `/proc/self/mounts`, in the order to unmount them.
fn disk_mounts(mounts: &str) -> Vec<String> {
    let mut found: Vec<String> = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (source, target) = (fields.next()?, fields.next()?);
            (source.starts_with("/dev/") && target != "/").then(|| hwinventory::unescape_mount_path(target))
        })
        .collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disks_are_unmounted_last_first() {
        let mounts = "rootfs / rootfs rw 0 0\nproc /proc proc rw 0 0\n/dev/sda1 /mnt ext4 rw 0 0\n\
                      tmpfs /run tmpfs rw 0 0\n/dev/nvme0n1p2 /mnt/a\\040b xfs rw 0 0\n";
        assert_eq!(disk_mounts(mounts), ["/mnt/a b", "/mnt"]);
        assert!(disk_mounts("").is_empty());
    }

    #[test]
    fn parents_stand_before_children_in_the_table() {
        for (place, entry) in TABLE.iter().enumerate() {
            let parents = TABLE
                .iter()
                .position(|other| entry.target != other.target && Path::new(entry.target).starts_with(other.target));
            assert!(parents.is_none_or(|parent| parent < place), "{}", entry.target);
        }
    }

    #[test]
    fn memory_is_shared_out_of_what_is_free() {
        let table = "MemTotal:        1000000 kB\nMemFree:  7 kB\nMemAvailable:     512000 kB\n";
        assert_eq!(available(table), Some(512_000 * 1024));
        assert_eq!((available("MemAvailable: x kB\n"), available("")), (None, None));
        assert_eq!(budget(available(table)), 64_000 * 1024);
        assert_eq!((budget(None), budget(Some(1 << 20)), budget(Some(1 << 50))), (16 << 20, 16 << 20, 8 << 30));
    }

    #[test]
    fn mount_points_are_recognised() {
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        assert!(!is_mount_point(&inner).unwrap());
    }
}

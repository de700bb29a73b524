//! Mounts a partition of the new system temporarily, at a private mount point.

use crate::error::Coded;
use crate::isolate::errno;
use crate::sys::blockdev;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time for a busy mount to be released.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum MountError {
    #[error("{path}: cannot make a mount point")]
    MountPoint {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("{device}: cannot be mounted as {kind}")]
    Mount {
        device: PathBuf,
        kind: String,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("{path}: cannot be unmounted")]
    Unmount {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("{path}: cannot be synced")]
    Sync {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
}

impl Coded for MountError {
    fn code(&self) -> &'static str {
        match self {
            Self::MountPoint { .. } => "finalize.mount_point",
            Self::Mount { .. } => "finalize.mount",
            Self::Unmount { .. } => "finalize.unmount",
            Self::Sync { .. } => "finalize.sync",
        }
    }

    fn hint(&self) -> Option<String> {
        let Self::Mount { source, kind, .. } = self else { return None };
        match source.raw_os_error() {
            Some(libc::ENODEV) => Some(format!("add the kernel module for {kind} to the ramdisk")),
            Some(libc::EBUSY) => Some("stop the process that holds the disk or partition exclusively".to_owned()),
            _ => None,
        }
    }
}

/// Read-only for inspection; writable for growing and seeding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// A mounted partition. [`Mounted::unmount`] syncs, unmounts and reports; dropping it only tries.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    device: PathBuf,
    mounted: bool,
    /// The mount point was created for this mount.
    own: bool,
    /// The device refuses writes meanwhile.
    locked: bool,
}

impl Mounted {
    /// Mounts `device` below `base` (`/run/burin/mnt`), in a directory that only root can enter. Device nodes, set-uid
    /// bits and programs of the image are disabled on this mount.
    pub fn mount(device: &Path, kind: &str, access: Access, base: &Path) -> Result<Self, MountError> {
        let name = device.file_name().unwrap_or_default();
        let path = base.join(format!("{}.{}", name.to_string_lossy(), sequence()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| MountError::MountPoint { path: path.clone(), source })?;
        let mounted = Self::attach(device, kind, (access, ""), &path, true);
        if mounted.is_err() {
            // It is empty: the mount failed.
            let _ = fs::remove_dir(&path);
        }
        mounted
    }

    /// Mounts an image read-only for inspection: the kernel then writes nothing to the partition, whatever the
    /// filesystem's own settings are.
    pub fn look(device: &Path, kind: &str, base: &Path) -> Result<Self, MountError> {
        quiet();
        let locked = File::open(device).and_then(|file| blockdev::set_read_only(&file, true)).is_ok();
        match Self::mount(device, kind, Access::ReadOnly, base) {
            Ok(mut mounted) => {
                mounted.locked = locked;
                Ok(mounted)
            }
            Err(error) => {
                unlock(device, locked);
                Err(error)
            }
        }
    }

    /// The same as [`Mounted::mount`] in an existing directory, which stays.
    pub fn mount_at(device: &Path, kind: &str, access: Access, path: &Path) -> Result<Self, MountError> {
        Self::attach(device, kind, (access, ""), path, false)
    }

    /// The same, with additional filesystem options.
    pub fn mount_with(device: &Path, kind: &str, access: Access, path: &Path, more: &str) -> Result<Self, MountError> {
        Self::attach(device, kind, (access, more), path, false)
    }

    /// Bind-mounts a directory of a mounted filesystem elsewhere. `device` is the one below it.
    pub fn bind(from: &Path, to: &Path, device: &Path) -> Result<Self, MountError> {
        Self::made(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>), device, "bind", to)
    }

    /// An empty read-only filesystem.
    pub fn empty(path: &Path) -> Result<Self, MountError> {
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        Self::made(mount(Some("none"), path, Some("tmpfs"), flags, Some("size=4k")), Path::new(""), "tmpfs", path)
    }

    fn made(mounted: nix::Result<()>, device: &Path, kind: &str, path: &Path) -> Result<Self, MountError> {
        let (device, path) = (device.to_owned(), path.to_owned());
        match mounted {
            Ok(()) => Ok(Self { path, device, mounted: true, own: false, locked: false }),
            Err(error) => Err(MountError::Mount { device: path, kind: kind.to_owned(), source: error.into() }),
        }
    }

    fn attach(
        device: &Path,
        kind: &str,
        (access, more): (Access, &str),
        path: &Path,
        own: bool,
    ) -> Result<Self, MountError> {
        let mut flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME;
        match access {
            Access::ReadOnly => flags |= MsFlags::MS_RDONLY,
            // An agent that was killed during an inspection left it like this.
            Access::ReadWrite => unlock(device, File::open(device).and_then(blockdev::read_only).unwrap_or(false)),
        }
        let options = [options(kind, access), more].into_iter().filter(|words| !words.is_empty());
        let options = options.collect::<Vec<_>>().join(",");
        if let Err(error) = mount(Some(device), path, Some(kind), flags, Some(options.as_str())) {
            return Err(MountError::Mount { device: device.to_owned(), kind: kind.to_owned(), source: error.into() });
        }
        Ok(Self { path: path.to_owned(), device: device.to_owned(), mounted: true, own, locked: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mounted device.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Flushes all data of the filesystem to stable storage, and unmounts it.
    pub fn unmount(mut self) -> Result<(), MountError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| MountError::Sync { path, source }
        };
        let sync = File::open(&self.path).and_then(|directory| Ok(nix::unistd::syncfs(directory)?));
        let gone = self.detach();
        sync.map_err(failed(&self.path))?;
        gone?;
        if self.device.as_os_str().is_empty() {
            return Ok(());
        }
        // Unmounting writes too, without reporting errors; and not every filesystem flushes the device itself.
        File::open(&self.device).and_then(|device| device.sync_all()).map_err(failed(&self.device))
    }

    fn detach(&mut self) -> Result<(), MountError> {
        if std::mem::take(&mut self.mounted) {
            patiently(|| umount2(&self.path, MntFlags::UMOUNT_NOFOLLOW))
                .map_err(|error| MountError::Unmount { path: self.path.clone(), source: error.into() })?;
            if self.own {
                fs::remove_dir(&self.path)
                    .map_err(|source| MountError::MountPoint { path: self.path.clone(), source })?;
            }
        }
        unlock(&self.device, std::mem::take(&mut self.locked));
        Ok(())
    }
}

/// Lets the device accept writes again.
fn unlock(device: &Path, locked: bool) {
    if locked && let Err(error) = File::open(device).and_then(|file| blockdev::set_read_only(&file, false)) {
        log::warn!("{}: stays read-only: {error}", device.display());
    }
}

/// XFS can halt the kernel for the errors in this mask; an image must not do that.
fn quiet() {
    // Missing if XFS is not loaded; the mask is then zero anyway.
    let _ = fs::write("/proc/sys/fs/xfs/panic_mask", "0");
}

/// A program that is just being started has our open files for a moment.
fn patiently(mut work: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match work() {
            Err(nix::Error::EBUSY) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // On an error path: that error takes precedence.
        let _ = self.detach();
    }
}

/// Unmounts what a killed agent left below `base`. To be called once, before the first mount.
pub fn clear(base: &Path) -> Result<(), MountError> {
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(MountError::MountPoint { path: base.to_owned(), source }),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        match umount2(&path, MntFlags::UMOUNT_NOFOLLOW) {
            // EINVAL: not a mount point.
            Ok(()) | Err(nix::Error::EINVAL) => {}
            // There are other mounts below it: all of them are detached at once.
            Err(nix::Error::EBUSY) => umount2(&path, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)
                .map_err(|error| MountError::Unmount { path: path.clone(), source: error.into() })?,
            Err(error) => return Err(MountError::Unmount { path, source: error.into() }),
        }
        fs::remove_dir(&path).map_err(|source| MountError::MountPoint { path, source })?;
    }
    Ok(())
}

/// Cleans up after a child that was killed while inspecting `devices`: its mounts are removed, and the devices accept
/// writes again.
pub fn clear_after(base: &Path, child: u32, devices: &[PathBuf]) {
    let of_child = |name: &str| name.rsplit_once('.').is_some_and(|(_, rest)| rest.starts_with(&format!("{child}-")));
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        if of_child(&entry.file_name().to_string_lossy()) {
            let _ = umount2(&entry.path(), MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH);
            let _ = fs::remove_dir(entry.path());
        }
    }
    for device in devices {
        unlock(device, File::open(device).and_then(blockdev::read_only).unwrap_or(false));
    }
}

/// XFS refuses a second filesystem with the same UUID (the other disk of a mirror, a rescue copy), which must not be an
/// obstacle here. A read-only mount must not replay a journal: the bytes were just verified.
fn options(kind: &str, access: Access) -> &'static str {
    match (kind, access) {
        ("xfs", Access::ReadWrite) => "nouuid",
        ("xfs", Access::ReadOnly) => "nouuid,norecovery",
        // The superblock may request a kernel panic at the first error.
        ("ext4", Access::ReadOnly) => "noload,errors=continue",
        // By default it continues after an error, and the system would boot with a filesystem marked as broken.
        ("ext4", Access::ReadWrite) => "errors=remount-ro",
        // FAT has no owners and modes; setting them for a tree must not be an error.
        ("vfat", Access::ReadWrite) => "quiet",
        ("btrfs", Access::ReadOnly) => "rescue=nologreplay",
        _ => "",
    }
}

/// Distinguishes mounts of one process.
fn sequence() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

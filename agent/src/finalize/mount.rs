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

/// For a mount that something uses to be let go.
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

/// Read-only says it all for finding out; writable for growing and seeding.
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
    /// The mount point was made for this mount alone.
    own: bool,
    /// The device refuses writes for as long as this lasts.
    locked: bool,
}

impl Mounted {
    /// Mounts `device` below `base` (`/run/burin/mnt`), at a directory only root can enter. No device nodes, no set-uid
    /// and no programs of the image count on this mount.
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
            // Nothing is in it: the mount failed.
            let _ = fs::remove_dir(&path);
        }
        mounted
    }

    /// Read-only, of an image that is looked into: the kernel writes nothing to the partition by then, whatever the
    /// filesystem's own settings say.
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

    /// The same as [`Mounted::mount`] at a directory that exists and stays.
    pub fn mount_at(device: &Path, kind: &str, access: Access, path: &Path) -> Result<Self, MountError> {
        Self::attach(device, kind, (access, ""), path, false)
    }

    /// The same, with more options of the filesystem.
    pub fn mount_with(device: &Path, kind: &str, access: Access, path: &Path, more: &str) -> Result<Self, MountError> {
        Self::attach(device, kind, (access, more), path, false)
    }

    /// A directory of a filesystem that is mounted already, at another place too. `device` is what it is on.
    pub fn bind(from: &Path, to: &Path, device: &Path) -> Result<Self, MountError> {
        Self::made(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>), device, "bind", to)
    }

    /// An empty filesystem that takes nothing.
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
            // An agent that was killed while it looked into the image left it so.
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

    /// What is mounted.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// All data of the filesystem on stable storage, then gone.
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
        // Unmounting writes too, and tells nobody how that went; not every filesystem has the device itself flush.
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

/// Lets the device take writes again.
fn unlock(device: &Path, locked: bool) {
    if locked && let Err(error) = File::open(device).and_then(|file| blockdev::set_read_only(&file, false)) {
        log::warn!("{}: stays read-only: {error}", device.display());
    }
}

/// XFS halts the kernel for what this mask names; an image is no reason to.
fn quiet() {
    // Missing where XFS is not loaded, and then the mask is what it begins with: nothing.
    let _ = fs::write("/proc/sys/fs/xfs/panic_mask", "0");
}

/// A program that is just being started has what we had open, for a moment.
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
        // On an error path: that error is the one to report.
        let _ = self.detach();
    }
}

/// Unmounts what an agent that was killed left below `base`. To be called once, before the first mount.
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
            // Others are mounted below it: the whole of them goes at once.
            Err(nix::Error::EBUSY) => umount2(&path, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH)
                .map_err(|error| MountError::Unmount { path: path.clone(), source: error.into() })?,
            Err(error) => return Err(MountError::Unmount { path, source: error.into() }),
        }
        fs::remove_dir(&path).map_err(|source| MountError::MountPoint { path, source })?;
    }
    Ok(())
}

/// Tidies up after a child that was killed while it looked into `devices`: what it mounted goes, and they take writes again.
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

/// XFS refuses a second filesystem of the same UUID (the other disk of a mirror, a rescue copy): that must not stop us.
/// A read-only mount must not replay a journal: the bytes were just verified.
fn options(kind: &str, access: Access) -> &'static str {
    match (kind, access) {
        ("xfs", Access::ReadWrite) => "nouuid",
        ("xfs", Access::ReadOnly) => "nouuid,norecovery",
        // The superblock may ask for a kernel panic at the first error.
        ("ext4", Access::ReadOnly) => "noload,errors=continue",
        // By default it goes on after an error, and the system would start with a filesystem that is marked as broken.
        ("ext4", Access::ReadWrite) => "errors=remount-ro",
        // FAT has no owners and modes; what a tree says of them is no error.
        ("vfat", Access::ReadWrite) => "quiet",
        ("btrfs", Access::ReadOnly) => "rescue=nologreplay",
        _ => "",
    }
}

/// Tells mounts of one process apart.
fn sequence() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

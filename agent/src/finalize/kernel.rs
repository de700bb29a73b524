//! Updates the kernel's partition list to match the table, partition by partition: unlike BLKRRPART this works while
//! other partitions of the disk are in use.

use crate::error::Coded;
use crate::finalize::adjust::Extent;
use crate::sys::partition;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The unit of sizes in sysfs, whatever the disk's sector size.
const SYSFS_SECTOR: u64 = 512;
/// devtmpfs makes a node before the ioctl returns; a device manager that renames nodes may take a moment.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("{device}: not a block device")]
    NotBlock { device: PathBuf },
    #[error("{path}: cannot be read")]
    Io { path: PathBuf, source: io::Error },
    #[error("{device}: the kernel refused to {action} partition {number}")]
    Refused { device: PathBuf, action: &'static str, number: u32, source: io::Error },
    #[error("{device}: the kernel has no partition {number}")]
    NoPartition { device: PathBuf, number: u32 },
    #[error("{node}: the device node does not appear")]
    NoNode { node: PathBuf },
}

impl Coded for KernelError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotBlock { .. } => "finalize.not_block_device",
            Self::Io { .. } => "finalize.sysfs_io",
            Self::Refused { .. } => "finalize.kernel_partition",
            Self::NoPartition { .. } => "finalize.kernel_no_partition",
            Self::NoNode { .. } => "finalize.no_device_node",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { source, .. } if source.raw_os_error() == Some(libc::EBUSY) => {
                Some("release the partition of this disk that is in use (a mount, swap, RAID or LVM)".to_owned())
            }
            _ => None,
        }
    }
}

/// A reader of partitions (a device manager's probe, an inventory) may have one open for a moment.
fn patiently(mut request: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match request() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// A disk in sysfs.
#[derive(Debug)]
pub struct KernelDisk {
    device: PathBuf,
    file: File,
    /// `/sys/dev/block/MAJOR:MINOR`.
    sysfs: PathBuf,
    dev: PathBuf,
}

/// A partition as the kernel knows it; bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// `sda3`.
    pub name: String,
    /// Major and minor number of its block device.
    pub device: (u32, u32),
    pub start: u64,
    pub length: u64,
}

impl KernelDisk {
    /// `sys` and `dev` are `/sys` and `/dev` on a real machine.
    pub fn open(device: &Path, sys: &Path, dev: &Path) -> Result<Self, KernelError> {
        let io = |source| KernelError::Io { path: device.to_owned(), source };
        let file = File::open(device).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.file_type().is_block_device() {
            return Err(KernelError::NotBlock { device: device.to_owned() });
        }
        Ok(Self::over(device, file, metadata.rdev(), sys, dev))
    }

    /// The disk that `file` is open on, whose number is `number`; `device` is for messages.
    pub fn over(device: &Path, file: File, number: u64, sys: &Path, dev: &Path) -> Self {
        let sysfs = sys.join(format!("dev/block/{}:{}", libc::major(number), libc::minor(number)));
        Self { device: device.to_owned(), file, sysfs, dev: dev.to_owned() }
    }

    /// Optimal I/O size in bytes, 0 if the device does not report one: the input of [`super::layout::alignment`].
    pub fn optimal_io_size(&self) -> Result<u64, KernelError> {
        partition::optimal_io_size(&self.file).map_err(|source| KernelError::Io { path: self.device.clone(), source })
    }

    /// Adds, resizes and removes partitions until the kernel's list is `wanted`; returns the numbers that changed.
    pub fn sync(&self, wanted: &[Extent]) -> Result<Vec<u32>, KernelError> {
        let known = self.partitions()?;
        let refused =
            |action, number| move |source| KernelError::Refused { device: self.device.clone(), action, number, source };
        let mut changed = Vec::new();
        for (&number, old) in &known {
            let stays = wanted.iter().any(|new| new.number == number && new.start == old.start);
            if !stays {
                patiently(|| partition::delete(&self.file, number)).map_err(refused("remove", number))?;
                changed.push(number);
            }
        }
        // Shrinking first, so that partitions never overlap meanwhile.
        let mut resizes: Vec<(&Extent, u64)> = Vec::new();
        for new in wanted {
            match known.get(&new.number) {
                Some(old) if old.start == new.start && old.length == new.length => {}
                Some(old) if old.start == new.start => resizes.push((new, old.length)),
                _ => {}
            }
        }
        resizes.sort_by_key(|(new, old)| new.length > *old);
        for (new, _) in resizes {
            let resize = || partition::resize(&self.file, new.number, new.start, new.length);
            patiently(|| self.unless_done(new, resize())).map_err(refused("resize", new.number))?;
            changed.push(new.number);
        }
        for new in wanted {
            if known.get(&new.number).is_none_or(|old| old.start != new.start) {
                let add = || partition::add(&self.file, new.number, new.start, new.length);
                patiently(|| self.unless_done(new, add())).map_err(refused("add", new.number))?;
                changed.push(new.number);
            }
        }
        changed.sort_unstable();
        changed.dedup();
        Ok(changed)
    }

    /// If udevd is running, it makes the kernel reread the table when a writer closes the disk. The change is then
    /// already made, and refused as busy.
    fn unless_done(&self, wanted: &Extent, result: io::Result<()>) -> io::Result<()> {
        let there = |known: &Known| known.start == wanted.start && known.length == wanted.length;
        match result {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => match self.partitions() {
                Ok(known) if known.get(&wanted.number).is_some_and(there) => Ok(()),
                _ => Err(error),
            },
            result => result,
        }
    }

    /// A partition's device node; waits for it.
    pub fn node(&self, number: u32) -> Result<PathBuf, KernelError> {
        let known = self.partitions()?;
        let partition =
            known.get(&number).ok_or_else(|| KernelError::NoPartition { device: self.device.clone(), number })?;
        let node = self.dev.join(&partition.name);
        let deadline = Instant::now() + NODE_TIMEOUT;
        while !node.exists() {
            if Instant::now() > deadline {
                return Err(KernelError::NoNode { node });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(node)
    }

    /// By number.
    pub fn partitions(&self) -> Result<BTreeMap<u32, Known>, KernelError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| KernelError::Io { path, source }
        };
        let number_in = |path: PathBuf| -> Result<u64, KernelError> {
            let text = fs::read_to_string(&path).map_err(io(&path))?;
            let invalid = |_| KernelError::Io { path, source: io::ErrorKind::InvalidData.into() };
            text.trim().parse().map_err(invalid)
        };
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.sysfs).map_err(io(&self.sysfs))? {
            let path = entry.map_err(io(&self.sysfs))?.path();
            if !path.join("partition").exists() {
                continue;
            }
            // sysfs uses '!' where device names have '/'.
            let name = path.file_name().unwrap_or_default().to_string_lossy().replace('!', "/");
            let dev = path.join("dev");
            let text = fs::read_to_string(&dev).map_err(io(&dev))?;
            let device = pair(text.trim()).ok_or(io::ErrorKind::InvalidData).map_err(|kind| io(&dev)(kind.into()))?;
            let known = Known {
                name,
                device,
                start: number_in(path.join("start"))? * SYSFS_SECTOR,
                length: number_in(path.join("size"))? * SYSFS_SECTOR,
            };
            found.insert(number_in(path.join("partition"))? as u32, known);
        }
        Ok(found)
    }
}

/// `8:3`.
fn pair(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

//! The device to be written: checked, then opened exclusively with direct I/O.

use super::{DiskError, KeptRanges};
use burin_sys::blockdev;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Time for a device that is busy without a known holder to be released.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for the kernel to remove a device whose requests fail because it was unplugged.
const LEAVING: Duration = Duration::from_secs(2);

/// Where sysfs and procfs are mounted.
#[derive(Debug, Clone)]
pub struct Roots {
    pub sys: PathBuf,
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { sys: "/sys".into(), proc: "/proc".into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    BlockDevice,
    /// An existing regular file, requested explicitly.
    File,
}

/// The limits of the device's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Largest request in bytes.
    pub request: usize,
    /// Number of concurrent requests.
    pub depth: usize,
    /// A rotational disk: reading between writes costs seeks.
    pub rotational: bool,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { request: 1 << 20, depth: 8, rotational: false }
    }
}

impl QueueLimits {
    /// From max_sectors_kb, nr_requests and rotational of the queue directory, as far as they can be read.
    pub fn from_sysfs(max_sectors_kb: Option<&str>, nr_requests: Option<&str>, rotational: Option<&str>) -> Self {
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<usize>().ok());
        let whole = Self::default();
        let request = number(max_sectors_kb).map_or(whole.request, |kib| kib.saturating_mul(1024));
        let depth = number(nr_requests).unwrap_or(whole.depth);
        // Requests respect 4096-byte boundaries, whatever odd limit a controller reports.
        Self {
            request: request.clamp(4096, whole.request) / 4096 * 4096,
            depth: depth.clamp(1, whole.depth),
            rotational: number(rotational) == Some(1),
        }
    }
}

/// A device or file that nobody else holds, opened for direct I/O. Never created, never truncated.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    kind: TargetKind,
    file: Arc<File>,
    /// Bytes.
    size: u64,
    /// Bytes; a power of two from 512 to 4096.
    sector: u32,
    limits: QueueLimits,
    kept: KeptRanges,
    /// Time of the first failed request.
    failed: OnceLock<Instant>,
}

impl Target {
    /// Opens a block device: O_DIRECT, O_EXCL. Refuses devices that are read-only, mounted, used as swap, or held.
    pub fn open_device(path: &Path) -> Result<Self, DiskError> {
        Self::open_device_with(path, &Roots::default())
    }

    /// The same with another name for messages.
    pub fn open_device_as(node: &Path, name: &Path) -> Result<Self, DiskError> {
        Self::open_device_with(node, &Roots::default()).map(|target| Self { path: name.to_owned(), ..target })
    }

    pub fn open_device_with(path: &Path, roots: &Roots) -> Result<Self, DiskError> {
        let device = || path.to_owned();
        let meta = metadata(path)?;
        if !meta.file_type().is_block_device() {
            return Err(DiskError::NotBlockDevice { device: device() });
        }
        let number = format!("{}:{}", libc::major(meta.rdev()), libc::minor(meta.rdev()));
        if let Some(by) = super::holders::find(roots, &number) {
            return Err(DiskError::Held { device: device(), by });
        }
        let probe = File::open(path).map_err(|source| open_error(path, source))?;
        let failed = |source| DiskError::Open { device: device(), source };
        if blockdev::read_only(&probe).map_err(failed)? {
            return Err(DiskError::ReadOnly { device: device() });
        }
        let size = blockdev::size(&probe).map_err(failed)?;
        if size == 0 {
            return Err(DiskError::Empty { device: device() });
        }
        let sector = blockdev::logical_sector(&probe).map_err(failed)?;
        if !(512..=4096).contains(&sector) || !sector.is_power_of_two() {
            return Err(DiskError::SectorSize { device: device(), bytes: sector });
        }
        drop(probe);
        let file = open_exclusively(path)?;
        let limits = limits(roots, &number);
        Ok(Self {
            path: device(),
            kind: TargetKind::BlockDevice,
            file,
            size,
            sector,
            limits,
            kept: KeptRanges::default(),
            failed: OnceLock::new(),
        })
    }

    /// Opens an existing regular file for direct I/O. Its length stays the same.
    pub fn open_file(path: &Path) -> Result<Self, DiskError> {
        let meta = metadata(path)?;
        if !meta.file_type().is_file() {
            return Err(DiskError::NotFile { device: path.to_owned() });
        }
        if meta.len() == 0 {
            return Err(DiskError::Empty { device: path.to_owned() });
        }
        let file = open_direct(path, 0)?;
        // Direct I/O on a file is aligned to the logical sectors below it: 4096 satisfies all.
        Ok(Self {
            path: path.to_owned(),
            kind: TargetKind::File,
            file,
            size: meta.len(),
            sector: 4096,
            limits: QueueLimits::default(),
            kept: KeptRanges::default(),
            failed: OnceLock::new(),
        })
    }

    /// The same, with ranges that are never written.
    pub fn keeping(self, kept: KeptRanges) -> Self {
        Self { kept, ..self }
    }

    pub fn kept(&self) -> &KeptRanges {
        &self.kept
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn kind(&self) -> TargetKind {
        self.kind
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Logical sector in bytes.
    pub fn sector(&self) -> u32 {
        self.sector
    }

    pub fn limits(&self) -> QueueLimits {
        self.limits
    }

    pub fn file(&self) -> Arc<File> {
        self.file.clone()
    }

    /// End of the part that direct I/O reaches: all of a device; all of a file except a last partial block.
    pub fn direct_size(&self) -> u64 {
        self.size / u64::from(self.sector) * u64::from(self.sector)
    }

    /// Writes beyond [`Target::direct_size`], through the page cache, and flushes.
    pub fn write_tail(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let error = |source| self.io_error("write", offset, source);
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(error)?;
        file.write_all_at(bytes, offset).map_err(error)?;
        file.sync_all().map_err(error)
    }

    /// Reads beyond [`Target::direct_size`], from the medium if the kernel drops its cache.
    pub fn read_tail(&self, len: usize, offset: u64) -> Result<Vec<u8>, DiskError> {
        let error = |source| self.io_error("read", offset, source);
        let file = File::open(&self.path).map_err(error)?;
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        let _ = nix::fcntl::posix_fadvise(&file, 0, 0, advice);
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).map_err(error)?;
        Ok(bytes)
    }

    pub(super) fn io_error(&self, operation: &'static str, offset: u64, source: io::Error) -> DiskError {
        let absent = matches!(source.raw_os_error(), Some(libc::ENODEV | libc::ENXIO));
        let gone = self.kind == TargetKind::BlockDevice && (absent || self.leaves());
        let device = self.path.clone();
        match gone {
            true => DiskError::Gone { device, operation, offset, source },
            false => DiskError::Io { device, operation, offset, source },
        }
    }

    /// Whether a block device that failed is about to disappear, or has shrunk: the kernel's errors (EIO at first,
    /// ENOSPC beyond its end) are then misleading. All failures together wait only once.
    fn leaves(&self) -> bool {
        let since = *self.failed.get_or_init(Instant::now);
        loop {
            if blockdev::size(&*self.file).map_or(true, |size| size < self.size) {
                return true;
            }
            if since.elapsed() > LEAVING {
                return false;
            }
            std::thread::sleep(LEAVING / 40);
        }
    }
}

fn metadata(path: &Path) -> Result<fs::Metadata, DiskError> {
    fs::metadata(path).map_err(|source| open_error(path, source))
}

/// Retries while the device has no known holder: a program started by a previous agent, or the I/O ring of a killed
/// process, which the kernel tears down in the background, may still be about to end.
fn open_exclusively(path: &Path) -> Result<Arc<File>, DiskError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match open_direct(path, libc::O_EXCL) {
            Err(DiskError::Held { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
            opened => return opened,
        }
    }
}

fn open_direct(path: &Path, flags: i32) -> Result<Arc<File>, DiskError> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT | flags).open(path);
    match opened {
        Ok(file) => Ok(Arc::new(file)),
        Err(source) if source.raw_os_error() == Some(libc::EINVAL) => {
            Err(DiskError::NoDirectIo { device: path.to_owned(), source })
        }
        Err(source) => Err(open_error(path, source)),
    }
}

fn open_error(path: &Path, source: io::Error) -> DiskError {
    let device = path.to_owned();
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => DiskError::NotFound { device },
        Some(libc::EBUSY) => DiskError::Held { device, by: "the kernel (mounted, or part of another device)".into() },
        Some(libc::EROFS) => DiskError::ReadOnly { device },
        Some(libc::ENOMEDIUM) => DiskError::Empty { device },
        _ => DiskError::Open { device, source },
    }
}

fn limits(roots: &Roots, number: &str) -> QueueLimits {
    let node = roots.sys.join("dev/block").join(number);
    let read = |name: &str| {
        // A partition has no queue directory of its own; that of its disk is one level up.
        let own = fs::read_to_string(node.join("queue").join(name));
        own.or_else(|_| fs::read_to_string(fs::canonicalize(&node)?.join("../queue").join(name))).ok()
    };
    let (request, depth, rotational) = (read("max_sectors_kb"), read("nr_requests"), read("rotational"));
    let limits = QueueLimits::from_sysfs(request.as_deref(), depth.as_deref(), rotational.as_deref());
    let disk = fs::canonicalize(&node).unwrap_or_default();
    QueueLimits { rotational: limits.rotational && !is_virtual(&disk), ..limits }
}

/// Whether a disk (its path in /sys/devices) is emulated by a hypervisor or backed by a file: by default those claim to
/// be rotational.
fn is_virtual(disk: &Path) -> bool {
    let mut parts = disk.iter().map(|part| part.to_string_lossy());
    parts.any(|part| {
        let number = part.strip_prefix("virtio").or_else(|| part.strip_prefix("loop"));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burin_protocol::error::Coded;

    #[test]
    fn limits_are_clamped_both_ways() {
        assert_eq!(QueueLimits::from_sysfs(None, None, None), QueueLimits::default());
        assert_eq!(QueueLimits::from_sysfs(Some("1280\n"), Some("128\n"), Some("0\n")), QueueLimits::default());
        let disk = QueueLimits { request: 126_976, depth: 2, rotational: true };
        assert_eq!(QueueLimits::from_sysfs(Some("127\n"), Some("2\n"), Some("1\n")), disk);
        let least = QueueLimits { request: 4096, depth: 1, rotational: false };
        assert_eq!(QueueLimits::from_sysfs(Some("0"), Some("0"), None), least);
        assert_eq!(QueueLimits::from_sysfs(Some("junk"), Some("-1"), Some("?")), QueueLimits::default());
    }

    #[test]
    fn virtual_disks_do_not_rotate_whatever_they_say() {
        let disk = |path: &str| is_virtual(Path::new(path));
        assert!(disk("/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda"));
        assert!(disk("/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda/vda1"));
        assert!(disk("/sys/devices/virtual/block/loop0"));
        assert!(!disk("/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"));
        assert!(!disk("/sys/devices/virtual/block/md0"));
    }

    #[test]
    fn wrong_kinds_are_refused_and_nothing_is_created() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(Target::open_file(&missing).unwrap_err().code(), "disk.not_found");
        assert_eq!(Target::open_device(&missing).unwrap_err().code(), "disk.not_found");
        assert!(!missing.exists());
        assert_eq!(Target::open_file(dir.path()).unwrap_err().code(), "disk.wrong_kind");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(Target::open_file(&file).unwrap_err().code(), "disk.empty");
        assert_eq!(Target::open_device(&file).unwrap_err().code(), "disk.wrong_kind");
        assert_eq!(Target::open_device(Path::new("/dev/null")).unwrap_err().code(), "disk.wrong_kind");
    }

    #[test]
    fn a_file_keeps_its_length_and_its_partial_block_is_behind_direct_io() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, vec![1; 10_000]).unwrap();
        let target = Target::open_file(&path).unwrap();
        assert_eq!((target.size(), target.direct_size()), (10_000, 8192));
        target.write_tail(&[2; 1808], 8192).unwrap();
        assert_eq!(target.read_tail(1808, 8192).unwrap(), [2; 1808]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 10_000);
    }
}

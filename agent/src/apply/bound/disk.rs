//! A disk held open: its properties when it was opened, and the partitions that the kernel was told of.

use super::super::boot_area::BootArea;
use super::super::{ApplyError, Paths};
use super::hung::{self, Until};
use super::multipath::Multipath;
use super::requests::Requests;
use super::{node, planned, proof};
use crate::disk;
use crate::finalize::adjust::Extent;
use crate::finalize::kernel::{KernelDisk, KernelError, Known};
use crate::protocol::plan::{Fate, Kept, PlannedDisk};
use crate::sys::blockdev;
use hwinventory::model::Disk;
use nix::fcntl::{Flock, FlockArg};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use crate::protocol::receipt::OpenedDisk;

/// Time for a udevd that is probing the disk to finish.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// A disk of the plan, held open.
#[derive(Debug)]
pub struct BoundDisk {
    /// `/dev/sda`, for display.
    name: PathBuf,
    /// Our own node.
    node: PathBuf,
    /// Directory for nodes of its partitions.
    nodes: PathBuf,
    sys: PathBuf,
    dev: PathBuf,
    /// Locked (flock), so that a live system's udevd neither probes nor rescans it.
    file: Handle,
    /// Where several paths lead to it: everything else here is about the map over them. Goes after `file`, which has it open.
    multipath: Option<Multipath>,
    number: u64,
    sequence: Option<u64>,
    opened: OpenedDisk,
    /// Current size and logical sector size in bytes.
    shape: Mutex<(u64, u32)>,
    fate: Fate,
    /// Partitions that are kept.
    keep: Vec<Kept>,
    /// Start and length of partitions that a step told the kernel of, in bytes.
    placed: Mutex<BTreeMap<u32, (u64, u64)>>,
    area: BootArea,
}

/// Locked unless somebody else holds a lock: then it works without.
#[derive(Debug)]
enum Handle {
    Locked(Flock<File>),
    Plain(File),
}

impl Handle {
    fn file(&self) -> &File {
        match self {
            Self::Locked(lock) => lock,
            Self::Plain(file) => file,
        }
    }
}

impl BoundDisk {
    /// `seen` is the disk in the inventory.
    pub(super) fn open_planned(
        planned: &PlannedDisk,
        seen: Option<&Disk>,
        paths: &Paths,
        nodes: &Path,
    ) -> Result<Self, ApplyError> {
        let name = match planned.device.strip_prefix('/') {
            Some(_) => PathBuf::from(&planned.device),
            None => paths.dev.join(&planned.device),
        };
        let failed = |source| proof::gone_or(&name, source);
        // Opening a disk that hangs may hang too.
        let known = fs::metadata(&name).map_err(failed)?.rdev();
        let listed = text(&sysfs_of(&paths.sys, known), "diskseq").and_then(|text| text.parse().ok());
        if hung::is((known, listed)) {
            return Err(ApplyError::KeptOff { device: name });
        }
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&name).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.file_type().is_block_device() {
            return Err(KernelError::NotBlock { device: name }.into());
        }
        let number = metadata.rdev();
        let sequence = blockdev::disk_sequence(&file).ok();
        if hung::is((number, sequence)) {
            return Err(ApplyError::KeptOff { device: name });
        }
        let (size, sector) =
            blockdev::size(&file).and_then(|size| Ok((size, blockdev::logical_sector(&file)?))).map_err(failed)?;
        let sysfs = sysfs_of(&paths.sys, number);
        let wwid = text(&sysfs, "wwid").or_else(|| text(&sysfs, "device/wwid"));
        let opened = OpenedDisk {
            device: name.display().to_string(),
            model: planned.model.clone(),
            serial: planned.serial.clone(),
            wwid,
            sequence,
            size,
            logical_block_size: sector,
            paths: Vec::new(),
        };
        planned::is(&opened, planned, seen, &sysfs)?;
        let mut multipath = match planned.paths.len() > 1 && planned.fate == Fate::Overwritten {
            true => Multipath::assemble(planned, &opened, &file, paths)?,
            false => None,
        };
        let (file, node, number, sequence) = match &mut multipath {
            Some(map) => {
                let (file, node) = map.open(nodes, &opened)?;
                (file, node, map.number(), map.sequence())
            }
            None => {
                let kernel_name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let node = node::make(nodes, &kernel_name, (libc::major(number), libc::minor(number)))?;
                (file, node, number, sequence)
            }
        };
        Ok(Self {
            file: lock(file, &name),
            multipath,
            area: BootArea::keeping(
                size,
                sector,
                disk::KeptRanges::new(planned.keep.iter().map(|one| one.start..one.end()), None),
            ),
            keep: planned.keep.clone(),
            shape: Mutex::new((size, sector)),
            placed: Mutex::default(),
            nodes: nodes.to_owned(),
            sys: paths.sys.clone(),
            dev: paths.dev.clone(),
            name,
            node,
            number,
            sequence,
            opened,
            fate: planned.fate,
        })
    }

    pub fn name(&self) -> &Path {
        &self.name
    }

    /// For the receipt.
    pub fn opened(&self) -> OpenedDisk {
        let paths = self.multipath.as_ref().map(Multipath::opened).unwrap_or_default();
        OpenedDisk { paths, ..self.opened.clone() }
    }

    /// Paths that have failed since this was asked last, and how many are left.
    pub fn newly_failed(&self) -> Vec<(PathBuf, usize)> {
        self.multipath.as_ref().map(Multipath::newly_failed).unwrap_or_default()
    }

    pub fn size(&self) -> u64 {
        self.shape().0
    }

    /// Logical sectors, bytes.
    pub fn sector(&self) -> u32 {
        self.shape().1
    }

    fn shape(&self) -> (u64, u32) {
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds the disk again after its sector size was changed: it must be the same disk, with this size and sector
    /// size. Nothing of it may be withheld.
    pub fn reshape(&self, size: u64, sector: u32) -> Result<(), ApplyError> {
        self.usable()?;
        let file = self.file.file();
        let failed = |source| proof::gone_or(&self.name, source);
        let sequence = blockdev::disk_sequence(file).ok();
        if sequence != self.sequence {
            let words = |sequence: Option<u64>| sequence.map_or("none".to_owned(), |number| number.to_string());
            return Err(self.other("disk sequence", words(self.sequence), words(sequence)));
        }
        let found = (blockdev::size(file).map_err(failed)?, blockdev::logical_sector(file).map_err(failed)?);
        if found != (size, sector) {
            let words = |(size, sector): (u64, u32)| format!("{size} bytes in sectors of {sector}");
            return Err(ApplyError::Formatted {
                device: self.name.clone(),
                wanted: words((size, sector)),
                found: words(found),
            });
        }
        self.area.reshape(&self.name, size, sector)?;
        *self.shape.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// The file for device commands, on exactly the bound disk.
    pub fn held(&self) -> Result<&File, ApplyError> {
        self.usable()?;
        Ok(self.file.file())
    }

    /// Whether this plan overwrites it.
    pub fn was_written(&self) -> bool {
        self.fate == Fate::Overwritten
    }

    /// Partitions that are kept.
    pub fn keep(&self) -> &[Kept] {
        &self.keep
    }

    /// The directory of our own nodes.
    pub fn directory(&self) -> PathBuf {
        self.nodes.clone()
    }

    /// Its bootable parts.
    pub fn area(&self) -> &BootArea {
        &self.area
    }

    /// The kernel's view of it.
    pub fn kernel(&self) -> Result<KernelDisk, ApplyError> {
        self.usable()?;
        let file = self.file.file().try_clone();
        let file = file.map_err(|source| ApplyError::Open { device: self.name.clone(), source })?;
        Ok(KernelDisk::over(&self.name, file, self.number, &self.sys, &self.dev))
    }

    /// Sets the kernel's partitions to those of the table, and records where they are.
    pub fn tell_kernel(&self, extents: &[Extent]) -> Result<(), ApplyError> {
        match &self.multipath {
            Some(map) => {
                self.usable()?;
                map.keep(extents)?;
                map.note(extents);
            }
            None => drop(self.kernel()?.sync(extents)?),
        }
        let placed = extents.iter().map(|extent| (extent.number, (extent.start, extent.length))).collect();
        *self.placed.lock().unwrap_or_else(PoisonError::into_inner) = placed;
        Ok(())
    }

    /// From now on nothing is done with the disk.
    pub fn keep_off(&self, until: Until) {
        hung::note((self.number, self.sequence), until);
    }

    pub fn is_hung(&self) -> bool {
        hung::is((self.number, self.sequence))
    }

    /// The completed requests with their sectors, and the requests in flight, from `/sys/dev/block/M:m/stat`
    /// (Documentation/block/stat.rst). `None` if the kernel does not count them.
    pub fn requests(&self) -> Option<Requests> {
        Requests::of(&self.sysfs())
    }

    pub(super) fn usable(&self) -> Result<(), ApplyError> {
        match self.is_hung() {
            true => Err(ApplyError::KeptOff { device: self.name.clone() }),
            false => Ok(()),
        }
    }

    /// Numbers of the partitions that can be opened.
    pub fn partitions(&self) -> Result<Vec<u32>, ApplyError> {
        match &self.multipath {
            Some(_) => Ok(self.placed.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()),
            None => Ok(self.kernel()?.partitions()?.into_keys().collect()),
        }
    }

    pub(super) fn partition(&self, number: u32) -> Result<Known, ApplyError> {
        let missing = || KernelError::NoPartition { device: self.name.clone(), number };
        if let Some(map) = &self.multipath {
            return map.partition(number, self.placed(number).ok_or_else(missing)?, &self.nodes);
        }
        let mut all = self.kernel()?.partitions()?;
        Ok(all.remove(&number).ok_or_else(missing)?)
    }

    /// Nothing but the whole of it is open from here on.
    pub(super) fn close_partitions(&self) -> Result<(), ApplyError> {
        self.multipath.as_ref().map_or(Ok(()), |map| map.keep(&[]))
    }

    pub(super) fn placed(&self, number: u32) -> Option<(u64, u64)> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied()
    }

    /// `/dev/NAME` of a partition.
    pub(super) fn sibling(&self, name: &str) -> PathBuf {
        self.dev.join(name)
    }

    pub(super) fn node(&self) -> &Path {
        &self.node
    }

    pub(super) fn nodes(&self) -> &Path {
        &self.nodes
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// Of what has this number: of the disk, also for its partitions, unless they are maps.
    pub(super) fn sequence_of(&self, number: u64) -> Option<u64> {
        self.multipath.as_ref().and_then(|map| map.sequence_of(number)).unwrap_or(self.sequence)
    }

    pub(super) fn other(&self, what: &str, planned: String, found: String) -> ApplyError {
        planned::other(&self.name, what, planned, found)
    }

    /// `/sys/dev/block/MAJOR:MINOR`.
    pub fn sysfs(&self) -> PathBuf {
        sysfs_of(&self.sys, self.number)
    }
}

fn sysfs_of(sys: &Path, number: u64) -> PathBuf {
    sys.join(format!("dev/block/{}:{}", libc::major(number), libc::minor(number)))
}

fn lock(file: File, name: &Path) -> Handle {
    let deadline = Instant::now() + LOCK_PATIENCE;
    let mut file = file;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Handle::Locked(lock),
            Err((back, nix::Error::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = back;
                std::thread::sleep(Duration::from_millis(50));
            }
            Err((back, error)) => {
                log::warn!("{}: another process holds a lock on it; continuing without one: {error}", name.display());
                return Handle::Plain(back);
            }
        }
    }
}

/// The contents of an attribute, trimmed.
pub(super) fn text(sysfs: &Path, name: &str) -> Option<String> {
    fs::read_to_string(sysfs.join(name)).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

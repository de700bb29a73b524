//! Several paths to one disk, taken together by the kernel: one map of dm-multipath over all of them, which is the disk for
//! everybody here. The kernel uses the best path and sends what another one has failed on again by the next; whoever writes
//! through the map, mkfs and mounted filesystems included, sees one disk that goes on.
//!
//! The kernel makes no partitions on a map: each is a map of its own (dm-linear), made when it is first asked for.

use super::super::{ApplyError, Paths, mapped};
use super::disk::text;
use super::{contents, hung};
use crate::finalize::adjust::Extent;
use crate::finalize::kernel::{KernelDisk, Known};
use crate::protocol::plan::PlannedDisk;
use crate::protocol::receipt::{OpenedDisk, OpenedPath};
use crate::sys::{blockdev, mapper};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Identities in device-mapper of what is made here begin so; those of multipathd begin with `mpath-`.
const OURS: &str = "BURIN-";
/// Somebody who looks (a probe, an inventory) may have a map open for a moment.
const PATIENCE: Duration = Duration::from_secs(5);
/// device-mapper counts in these.
const SECTOR: u64 = 512;

#[derive(Debug)]
pub struct Multipath {
    /// For people: the path that the plan names.
    name: PathBuf,
    /// device-mapper's.
    map: String,
    number: (u32, u32),
    sequence: Option<u64>,
    sys: PathBuf,
    dev: PathBuf,
    control: PathBuf,
    /// In the order in which they are used. Held open, so that their numbers stay theirs.
    paths: Vec<OnePath>,
    partitions: Mutex<BTreeMap<u32, Part>>,
    /// Numbers of paths that are known to have failed.
    failed: Mutex<BTreeSet<(u32, u32)>>,
    /// Partitions that the order made, for the kernel's own list once the map is gone.
    left: Mutex<Vec<Extent>>,
}

#[derive(Debug)]
struct OnePath {
    name: PathBuf,
    file: File,
    number: (u32, u32),
}

/// A partition that has a map.
#[derive(Debug, Clone)]
struct Part {
    known: Known,
    sequence: Option<u64>,
}

impl Multipath {
    /// `head` is the path that the plan names, open and looked at. None where no other is left.
    pub fn assemble(
        planned: &PlannedDisk,
        head: &OpenedDisk,
        file: &File,
        paths: &Paths,
    ) -> Result<Option<Self>, ApplyError> {
        let name = PathBuf::from(&head.device);
        let failed = |source| ApplyError::Paths { device: name.clone(), source };
        let number = pair(file.metadata().map_err(failed)?.rdev());
        let mut all = vec![OnePath { name: name.clone(), file: file.try_clone().map_err(failed)?, number }];
        for path in planned.paths.iter().filter(|path| path.device != planned.device) {
            let device = paths.dev.join(&path.device);
            match open(&device, head, &paths.sys)
                .and_then(|found| holds_the_same(&found, &name, head.size).map(|()| found))
            {
                Ok(found) => all.push(found),
                Err(why) => log::warn!("{}: is not used as a path to {}: {why}", device.display(), name.display()),
            }
        }
        if all.len() < 2 {
            return Ok(None);
        }
        mapped::control(paths)?;
        ["dm-multipath", "dm-round-robin"].iter().for_each(|module| mapped::load(paths, module));
        for path in &all {
            // What the kernel found in the old table; a map has none.
            KernelDisk::over(
                &path.name,
                path.file.try_clone().map_err(failed)?,
                rdev(path.number),
                &paths.sys,
                &paths.dev,
            )
            .sync(&[])?;
        }
        let control = paths.dev.join("mapper/control");
        let map = format!("burin-{}", name.file_name().unwrap_or_default().to_string_lossy());
        let numbers: Vec<(u32, u32)> = all.iter().map(|path| path.number).collect();
        let (uuid, parameters) = (format!("{OURS}mpath-{}", planned.identity.value), table(&numbers));
        let target = mapper::Target { kind: "multipath", sectors: head.size / SECTOR, parameters: &parameters };
        let number = patiently(|| mapper::create(&control, &map, &uuid, target)).map_err(failed)?;
        log::info!("{}: is written by {} paths, the first of them at once", name.display(), all.len());
        Ok(Some(Self {
            name,
            map,
            number,
            sequence: None,
            sys: paths.sys.clone(),
            dev: paths.dev.clone(),
            control,
            paths: all,
            partitions: Mutex::default(),
            failed: Mutex::default(),
            left: Mutex::default(),
        }))
    }

    /// Opens the map by a node of our own. It has to be as large as the disk, with its sectors.
    pub fn open(&mut self, nodes: &Path, disk: &OpenedDisk) -> Result<(File, PathBuf), ApplyError> {
        let failed = |source| ApplyError::Paths { device: self.name.clone(), source };
        let node = super::node::make(nodes, &kernel_name(self.number), self.number)?;
        let file = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open(&node).map_err(failed)?;
        let found = blockdev::size(&file).and_then(|size| Ok((size, blockdev::logical_sector(&file)?)));
        if found.map_err(failed)? != (disk.size, disk.logical_block_size) {
            return Err(failed(io::Error::other("the map over them has another size")));
        }
        self.sequence = blockdev::disk_sequence(&file).ok();
        Ok((file, node))
    }

    pub fn number(&self) -> u64 {
        rdev(self.number)
    }

    pub fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// Of the map with this number, if it is a partition's.
    pub fn sequence_of(&self, number: u64) -> Option<Option<u64>> {
        let partitions = self.partitions();
        partitions.values().find(|part| rdev(part.known.device) == number).map(|part| part.sequence)
    }

    /// Takes away the maps of all partitions that are not these.
    pub fn keep(&self, extents: &[Extent]) -> Result<(), ApplyError> {
        let stays = |number: u32, known: &Known| {
            extents.iter().any(|one| (one.number, one.start, one.length) == (number, known.start, known.length))
        };
        let mut partitions = self.partitions();
        let gone: Vec<u32> = partitions
            .iter()
            .filter(|(number, part)| !stays(**number, &part.known))
            .map(|(number, _)| *number)
            .collect();
        for number in gone {
            if let Some(part) = partitions.get(&number) {
                self.remove(part.known.device)?;
            }
            partitions.remove(&number);
        }
        Ok(())
    }

    /// What the table has by now.
    pub fn note(&self, extents: &[Extent]) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = extents.to_vec();
    }

    /// The map of a partition that lies there, made where there is none yet.
    pub fn partition(&self, number: u32, (start, length): (u64, u64), nodes: &Path) -> Result<Known, ApplyError> {
        let failed = |source| ApplyError::Paths { device: self.name.clone(), source };
        let mut partitions = self.partitions();
        if let Some(part) = partitions.get(&number)
            && (part.known.start, part.known.length) == (start, length)
        {
            return Ok(part.known.clone());
        }
        if let Some(part) = partitions.remove(&number) {
            self.remove(part.known.device)?;
        }
        let (name, uuid) = (format!("{}-part{number}", self.map), format!("{OURS}part{number}-{}", self.map));
        let parameters = format!("{}:{} {}", self.number.0, self.number.1, start / SECTOR);
        let target = mapper::Target { kind: "linear", sectors: length / SECTOR, parameters: &parameters };
        let device = patiently(|| mapper::create(&self.control, &name, &uuid, target)).map_err(failed)?;
        let known = Known { name: kernel_name(device), device, start, length };
        let node = super::node::make(nodes, &known.name, device)?;
        let sequence = File::open(&node).and_then(blockdev::disk_sequence).ok();
        partitions.insert(number, Part { known: known.clone(), sequence });
        Ok(known)
    }

    fn remove(&self, number: (u32, u32)) -> Result<(), ApplyError> {
        let removed = patiently(|| mapper::remove(&self.control, number));
        removed.map_err(|source| ApplyError::Paths { device: self.name.clone(), source })
    }

    /// Paths that have failed since this was asked last, and how many are left.
    pub fn newly_failed(&self) -> Vec<(PathBuf, usize)> {
        let Ok(status) = mapper::status(&self.control, self.number) else { return Vec::new() };
        let now = failed(&status);
        let mut known = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.paths.iter().filter(|path| !now.contains(&path.number)).count();
        let new = self.paths.iter().filter(|path| now.contains(&path.number) && !known.contains(&path.number));
        let told = new.map(|path| (path.name.clone(), left)).collect();
        known.extend(now);
        told
    }

    /// For the receipt.
    pub fn opened(&self) -> Vec<OpenedPath> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let path = |path: &OnePath| OpenedPath {
            device: path.name.display().to_string(),
            failed: failed.contains(&path.number),
        };
        self.paths.iter().map(path).collect()
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<u32, Part>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Multipath {
    /// The disk is left to the kernel as it was found: its paths, each with the partitions of the new table.
    fn drop(&mut self) {
        if hung::is((self.number(), self.sequence)) {
            return;
        }
        let removed = self.keep(&[]).and_then(|()| self.remove(self.number));
        if let Err(error) = removed {
            return log::warn!("{}: the map over its paths stays: {error}", self.name.display());
        }
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for path in &self.paths {
            let Ok(file) = path.file.try_clone() else { continue };
            let disk = KernelDisk::over(&path.name, file, rdev(path.number), &self.sys, &self.dev);
            if let Err(error) = disk.sync(&left) {
                log::debug!("{}: its partitions are not told to the kernel: {error}", path.name.display());
            }
        }
    }
}

/// Takes away maps that an agent which was killed has left. What is in use stays, and keeps its disk.
pub fn forget_maps(paths: &Paths) {
    let control = paths.dev.join("mapper/control");
    // Partitions first: they lie on the others.
    for start in ["part", "mpath-"] {
        for name in mapped::with_uuid(&paths.sys, &format!("{OURS}{start}")) {
            let number = text(&paths.sys.join("class/block").join(&name), "dev");
            let Some(number) = number.as_deref().and_then(parse) else { continue };
            match mapper::remove(&control, number) {
                Ok(()) => log::info!("{name}: the map that an earlier agent left is taken away"),
                Err(error) => log::warn!("{name}: the map that an earlier agent left stays: {error}"),
            }
        }
    }
}

/// Another path, open: it has to lead to the same disk.
fn open(device: &Path, head: &OpenedDisk, sys: &Path) -> io::Result<OnePath> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    let known = fs::metadata(device)?.rdev();
    let listed = sysfs(sys, known);
    let sequence = text(&listed, "diskseq").and_then(|text| text.parse().ok());
    if hung::is((known, sequence)) {
        return Err(io::Error::other("it hangs"));
    }
    let file = OpenOptions::new().read(true).custom_flags(flags).open(device)?;
    let number = file.metadata()?.rdev();
    let wwid = text(&sysfs(sys, number), "device/wwid").or_else(|| text(&sysfs(sys, number), "wwid"));
    let found = (wwid, blockdev::size(&file)?, blockdev::logical_sector(&file)?);
    if found.0.is_none() || found != (head.wwid.clone(), head.size, head.logical_block_size) {
        return Err(io::Error::other(format!("it leads to another disk: {found:?}")));
    }
    Ok(OnePath { name: device.to_owned(), file, number: pair(number) })
}

/// Read without the page cache, which each path has for itself.
fn holds_the_same(path: &OnePath, head: &Path, size: u64) -> io::Result<()> {
    let flags = libc::O_CLOEXEC | libc::O_DIRECT;
    let direct = |device: &Path| OpenOptions::new().read(true).custom_flags(flags).open(device);
    let (one, other) = (direct(head)?, direct(&path.name)?);
    if other.metadata()?.rdev() != rdev(path.number) {
        return Err(io::Error::other("it was exchanged"));
    }
    contents::same(&one, &other, size)
}

fn sysfs(sys: &Path, number: u64) -> PathBuf {
    let (major, minor) = pair(number);
    sys.join(format!("dev/block/{major}:{minor}"))
}

/// Of dm-multipath (drivers/md/dm-mpath.c): one group for each path, so that one is used until it fails. A handler that the
/// kernel has found for the target (ALUA) stays, and no request waits for a path that may come back.
fn table(paths: &[(u32, u32)]) -> String {
    let groups: String = paths.iter().map(|(major, minor)| format!(" round-robin 0 1 0 {major}:{minor}")).collect();
    format!("1 retain_attached_hw_handler 0 {} 1{groups}", paths.len())
}

/// Paths with `F` in what dm-multipath says of itself.
fn failed(status: &str) -> BTreeSet<(u32, u32)> {
    let words: Vec<&str> = status.split_whitespace().collect();
    words.windows(2).filter_map(|two| if let [path, "F"] = two { parse(path) } else { None }).collect()
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn pair(number: u64) -> (u32, u32) {
    (libc::major(number), libc::minor(number))
}

fn rdev((major, minor): (u32, u32)) -> u64 {
    libc::makedev(major, minor)
}

/// Devices of device-mapper are called by their minor number (`alloc_dev` in drivers/md/dm.c).
fn kernel_name((_, minor): (u32, u32)) -> String {
    format!("dm-{minor}")
}

fn patiently<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match act() {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Documentation/admin-guide/device-mapper/dm-multipath; read off a kernel with two paths of which one was pulled.
    #[test]
    fn one_path_after_the_other_and_which_has_failed() {
        assert_eq!(
            table(&[(8, 16), (65, 0)]),
            "1 retain_attached_hw_handler 0 2 1 round-robin 0 1 0 8:16 round-robin 0 1 0 65:0"
        );
        assert_eq!(failed("2 0 0 0 2 1 A 0 1 0 8:16 A 0 E 0 1 0 65:0 A 0"), BTreeSet::new());
        assert_eq!(failed("2 0 1 0 2 2 E 0 1 0 8:16 F 1 A 0 1 0 65:0 A 0"), [(8, 16)].into());
        assert_eq!(failed("2 0 1 1 alua 2 0 D 0 1 0 8:16 F 1 D 0 1 0 65:0 F 2"), [(8, 16), (65, 0)].into());
        assert_eq!(failed("F 8:16"), BTreeSet::new());
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let head = OpenedDisk {
            device: "/dev/sda".to_owned(),
            model: None,
            serial: None,
            wwid: None,
            sequence: None,
            size: 1 << 20,
            logical_block_size: 512,
            paths: Vec::new(),
        };
        assert!(open(&dir.path().join("sdb"), &head, dir.path()).is_err());
        // Also two that have no name are not the same one.
        assert!(open(Path::new("/dev/null"), &head, dir.path()).is_err());
    }
}

//! Takes down device-mapper volumes, caches and swap that the running kernel has on planned disks.

use super::{ApplyError, Perform, Ramdisk, StopVolumes, Work};
use crate::apply::holders::{self, Held};
use crate::protocol::plan::steps::{MappedVolume, VolumeKind};
use crate::sys::{mapper, swap};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A probe or an inventory may hold the volume open for a moment; a cache must be written back.
const PATIENCE: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);

/// A device that was taken down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StopVolumeReceipt {
    pub device: String,
    pub kind: VolumeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Perform for StopVolumes {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let (sys, dev) = (&work.paths.sys, &work.paths.dev);
        let mut below = Vec::new();
        for &index in &self.disks {
            below.push(work.disks.disk(index)?.sysfs());
        }
        let receipts = match self.kind {
            VolumeKind::Swap => swaps(&below, sys, Path::new("/proc/swaps"), &swap::off)?,
            VolumeKind::Bcache => caches(&below, sys, dev)?,
            kind => mapped(kind, &self.volumes, &below, sys, dev, &|number| {
                mapper::remove(&dev.join("mapper/control"), number)
            })?,
        };
        for receipt in receipts {
            work.note("stop-volumes", &receipt.device, &receipt);
        }
        Ok(())
    }
}

/// All device-mapper devices on these disks that the plan names. Others stay, together with what is below them.
fn mapped(
    kind: VolumeKind,
    wanted: &[MappedVolume],
    below: &[PathBuf],
    sys: &Path,
    dev: &Path,
    remove: &dyn Fn((u32, u32)) -> io::Result<()>,
) -> Result<Vec<StopVolumeReceipt>, ApplyError> {
    let mut receipts = Vec::new();
    for held in holders::above(below, sys) {
        let said = |name: &str| text(&held.sysfs.join("dm").join(name));
        let found = MappedVolume { name: said("name"), uuid: said("uuid") };
        if !wanted.contains(&found) {
            continue;
        }
        let device = dev.join(&held.name);
        let number = text(&held.sysfs.join("dev")).and_then(|text| {
            let (major, minor) = text.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        let failed = |source| ApplyError::StopVolume { volume: device.clone(), source };
        let number = number.ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        patiently(|| remove(number)).map_err(failed)?;
        receipts.push(StopVolumeReceipt { device: device.display().to_string(), kind, name: found.name });
    }
    Ok(receipts)
}

/// Swap on one of the disks, on a partition of them, or on a device above them.
fn swaps(
    below: &[PathBuf],
    sys: &Path,
    table: &Path,
    off: &dyn Fn(&Path) -> io::Result<()>,
) -> Result<Vec<StopVolumeReceipt>, ApplyError> {
    let here: BTreeSet<String> = holders::numbers(below, sys);
    let table = fs::read_to_string(table).unwrap_or_default();
    let mut receipts = Vec::new();
    // proc(5): a header line, then lines that start with the path.
    for path in table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(Path::new) {
        let number = fs::metadata(path).map(|found| found.rdev());
        let number = number.map(|number| format!("{}:{}", libc::major(number), libc::minor(number)));
        if number.is_ok_and(|number| here.contains(&number)) {
            off(path).map_err(|source| ApplyError::StopVolume { volume: path.to_owned(), source })?;
            receipts.push(StopVolumeReceipt { device: path.display().to_string(), kind: VolumeKind::Swap, name: None });
        }
    }
    Ok(receipts)
}

/// The devices first, then the caches behind them (Documentation/admin-guide/bcache.rst, "Sysfs"). The kernel releases
/// them once their contents have been written back.
fn caches(below: &[PathBuf], sys: &Path, dev: &Path) -> Result<Vec<StopVolumeReceipt>, ApplyError> {
    let mut receipts = Vec::new();
    for Held { name, sysfs } in holders::above(below, sys) {
        if sysfs.join("bcache/stop").exists() {
            let device = dev.join(&name);
            stop(&sysfs.join("bcache/stop"), &sysfs.join("bcache"), &device)?;
            receipts.push(StopVolumeReceipt {
                device: device.display().to_string(),
                kind: VolumeKind::Bcache,
                name: None,
            });
        }
    }
    for directory in holders::parts(below) {
        for stop_file in ["bcache/set/stop", "bcache/stop"] {
            if directory.join(stop_file).exists() {
                let device = dev.join(directory.file_name().unwrap_or_default());
                stop(&directory.join(stop_file), &directory.join("bcache"), &device)?;
            }
        }
    }
    Ok(receipts)
}

/// Requests a stop, and waits until `gone` has disappeared.
fn stop(file: &Path, gone: &Path, device: &Path) -> Result<(), ApplyError> {
    let failed = |source| ApplyError::StopVolume { volume: device.to_owned(), source };
    match fs::write(file, "1") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    patiently(|| if gone.exists() { Err(io::Error::from_raw_os_error(libc::EBUSY)) } else { Ok(()) }).map_err(failed)
}

/// Retries for a while if it is busy. If it is gone, it is done.
fn patiently(act: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match act() {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(TICK);
            }
            other => return other,
        }
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;

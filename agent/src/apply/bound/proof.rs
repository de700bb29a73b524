//! Opens a bound disk or partition and verifies that it is still the same one.

use super::super::ApplyError;
use super::{BoundDisk, Part, hung, node};
use crate::disk::{DiskError, Target};
use crate::finalize::device::Device;
use crate::finalize::kernel::Known;
use crate::image::ImageError;
use crate::sys::blockdev;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The purpose of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A disk or partition that was verified after it was opened. While this lives, `node` leads to it.
#[derive(Debug)]
pub struct Proven {
    file: Careful,
    node: PathBuf,
    name: PathBuf,
    number: Option<u32>,
    /// For a whole disk: bytes that are never written.
    kept: Vec<Range<u64>>,
}

/// A file that is left open if its disk hangs: closing takes a lock of the disk, which a thread that waits for the disk
/// may hold for ever.
#[derive(Debug)]
struct Careful {
    file: Option<File>,
    disk: Option<(u64, Option<u64>)>,
}

impl Careful {
    fn of(disk: &BoundDisk, file: File) -> Self {
        Self { file: Some(file), disk: Some((disk.number(), disk.sequence())) }
    }

    fn take(mut self) -> io::Result<File> {
        self.file.take().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for Careful {
    fn drop(&mut self) {
        if self.disk.is_some_and(hung::is) {
            std::mem::forget(self.file.take());
        }
    }
}

impl Proven {
    /// For mount(2) and programs, which open it themselves.
    pub fn node(&self) -> &Path {
        &self.node
    }

    /// For display: `/dev/sda3`.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The name used in receipts.
    pub fn device(&self) -> String {
        self.name.display().to_string()
    }

    /// Number of the partition.
    pub fn number(&self) -> Option<u32> {
        self.number
    }

    /// For sector-wise access.
    pub fn into_device(self) -> Result<Device, ApplyError> {
        let name = self.name.clone();
        let taken = self.file.take().and_then(|file| Device::over(self.name, file));
        let taken = taken.map(|device| device.keeping(self.kept));
        taken.map_err(|source| ApplyError::Open { device: name, source })
    }

    /// A device that is neither a partition nor a disk of the plan, verified by the caller.
    pub(in super::super) fn array(file: File, node: PathBuf, name: PathBuf) -> Self {
        Self { file: Careful { file: Some(file), disk: None }, node, name, number: None, kept: Vec::new() }
    }
}

impl BoundDisk {
    /// Opens the disk or a partition of it, bypassing the page cache. The kernel must already know the partition.
    pub fn open(&self, part: Part, access: Access) -> Result<Proven, ApplyError> {
        self.usable()?;
        match part {
            Part::Whole => {
                let file = self.reopen(self.node(), self.name(), access)?;
                self.prove(&file, self.number(), self.name())?;
                let size = blockdev::size(&file).map_err(|source| gone_or(self.name(), source))?;
                if size != self.size() {
                    return Err(self.other("size", self.size().to_string(), size.to_string()));
                }
                let (file, kept) = (Careful::of(self, file), self.area().kept().ranges().to_vec());
                Ok(Proven { file, node: self.node().to_owned(), name: self.name().to_owned(), number: None, kept })
            }
            Part::Number(number) => {
                if access == Access::Write {
                    self.may_write(number)?;
                }
                let known = self.partition(number)?;
                self.expected(number, &known)?;
                let name = self.sibling(&known.name);
                let node = node::make(self.nodes(), &known.name, known.device)?;
                let file = self.reopen(&node, &name, access)?;
                let (major, minor) = known.device;
                self.prove(&file, libc::makedev(major, minor), &name)?;
                // The number was looked up by name: the opened device must be the one that was found.
                if self.partition(number)? != known {
                    return Err(self.other("partition", number.to_string(), "another one by now".to_owned()));
                }
                Ok(Proven { file: Careful::of(self, file), node, name, number: Some(number), kept: Vec::new() })
            }
        }
    }

    /// The whole disk for writing, held exclusively.
    pub fn target(&self) -> Result<Target, ApplyError> {
        self.usable()?;
        self.close_partitions()?;
        let opened = Target::open_device_as(self.node(), self.name());
        let target = opened.map_err(|error| self.gone_or_failed(error))?;
        self.prove(&target.file(), self.number(), self.name())?;
        Ok(target.keeping(self.area().kept()))
    }

    /// A partition for writing, held exclusively.
    pub fn partition_target(&self, number: u32) -> Result<Target, ApplyError> {
        // Whatever is opened has been verified.
        let proven = self.open(Part::Number(number), Access::Write)?;
        let opened = Target::open_device_as(proven.node(), proven.name());
        let target = opened.map_err(|error| self.gone_or_failed(error))?;
        let known = self.partition(number)?.device;
        self.prove(&target.file(), libc::makedev(known.0, known.1), proven.name())?;
        Ok(target)
    }

    /// A kept partition is never opened for writing.
    fn may_write(&self, number: u32) -> Result<(), ApplyError> {
        match self.keep().iter().find(|one| one.number == number) {
            None => Ok(()),
            Some(one) => {
                let (device, offset) = (self.name().to_owned(), one.start);
                Err(ImageError::from(DiskError::Kept { device, offset, kept: one.start..one.end() }).into())
            }
        }
    }

    /// The node exists as long as this lives: if it leads nowhere, the disk was removed.
    fn gone_or_failed(&self, error: DiskError) -> ApplyError {
        match error {
            DiskError::NotFound { .. } => ApplyError::Gone { device: self.name().to_owned() },
            error => ImageError::from(error).into(),
        }
    }

    fn reopen(&self, node: &Path, name: &Path, access: Access) -> Result<File, ApplyError> {
        let mut options = OpenOptions::new();
        options.read(true).write(access == Access::Write).custom_flags(libc::O_DIRECT | libc::O_CLOEXEC);
        options.open(node).map_err(|source| gone_or(name, source))
    }

    /// The device number is that of the node; the disk sequence proves that the disk is ours.
    fn prove(&self, file: &File, number: u64, name: &Path) -> Result<(), ApplyError> {
        let opened = file.metadata().map_err(|source| gone_or(name, source))?.rdev();
        if opened != number {
            return Err(self.other("device number", words(number), words(opened)));
        }
        let sequence = blockdev::disk_sequence(file).ok();
        let bound = self.sequence_of(number);
        if sequence != bound {
            let words = |sequence: Option<u64>| sequence.map_or("none".to_owned(), |number| number.to_string());
            return Err(self.other("disk sequence", words(bound), words(sequence)));
        }
        Ok(())
    }

    /// A partition that a step told the kernel of must be where that step put it.
    fn expected(&self, number: u32, known: &Known) -> Result<(), ApplyError> {
        let Some((start, length)) = self.placed(number) else { return Ok(()) };
        if (start, length) == (known.start, known.length) {
            return Ok(());
        }
        let words = |start: u64, length: u64| format!("{length} bytes at {start}");
        let what = format!("partition {number}");
        Err(self.other(&what, words(start, length), words(known.start, known.length)))
    }
}

/// The kernel's error for a removed disk: the number leads nowhere.
pub(super) fn gone_or(device: &Path, source: io::Error) -> ApplyError {
    let device = device.to_owned();
    match source.raw_os_error() {
        Some(libc::ENXIO | libc::ENODEV | libc::ENOENT) => ApplyError::Gone { device },
        _ => ApplyError::Open { device, source },
    }
}

fn words(number: u64) -> String {
    format!("{}:{}", libc::major(number), libc::minor(number))
}

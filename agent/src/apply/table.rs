//! Reads and changes the partition table of a bound disk, including its withheld parts; finds partitions in it.

use super::boot_area::Shadowed;
use super::bound::{Access, BoundDisk, Part, Proven};
use super::work::Work;
use super::{ApplyError, look};
use crate::finalize::adjust::{self, Extent, TableChange, TableReceipt};
use crate::finalize::device::Sectors;
use crate::finalize::gpt::Partition;
use crate::finalize::look::WhichIsRoot;
use crate::finalize::rootfs::{Candidate, RootFilesystem};
use crate::finalize::table::{self, Label, TableError};
use crate::finalize::{layout, mbr};
use crate::plan::kept_entry;
use crate::protocol::order::{PartitionPick, PickName};
use crate::protocol::plan::Kept;
use std::path::PathBuf;
use uuid::Uuid;

/// Offset of the magic number of an ISO 9660 filesystem.
const ISO_MAGIC: u64 = 0x8001;

/// Lets `look` see the disk as it will be.
pub fn with<T>(
    disk: &BoundDisk,
    access: Access,
    look: impl FnOnce(&dyn Sectors) -> Result<T, ApplyError>,
) -> Result<T, ApplyError> {
    let device = disk.open(Part::Whole, access)?.into_device()?;
    look(&Shadowed { disk: &device, area: disk.area() })
}

pub fn read(disk: &BoundDisk) -> Result<Label, ApplyError> {
    with(disk, Access::Read, |sectors| Ok(table::read(sectors)?))
}

/// Changes the table; the kernel's partitions follow. A hybrid ISO that is not to be changed stays as it is, with its
/// table where its boot code and medium check expect it.
pub fn commit(disk: &BoundDisk, change: &TableChange) -> Result<TableReceipt, ApplyError> {
    if *change == TableChange::default() && disk.keep().is_empty() && with(disk, Access::Read, is_iso)? {
        let receipt = with(disk, Access::Read, |sectors| Ok(adjust::look(sectors)?))?;
        follow(disk, &receipt.partitions)?;
        return Ok(receipt);
    }
    let change = &TableChange { keep: kept(disk)?, ..change.clone() };
    let alignment = layout::alignment(disk.kernel()?.optimal_io_size()?);
    let receipt = with(disk, Access::Write, |sectors| Ok(adjust::adjust(sectors, change, alignment)?))?;
    follow(disk, &receipt.partitions)?;
    Ok(receipt)
}

/// The kept partitions as table entries.
pub fn kept(disk: &BoundDisk) -> Result<Vec<Partition>, ApplyError> {
    let entry = |one: &Kept| {
        let missing = || ApplyError::Guid { device: disk.name().display().to_string(), text: one.guid.clone() };
        kept_entry(one, disk.sector()).ok_or_else(missing)
    };
    disk.keep().iter().map(entry).collect()
}

/// Whether a partition is not one that this order puts on the disk.
fn is_kept(disk: &BoundDisk, number: u32) -> bool {
    disk.keep().iter().any(|one| one.number == number)
}

/// The volume descriptor of ISO 9660 (ECMA-119, 8.1).
fn is_iso(sectors: &dyn Sectors) -> Result<bool, ApplyError> {
    let mut magic = [0; 5];
    let failed = |source| ApplyError::Open { device: sectors.path().to_owned(), source };
    if sectors.size() < ISO_MAGIC + 5 {
        return Ok(false);
    }
    sectors.read_at(ISO_MAGIC, &mut magic).map_err(failed)?;
    Ok(magic == *b"CD001")
}

/// Tells the kernel exactly these partitions, and makes sure that their bytes are on the disk.
pub fn follow(disk: &BoundDisk, partitions: &[Extent]) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    disk.area().release(&device, partitions)?;
    disk.tell_kernel(partitions)
}

/// Contents of a whole disk, without a table, are written to the disk from `from` on; what precedes stays withheld.
pub fn let_go(disk: &BoundDisk, from: u64) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    let rest = Extent { number: 0, start: from, length: disk.size().saturating_sub(from), guid: None };
    Ok(disk.area().release(&device, &[rest])?)
}

/// All partitions, as the kernel knows them now; none if the disk has no table.
pub fn partitions(disk: &BoundDisk) -> Result<Vec<Extent>, ApplyError> {
    match commit(disk, &TableChange::default()) {
        Ok(receipt) => Ok(receipt.partitions),
        Err(ApplyError::Table(TableError::Missing { .. })) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub fn guid(disk: &BoundDisk, text: &str) -> Result<Uuid, ApplyError> {
    let device = || disk.name().display().to_string();
    text.parse().map_err(|_| ApplyError::Guid { device: device(), text: text.to_owned() })
}

/// The number of the partition with this GUID.
pub fn by_guid(disk: &BoundDisk, guid: Uuid) -> Result<Option<u32>, ApplyError> {
    Ok(match read(disk)? {
        Label::Gpt(table) => table.partitions().iter().find(|one| one.guid == guid).map(|one| one.number),
        Label::Mbr(_) => None,
    })
}

/// The number of the last partition of an MBR.
pub fn last_of_mbr(disk: &BoundDisk) -> Result<Option<u32>, ApplyError> {
    Ok(match read(disk)? {
        Label::Gpt(_) => None,
        Label::Mbr(entries) => entries.iter().max_by_key(|one| one.first_lba).map(|last| last.number),
    })
}

/// Opens a partition of an image.
pub fn open(work: &Work, disk: &BoundDisk, pick: PartitionPick, access: Access) -> Result<Proven, ApplyError> {
    let number = number(work, disk, pick)?;
    // If no step has touched the table yet, the kernel does not know its partitions.
    partitions(disk)?;
    disk.open(Part::Number(number), access)
}

pub fn number(work: &Work, disk: &BoundDisk, pick: PartitionPick) -> Result<u32, ApplyError> {
    match pick {
        PartitionPick::Number(number) => Ok(number),
        PartitionPick::Named(PickName::Last) => {
            let last = match read(disk)? {
                Label::Gpt(table) => {
                    let partitions = table.partitions();
                    let own = partitions.iter().filter(|one| !is_kept(disk, one.number));
                    own.max_by_key(|partition| partition.last_lba).map(|last| last.number)
                }
                Label::Mbr(entries) => mbr::last(&entries).map(|last| last.number),
            };
            let (device, wanted) = (disk.name().to_owned(), "last".to_owned());
            last.ok_or(ApplyError::NoPartition { device, wanted })
        }
        PartitionPick::Named(PickName::Root) => Ok(root(work, disk)?.0.number),
    }
}

/// The partition with the root filesystem, opened.
pub fn root(work: &Work, disk: &BoundDisk) -> Result<(RootFilesystem, Proven), ApplyError> {
    let (candidates, open) = candidates(work, disk)?;
    let nodes = candidates.iter().map(|one| one.node.clone()).collect();
    let question = WhichIsRoot { candidates, mounts: work.paths.mounts.clone(), only: None };
    let found = look::ask(work, disk, nodes, &question)??;
    let proven = open.into_iter().find(|proven| proven.node() == found.node);
    let missing = || ApplyError::NoPartition { device: PathBuf::from(disk.name()), wanted: "root".to_owned() };
    Ok((found, proven.ok_or_else(missing)?))
}

/// Opens a partition for reading. If an array runs over the image's contents there, opens the array, because its
/// contents now belong to the array and the kernel mounts nothing else.
pub fn reading(work: &Work, disk: &BoundDisk, number: u32) -> Result<Proven, ApplyError> {
    match work.array_over(disk, number) {
        Some(array) => array.open(Access::Read),
        None => disk.open(Part::Number(number), Access::Read),
    }
}

/// All partitions except kept ones, opened, with their table entries.
pub fn candidates(work: &Work, disk: &BoundDisk) -> Result<(Vec<Candidate>, Vec<Proven>), ApplyError> {
    let extents: Vec<Extent> = partitions(disk)?.into_iter().filter(|extent| !is_kept(disk, extent.number)).collect();
    let label = read(disk)?;
    let signature = match label {
        Label::Gpt(_) => 0,
        Label::Mbr(_) => signature(disk)?,
    };
    let (mut candidates, mut open) = (Vec::new(), Vec::new());
    for extent in &extents {
        let number = extent.number;
        let entry = match &label {
            Label::Gpt(table) => table.partitions().into_iter().find(|one| one.number == number),
            Label::Mbr(_) => None,
        };
        let proven = reading(work, disk, number)?;
        candidates.push(Candidate {
            number,
            type_guid: entry.as_ref().map(|entry| entry.type_guid),
            guid: match &entry {
                Some(entry) => Some(entry.guid.to_string()),
                None => Some(format!("{signature:08x}-{number:02x}")),
            },
            name: entry.map(|entry| entry.name),
            node: proven.node().to_owned(),
        });
        open.push(proven);
    }
    Ok((candidates, open))
}

/// The disk signature of an MBR, by which firmware and kernel identify it (UEFI 2.10, 5.2.1).
pub fn signature(disk: &BoundDisk) -> Result<u32, ApplyError> {
    let mut first = vec![0; disk.sector() as usize];
    with(disk, Access::Read, |sectors| {
        let failed = |source| ApplyError::Open { device: disk.name().to_owned(), source };
        sectors.read_at(0, &mut first).map_err(failed)
    })?;
    Ok(first.get(440..444).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes))
}

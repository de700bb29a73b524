//! Steps that change a copied partition table, and finding a partition of it.

use super::{ApplyError, Context, wipe};
use crate::finalize::adjust::{self, Grow, TableChange, TableReceipt};
use crate::finalize::device::Device;
use crate::finalize::gpt::Partition;
use crate::finalize::guid::Arch;
use crate::finalize::kernel::KernelDisk;
use crate::finalize::layout::{self, NewPartition};
use crate::finalize::rootfs::{self, Candidate};
use crate::finalize::table::{self, Label};
use crate::protocol::order::{PartitionPick, PickName};
use crate::protocol::plan::{PlannedDisk, PlannedPartition, Step};
use std::path::PathBuf;
use uuid::Uuid;

/// One of the steps that change the table; the kernel's list follows.
pub fn change(context: &Context<'_>, disk: &PlannedDisk, step: &Step) -> Result<TableReceipt, ApplyError> {
    let mut change = TableChange::default();
    match step {
        Step::SetGuids { disk_guid, partitions, .. } => {
            change.disk_guid = disk_guid.as_deref().map(|text| guid(disk, text)).transpose()?;
            for (&number, text) in partitions {
                change.partition_guids.push((number, guid(disk, text)?));
            }
        }
        Step::GrowPartition { partition, leave, .. } => {
            change.grow = Some(match partition {
                PartitionPick::Number(number) => Grow::Number(*number),
                PartitionPick::Named(PickName::Last) => Grow::Last,
                PartitionPick::Named(PickName::Root) => Grow::Number(number(context, disk, *partition)?),
            });
            change.leave = *leave;
        }
        Step::AddPartition { partition, .. } => change.add.push(new_partition(disk, partition)?),
        _ => {}
    }
    commit(context, disk, &change)
}

/// A table with exactly the planned partitions, over whatever there was; the kernel's list follows.
pub fn create(
    context: &Context<'_>,
    disk: &PlannedDisk,
    disk_guid: &str,
    planned: &[PlannedPartition],
) -> Result<TableReceipt, ApplyError> {
    let partitions = exact(disk, planned)?;
    let path = context.path(disk);
    wipe::partitions(context, disk, planned)?;
    let device = Device::open(&path).map_err(|source| ApplyError::Open { device: path.clone(), source })?;
    let receipt = adjust::write_exact(&device, guid(disk, disk_guid)?, &partitions)?;
    KernelDisk::open(&path, &context.paths.sys, &context.paths.dev)?.sync(&receipt.partitions)?;
    Ok(receipt)
}

/// Bytes to LBAs. What is no whole number of sectors was planned for another disk.
fn exact(disk: &PlannedDisk, planned: &[PlannedPartition]) -> Result<Vec<Partition>, ApplyError> {
    let sector = u64::from(disk.logical_block_size).max(1);
    let mut partitions = Vec::with_capacity(planned.len());
    for one in planned {
        let (Some(number), Some(start)) = (one.number, one.start) else {
            return Err(ApplyError::NoPlace { device: disk.device.clone(), name: one.name.clone() });
        };
        let end = start.saturating_add(one.size);
        if !start.is_multiple_of(sector) || !end.is_multiple_of(sector) || one.size == 0 {
            return Err(ApplyError::NoPlace { device: disk.device.clone(), name: one.name.clone() });
        }
        partitions.push(Partition {
            number,
            type_guid: guid(disk, &one.type_guid)?,
            guid: guid(disk, &one.guid)?,
            first_lba: start / sector,
            last_lba: end / sector - 1,
            attributes: 0,
            name: one.name.clone(),
        });
    }
    Ok(partitions)
}

fn commit(context: &Context<'_>, disk: &PlannedDisk, change: &TableChange) -> Result<TableReceipt, ApplyError> {
    let path = context.path(disk);
    let kernel = KernelDisk::open(&path, &context.paths.sys, &context.paths.dev)?;
    let device = Device::open(&path).map_err(|source| ApplyError::Open { device: path.clone(), source })?;
    let receipt = adjust::adjust(&device, change, layout::alignment(kernel.optimal_io_size()?))?;
    kernel.sync(&receipt.partitions)?;
    Ok(receipt)
}

fn new_partition(disk: &PlannedDisk, planned: &PlannedPartition) -> Result<NewPartition, ApplyError> {
    Ok(NewPartition {
        number: planned.number,
        type_guid: guid(disk, &planned.type_guid)?,
        guid: guid(disk, &planned.guid)?,
        name: planned.name.clone(),
        attributes: 0,
        min: planned.size,
        max: Some(planned.size),
    })
}

fn guid(disk: &PlannedDisk, text: &str) -> Result<Uuid, ApplyError> {
    text.parse().map_err(|_| ApplyError::Guid { device: disk.device.clone(), text: text.to_owned() })
}

/// The device node of a partition, which the kernel is told of where it does not know it yet.
pub fn node(context: &Context<'_>, disk: &PlannedDisk, pick: PartitionPick) -> Result<PathBuf, ApplyError> {
    let number = number(context, disk, pick)?;
    let path = context.path(disk);
    Ok(KernelDisk::open(&path, &context.paths.sys, &context.paths.dev)?.node(number)?)
}

/// The partition of this GPT name, which an earlier step made.
pub fn node_by_name(context: &Context<'_>, disk: &PlannedDisk, name: &str) -> Result<PathBuf, ApplyError> {
    let path = context.path(disk);
    let number = match read(context, disk)? {
        Label::Gpt(table) => table.partitions().iter().find(|partition| partition.name == name).map(|one| one.number),
        Label::Mbr(_) => None,
    };
    let missing = || ApplyError::NoPartition { device: path.clone(), wanted: format!("the name {name:?}") };
    let number = number.ok_or_else(missing)?;
    Ok(KernelDisk::open(&path, &context.paths.sys, &context.paths.dev)?.node(number)?)
}

/// The device nodes of all partitions.
pub fn nodes(context: &Context<'_>, disk: &PlannedDisk) -> Result<Vec<PathBuf>, ApplyError> {
    // Nothing to change, but the kernel's list follows the table.
    let extents = commit(context, disk, &TableChange::default())?.partitions;
    let kernel = KernelDisk::open(&context.path(disk), &context.paths.sys, &context.paths.dev)?;
    extents.iter().map(|extent| Ok(kernel.node(extent.number)?)).collect()
}

pub fn read(context: &Context<'_>, disk: &PlannedDisk) -> Result<Label, ApplyError> {
    let path = context.path(disk);
    let device = Device::open_read_only(&path).map_err(|source| ApplyError::Open { device: path, source })?;
    Ok(table::read(&device)?)
}

fn number(context: &Context<'_>, disk: &PlannedDisk, pick: PartitionPick) -> Result<u32, ApplyError> {
    let device = || context.path(disk);
    match pick {
        PartitionPick::Number(number) => Ok(number),
        PartitionPick::Named(PickName::Last) => {
            let last = match read(context, disk)? {
                Label::Gpt(table) => {
                    table.partitions().iter().max_by_key(|partition| partition.last_lba).map(|last| last.number)
                }
                Label::Mbr(entries) => entries
                    .iter()
                    .max_by_key(|one| u64::from(one.first_lba) + u64::from(one.sectors))
                    .map(|last| last.number),
            };
            last.ok_or_else(|| ApplyError::NoPartition { device: device(), wanted: "last".to_owned() })
        }
        PartitionPick::Named(PickName::Root) => Ok(root(context, disk)?.number),
    }
}

/// The partition that holds the root filesystem.
pub fn root(context: &Context<'_>, disk: &PlannedDisk) -> Result<rootfs::RootFilesystem, ApplyError> {
    // Nothing to change, but the kernel's list follows the table.
    let extents = commit(context, disk, &TableChange::default())?.partitions;
    let kernel = KernelDisk::open(&context.path(disk), &context.paths.sys, &context.paths.dev)?;
    let types: Vec<(u32, Uuid)> = match read(context, disk)? {
        Label::Gpt(table) => table.partitions().iter().map(|one| (one.number, one.type_guid)).collect(),
        Label::Mbr(_) => Vec::new(),
    };
    let mut candidates = Vec::new();
    for extent in &extents {
        let type_guid = types.iter().find(|(number, _)| *number == extent.number).map(|(_, guid)| *guid);
        candidates.push(Candidate { number: extent.number, type_guid, node: kernel.node(extent.number)? });
    }
    Ok(rootfs::find(&candidates, Arch::native(), &context.paths.mounts)?)
}

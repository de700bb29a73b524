//! Grows a partition of an image.

use super::{ApplyError, GrowPartition, Perform, Ramdisk, Work};
use crate::apply::bound::{Access, BoundDisk};
use crate::apply::{growth, look, table, wipe};
use crate::finalize::adjust::{Grow, TableChange};
use crate::finalize::filesystem::FilesystemError;
use crate::finalize::look::WhatIsOn;
use crate::finalize::table::read;
use crate::protocol::order::{PartitionPick, PickName};

impl Perform for GrowPartition {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let grow = match self.partition {
            PartitionPick::Number(number) => Grow::Number(number),
            // The last one of the image; a kept partition may lie behind it.
            PartitionPick::Named(PickName::Last) if !disk.keep().is_empty() => {
                Grow::Number(growth::target(work, disk, self.partition)?)
            }
            PartitionPick::Named(PickName::Last) => Grow::Last,
            PartitionPick::Named(PickName::Root) => Grow::Number(growth::target(work, disk, self.partition)?),
        };
        table::with(disk, Access::Read, |sectors| growth::check(sectors, &read(sectors)?, grow))?;
        is_no_swap(work, disk, self.partition)?;
        let change = TableChange { grow: Some(grow), leave: self.leave, ..TableChange::default() };
        let receipt = table::commit(disk, &change)?;
        wipe::gained(disk, &receipt)?;
        work.note("grow-partition", &receipt.device, &receipt);
        Ok(())
    }
}

/// Swap is recognised by its contents too, whatever its type says.
fn is_no_swap(work: &Work, disk: &BoundDisk, pick: PartitionPick) -> Result<(), ApplyError> {
    let number = growth::target(work, disk, pick)?;
    let proven = table::open(work, disk, PartitionPick::Number(number), Access::Read)?;
    let nodes = vec![proven.node().to_owned()];
    let content = match look::ask(work, disk, nodes.clone(), &WhatIsOn { nodes })?.pop() {
        None | Some(Err(FilesystemError::Ambivalent { .. })) => return Ok(()),
        Some(content) => content?,
    };
    match (content.kind.as_deref(), proven.number()) {
        (Some("swap"), Some(number)) => Err(ApplyError::GrowSwap { device: disk.name().to_owned(), number }),
        _ => Ok(()),
    }
}

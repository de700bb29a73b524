//! A partition of an image made larger.

use super::{ApplyError, GrowPartition, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::{growth, table};
use crate::finalize::adjust::{Grow, TableChange};
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
            PartitionPick::Named(PickName::Last) => Grow::Last,
            PartitionPick::Named(PickName::Root) => Grow::Number(table::number(work, disk, self.partition)?),
        };
        table::with(disk, Access::Read, |sectors| growth::check(sectors, &read(sectors)?, grow))?;
        let change = TableChange { grow: Some(grow), leave: self.leave, ..TableChange::default() };
        let receipt = table::commit(disk, &change)?;
        work.note("grow-partition", &receipt.device, &receipt);
        Ok(())
    }
}

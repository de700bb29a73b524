//! A partition more in a copied table.

use super::{AddPartition, ApplyError, Perform, Ramdisk, Work};
use crate::apply::table;
use crate::finalize::adjust::TableChange;
use crate::finalize::layout::NewPartition;

impl Perform for AddPartition {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let planned = &self.partition;
        let new = NewPartition {
            number: planned.number,
            type_guid: table::guid(disk, &planned.type_guid)?,
            guid: table::guid(disk, &planned.guid)?,
            name: planned.name.clone(),
            attributes: 0,
            min: planned.size,
            max: Some(planned.size),
        };
        let receipt = table::commit(disk, &TableChange { add: vec![new], ..TableChange::default() })?;
        work.note("add-partition", &receipt.device, &receipt);
        Ok(())
    }
}

//! Sets new GUIDs in a copied table.

use super::{ApplyError, Perform, Ramdisk, SetGuids, Work};
use crate::apply::table;
use crate::finalize::adjust::TableChange;
use crate::plan;

impl Perform for SetGuids {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let mut change = TableChange {
            disk_guid: self.disk_guid.as_deref().map(|text| table::guid(disk, text)).transpose()?,
            ..TableChange::default()
        };
        for (&number, text) in &self.partitions {
            change.partition_guids.push((number, table::guid(disk, text)?));
        }
        if self.every {
            let kept = |number: u32| disk.keep().iter().any(|one| one.number == number);
            for one in table::partitions(disk)? {
                if !self.partitions.contains_key(&one.number) && !kept(one.number) {
                    let new = plan::copied_guid(&work.plan, self.disk, one.number);
                    change.partition_guids.extend(new.map(|guid| (one.number, guid)));
                }
            }
        }
        let receipt = table::commit(disk, &change)?;
        work.note("set-guids", &receipt.device, &receipt);
        Ok(())
    }
}

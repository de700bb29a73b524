//! Writes a table with exactly the planned partitions, over whatever was there.

use super::{ApplyError, CreateTable, Perform, Ramdisk, Work};
use crate::apply::bound::{Access, BoundDisk, Part};
use crate::apply::{table, wipe};
use crate::finalize::adjust;
use crate::finalize::gpt::Partition;
use crate::protocol::plan::PlannedPartition;

impl Perform for CreateTable {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let mut partitions = exact(disk, &self.partitions)?;
        partitions.extend(table::kept(disk)?);
        if !disk.area().is_withheld() {
            let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
            disk.area().withhold_nothing(&device, &work.order.id)?;
        }
        wipe::partitions(disk, &self.partitions)?;
        let guid = table::guid(disk, &self.guid)?;
        let receipt = table::with(disk, Access::Write, |sectors| Ok(adjust::write_exact(sectors, guid, &partitions)?))?;
        table::follow(disk, &receipt.partitions)?;
        work.note("create-table", &receipt.device, &receipt);
        Ok(())
    }
}

/// Bytes to LBAs. A value that is not a whole number of sectors was planned for another disk.
fn exact(disk: &BoundDisk, planned: &[PlannedPartition]) -> Result<Vec<Partition>, ApplyError> {
    let sector = u64::from(disk.sector()).max(1);
    let device = || disk.name().display().to_string();
    let mut partitions = Vec::with_capacity(planned.len());
    for one in planned {
        let (Some(number), Some(start)) = (one.number, one.start) else {
            return Err(ApplyError::NoPlace { device: device(), name: one.name.clone() });
        };
        let end = start.saturating_add(one.size);
        if !start.is_multiple_of(sector) || !end.is_multiple_of(sector) || one.size == 0 {
            return Err(ApplyError::NoPlace { device: device(), name: one.name.clone() });
        }
        partitions.push(Partition {
            number,
            type_guid: table::guid(disk, &one.type_guid)?,
            guid: table::guid(disk, &one.guid)?,
            first_lba: start / sector,
            last_lba: end / sector - 1,
            attributes: 0,
            name: one.name.clone(),
        });
    }
    Ok(partitions)
}

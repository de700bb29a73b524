//! Kept partitions: read before anything is written, and recorded on the disk from the first write on.

use super::{ApplyError, KeepPartitions, Perform, Ramdisk, Work};
use crate::apply::keep::{self, KeepEvidence};

impl Perform for KeepPartitions {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let (disk, planned) = (work.disks.disk(self.disk)?, work.planned(self.disk)?);
        disk.area().remember(keep::record(disk, &planned.keep)?);
        for kept in &planned.keep {
            let evidence = KeepEvidence::take(disk, kept, &work.cancel)?;
            work.note("keep-partitions", &planned.device, &evidence);
            work.add_kept(self.disk, evidence);
        }
        Ok(())
    }
}

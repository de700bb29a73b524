//! Fits the table of an image to its disk, and tells the kernel its partitions.

use super::{ApplyError, Perform, Ramdisk, RelocateBackupGpt, Work};
use crate::apply::table;
use crate::finalize::adjust::TableChange;
use crate::finalize::table::TableError;

impl Perform for RelocateBackupGpt {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        match table::commit(disk, &TableChange::default()) {
            Ok(receipt) => work.note("relocate-backup-gpt", &receipt.device, &receipt),
            // An image of a single filesystem has no table to fit.
            Err(ApplyError::Table(TableError::Missing { .. })) => table::follow(disk, &[])?,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

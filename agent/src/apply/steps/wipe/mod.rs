//! Wipes the signatures of a disk's old contents. From here on its two ends are withheld.

use super::{ApplyError, Perform, Ramdisk, Wipe, Work};
use crate::apply::wipe;

impl Perform for Wipe {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let receipt = wipe::disk(disk, &work.planned(self.disk)?.existing, &work.order.id)?;
        work.note("wipe", &receipt.device, &receipt);
        Ok(())
    }
}

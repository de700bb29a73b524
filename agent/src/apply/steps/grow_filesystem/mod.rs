//! A filesystem of an image grown to the size of its partition.

use super::{ApplyError, GrowFilesystem, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::table;
use crate::finalize::grow::{self, GrowReceipt};

impl Perform for GrowFilesystem {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let proven = table::open(work, disk, self.partition, Access::Read)?;
        let grown = grow::grow(proven.node(), &work.paths.mounts)?;
        let receipt = GrowReceipt { device: proven.device(), ..grown };
        work.note("grow-filesystem", &receipt.device, &receipt);
        Ok(())
    }
}

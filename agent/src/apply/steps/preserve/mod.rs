//! Disks that must not change: their state is recorded, and compared when everything is done.

use super::{ApplyError, Perform, Preserve, Ramdisk, Work};
use crate::apply::preserve::Evidence;

impl Perform for Preserve {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        for &index in &self.disks {
            work.add_evidence(index, Evidence::take(work.disks.disk(index)?)?);
        }
        Ok(())
    }
}

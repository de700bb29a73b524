//! Arrays that the kernel has assembled of members on planned disks, taken apart.

use super::{ApplyError, Perform, Ramdisk, StopArrays, Work};
use crate::apply::arrays::{self, StopReceipt};
use crate::apply::holders;
use std::path::{Path, PathBuf};

impl Perform for StopArrays {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let mut below = Vec::new();
        for &index in &self.disks {
            below.push(work.disks.disk(index)?.sysfs());
        }
        for receipt in stop(&below, &work.paths.sys, &work.paths.dev)? {
            work.note("stop-arrays", &receipt.device, &receipt);
        }
        Ok(())
    }
}

/// Stops every array that lies on these disks, which are `/sys/dev/block/MAJOR:MINOR`, and has nothing standing on it.
fn stop(below: &[PathBuf], sys: &Path, dev: &Path) -> Result<Vec<StopReceipt>, ApplyError> {
    let mut receipts = Vec::new();
    for held in holders::above(below, sys) {
        let (sysfs, device) = (held.sysfs.join("md"), dev.join(&held.name));
        if sysfs.is_dir() && !holders::is_held(&held) {
            arrays::stop(&sysfs, &device)?;
            let device = device.display().to_string();
            receipts.push(StopReceipt { device, name: None, resync: None, members: Vec::new() });
        }
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests;

//! Arrays that the kernel has assembled of members on planned disks, taken apart.

use super::{ApplyError, Perform, Ramdisk, StopArrays, Work};
use crate::apply::arrays::{self, StopReceipt};
use std::collections::BTreeSet;
use std::path::Path;

impl Perform for StopArrays {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        for &index in &self.disks {
            let (sys, dev) = (&work.paths.sys, &work.paths.dev);
            for receipt in stop(&work.disks.disk(index)?.sysfs(), sys, dev)? {
                work.note("stop-arrays", &receipt.device, &receipt);
            }
        }
        Ok(())
    }
}

/// Stops every array that has a member on this disk, which is `/sys/dev/block/MAJOR:MINOR`.
fn stop(disk: &Path, sys: &Path, dev: &Path) -> Result<Vec<StopReceipt>, ApplyError> {
    let mut found: BTreeSet<String> = arrays::names(&disk.join("holders")).into_iter().collect();
    for name in arrays::names(disk) {
        if disk.join(&name).join("partition").exists() {
            found.extend(arrays::names(&disk.join(name).join("holders")));
        }
    }
    let mut receipts = Vec::new();
    for name in found {
        let (sysfs, device) = (sys.join("class/block").join(&name).join("md"), dev.join(&name));
        if sysfs.is_dir() {
            arrays::stop(&sysfs, &device)?;
            receipts.push(StopReceipt { device: device.display().to_string(), name: None, members: Vec::new() });
        }
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests;

//! Stops arrays that the kernel has assembled from members on planned disks.

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
        for receipt in stop(&self.arrays, &below, &work.paths.sys, &work.paths.dev)? {
            work.note("stop-arrays", &receipt.device, &receipt);
        }
        Ok(())
    }
}

/// Stops the arrays on these disks (`/sys/dev/block/MAJOR:MINOR`) that have nothing on top. An array that is known not
/// to be one of those `wanted` stays.
fn stop(wanted: &[String], below: &[PathBuf], sys: &Path, dev: &Path) -> Result<Vec<StopReceipt>, ApplyError> {
    let mut receipts = Vec::new();
    for held in holders::above(below, sys) {
        let (sysfs, device) = (held.sysfs.join("md"), dev.join(&held.name));
        if sysfs.is_dir() && !holders::is_held(&held) && !is_another(wanted, &sysfs) {
            arrays::stop(&sysfs, &device)?;
            let device = device.display().to_string();
            receipts.push(StopReceipt { device, name: None, resync: None, members: Vec::new() });
        }
    }
    Ok(receipts)
}

/// Whether the array is known to be none of these; kernels before 6.1 do not tell.
fn is_another(wanted: &[String], sysfs: &Path) -> bool {
    let plain = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
    let uuid = std::fs::read_to_string(sysfs.join("uuid")).map(|text| plain(&text)).unwrap_or_default();
    uuid.len() == 32 && !wanted.is_empty() && !wanted.iter().any(|one| plain(one) == uuid)
}

#[cfg(test)]
mod tests;

//! Formats an NVMe namespace to another sector size. Afterwards the disk is bound again, with the properties that the
//! plan predicted.

use super::{ApplyError, FormatNamespace, Patience, Perform, Ramdisk, Work};
use crate::apply::namespace::{failed, mark, offered, reshaped, sector};
use crate::sys::nvme::{self, SecureErase};
use serde::Serialize;
use std::time::Duration;

/// A disk may write to each of its cells meanwhile, and answers nothing else.
const PATIENCE: Duration = Duration::from_secs(600);

/// The result of formatting. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormatReceipt {
    pub device: String,
    pub sector_size: u32,
    pub size: u64,
    /// The previous sector size.
    pub had: u32,
}

impl Perform for FormatNamespace {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn patience(&self, usual: Patience) -> Patience {
        Patience { progress: usual.progress.max(PATIENCE + Duration::from_secs(60)), ..usual }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let had = disk.sector();
        let format = offered(disk, self.sector_size)?;
        // From here on firmware finds nothing, whenever the disk loses the rest.
        disk.tell_kernel(&[])?;
        mark(disk, &work.order.id)?;
        nvme::format(disk.held()?, format, SecureErase::No, PATIENCE)
            .map_err(|error| failed(disk, &error.to_string()))?;
        reshaped(disk, self.size, self.sector_size)?;
        // Both the kernel and the device must report it.
        if sector(disk)? != Some(self.sector_size) {
            return Err(failed(disk, "it says that its sectors are others still"));
        }
        mark(disk, &work.order.id)?;
        let device = disk.name().display().to_string();
        let receipt = FormatReceipt { device, sector_size: self.sector_size, size: self.size, had };
        work.note("format-namespace", &receipt.device, &receipt);
        Ok(())
    }
}

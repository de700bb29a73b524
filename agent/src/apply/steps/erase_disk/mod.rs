//! Erases what was on a disk: overwrites it with zeros, or lets the disk do a secure erase. It has nothing but the mark of
//! the order afterwards, and what is kept.

mod progress;
mod secure;
mod zeros;

use super::{ApplyError, EraseDisk, Patience, Perform, Ramdisk, Work};
use crate::apply::namespace::mark;
use crate::protocol::order::Erase;
use serde::Serialize;

/// What was erased. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EraseReceipt {
    pub device: String,
    /// `zeros`, `nvme-format-user-data` or `nvme-format-key`.
    pub method: &'static str,
    /// Without what is kept.
    pub erased_bytes: u64,
    /// Zeros that were read back. After a secure erase: samples that were read before it and after it, and differ.
    pub verified_bytes: u64,
}

impl Perform for EraseDisk {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn patience(&self, usual: Patience) -> Patience {
        match self.how {
            // The kernel counts each piece that is written and read.
            Erase::Signatures | Erase::Zeros => usual,
            Erase::SecureErase => secure::patience(usual),
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let receipt = match self.how {
            Erase::SecureErase => secure::erase(disk, work)?,
            Erase::Signatures | Erase::Zeros => {
                disk.tell_kernel(&[])?;
                mark(disk, &work.order.id)?;
                zeros::erase(disk, work, self.verify)?
            }
        };
        work.note("erase-disk", &receipt.device, &receipt);
        Ok(())
    }
}

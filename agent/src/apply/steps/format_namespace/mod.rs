//! Formats an NVMe namespace to another sector size. Afterwards the disk is bound again, with the properties that the
//! plan predicted.

mod identify;

use super::{ApplyError, FormatNamespace, Patience, Perform, Ramdisk, Work};
use crate::apply::bound::{Access, BoundDisk, Part};
use crate::sys::nvme::{self, Identify};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A disk may write to each of its cells meanwhile, and answers nothing else.
const PATIENCE: Duration = Duration::from_secs(600);
/// Time for the kernel to notice the change.
const SEEN: Duration = Duration::from_secs(10);

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
        nvme::format(disk.held()?, format, PATIENCE).map_err(|error| failed(disk, &error.to_string()))?;
        let deadline = Instant::now() + SEEN;
        while let Err(error) = disk.reshape(self.size, self.sector_size) {
            if Instant::now() >= deadline || !matches!(error, ApplyError::Formatted { .. }) {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // Both the kernel and the device must report it.
        if identify::sector_in_use(&asked(disk, Identify::Namespace)?) != Some(self.sector_size) {
            return Err(failed(disk, "it says that its sectors are others still"));
        }
        mark(disk, &work.order.id)?;
        let device = disk.name().display().to_string();
        let receipt = FormatReceipt { device, sector_size: self.sector_size, size: self.size, had };
        work.note("format-namespace", &receipt.device, &receipt);
        Ok(())
    }
}

/// The format to request. Refused, before anything is lost, if it is not supported or would affect other namespaces.
fn offered(disk: &BoundDisk, sector: u32) -> Result<u8, ApplyError> {
    let namespace = asked(disk, Identify::Namespace)?;
    let none = || failed(disk, &format!("it offers no sectors of {sector} bytes without metadata"));
    let format = identify::format_with(&namespace, sector).ok_or_else(none)?;
    let controller = asked(disk, Identify::Controller)?;
    if identify::formats_all(&controller) {
        // Some may be attached to another controller, or to none.
        let managed = identify::manages_namespaces(&controller);
        let list = if managed { Identify::AllocatedNamespaces } else { Identify::ActiveNamespaces };
        let count = identify::active(&asked(disk, list)?);
        if count > 1 {
            return Err(failed(disk, &format!("its controller would format all of its {count} namespaces")));
        }
    }
    Ok(format)
}

fn asked(disk: &BoundDisk, what: Identify) -> Result<Vec<u8>, ApplyError> {
    nvme::identify(disk.held()?, what).map_err(|error| failed(disk, &error.to_string()))
}

fn mark(disk: &BoundDisk, order: &str) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    Ok(disk.area().mark(&device, order)?)
}

fn failed(disk: &BoundDisk, what: &str) -> ApplyError {
    ApplyError::Format { device: disk.name().to_owned(), what: what.to_owned() }
}

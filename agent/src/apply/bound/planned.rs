//! What was opened against what the plan was made from.

use super::super::ApplyError;
use super::disk::text;
use crate::protocol::plan::PlannedDisk;
use crate::protocol::receipt::OpenedDisk;
use hwinventory::model::Disk;
use std::path::Path;

pub(super) fn other(device: &Path, what: &str, planned: String, found: String) -> ApplyError {
    ApplyError::OtherDisk { device: device.to_owned(), what: what.to_owned(), planned, found }
}

/// `seen` is the inventory's word on it.
pub(super) fn is(
    found: &OpenedDisk,
    planned: &PlannedDisk,
    seen: Option<&Disk>,
    sysfs: &Path,
) -> Result<(), ApplyError> {
    let name = Path::new(&found.device);
    let differs = |what: &str, planned: &dyn ToString, found: &dyn ToString| {
        Err(other(name, what, planned.to_string(), found.to_string()))
    };
    if found.size == 0 {
        return Err(ApplyError::Gone { device: name.to_owned() });
    }
    if found.size != planned.size {
        return differs("size", &planned.size, &found.size);
    }
    if found.logical_block_size != planned.logical_block_size {
        return differs("sector size", &planned.logical_block_size, &found.logical_block_size);
    }
    // sysfs answers for the number that we hold, so that it cannot be another disk's by now.
    if let (Some(opened), Some(listed)) =
        (found.sequence, text(sysfs, "diskseq").and_then(|text| text.parse::<u64>().ok()))
        && opened != listed
    {
        return differs("disk sequence", &listed, &opened);
    }
    let Some(seen) = seen else { return Ok(()) };
    if let (Some(opened), Some(looked_at)) = (found.sequence, seen.diskseq)
        && opened != looked_at
    {
        return differs("disk sequence", &looked_at, &opened);
    }
    if seen.serial != planned.serial {
        let words = |serial: &Option<String>| serial.clone().unwrap_or_else(|| "none".to_owned());
        return differs("serial number", &words(&planned.serial), &words(&seen.serial));
    }
    Ok(())
}

//! Opens the devices that a plan names. Devices form a graph: an array lies on partitions, these on disks.

use super::bound::{Access, Part, Proven};
use super::work::Work;
use super::{ApplyError, table};
use crate::protocol::plan::{Device, words};

/// Opens a device that earlier steps made.
pub fn open(work: &Work, device: &Device, access: Access) -> Result<Proven, ApplyError> {
    match device {
        Device::Disk { disk } => {
            let bound = work.disks.disk(*disk)?;
            if bound.area().is_withheld() {
                // Opening it directly would bypass its withheld ends.
                return Err(ApplyError::Unsupported { step: "a filesystem on a whole disk".to_owned() });
            }
            bound.open(Part::Whole, access)
        }
        Device::Partition { disk, .. } => {
            let number = number(work, device)?;
            work.disks.disk(*disk)?.open(Part::Number(number), access)
        }
        // Also below its array: the caller looks at the member itself.
        Device::ImagePartition { disk, .. } => {
            work.disks.disk(*disk)?.open(Part::Number(number(work, device)?), access)
        }
        Device::Raid { name } => {
            let array = work.arrays().into_iter().find(|array| array.is(name));
            array.ok_or_else(|| ApplyError::NoArray { name: name.clone() })?.open(access)
        }
        Device::Luks { .. } | Device::Volume { .. } => {
            let missing = || ApplyError::NoVolume { device: words::device(device) };
            work.mapped(device).ok_or_else(missing)?.open(access)
        }
    }
}

/// The number of a planned partition: the plan's own, or that of the GUID which the plan gave it. Its name does not
/// identify it, because an image may have a partition with the same name.
pub fn number(work: &Work, device: &Device) -> Result<u32, ApplyError> {
    if let Device::ImagePartition { disk, partition } = device {
        return table::number(work, work.disks.disk(*disk)?, *partition);
    }
    let Device::Partition { disk, name, number } = device else {
        return Err(ApplyError::Unsupported { step: "a partition that is none".to_owned() });
    };
    if let Some(number) = work.place_of(*disk, name) {
        return Ok(number);
    }
    let bound = work.disks.disk(*disk)?;
    let planned = work.plan.made(*disk, name);
    if let Some(number) = number.or_else(|| planned.and_then(|planned| planned.number)) {
        return Ok(number);
    }
    let missing =
        || ApplyError::NoPartition { device: bound.name().to_owned(), wanted: format!("what the plan calls {name:?}") };
    let guid = table::guid(bound, &planned.ok_or_else(missing)?.guid)?;
    // An MBR has no GUIDs; an added partition is the last on the disk.
    let found = table::by_guid(bound, guid)?.map_or_else(|| table::last_of_mbr(bound), |number| Ok(Some(number)))?;
    found.ok_or_else(missing)
}

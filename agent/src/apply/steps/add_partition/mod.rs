//! Adds a partition to a copied table.

use super::{AddPartition, ApplyError, Perform, Ramdisk, Work, WriteSeed};
use crate::apply::{seed_volume, table};
use crate::finalize::adjust::TableChange;
use crate::finalize::layout::NewPartition;
use crate::protocol::order::SeedFormat;
use crate::protocol::plan::{Device, SeedTarget, Step};
use serde::Serialize;

impl Perform for AddPartition {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let planned = &self.partition;
        if let Some(format) = own_seed(work, self) {
            let volumes = seed_volume::find(work, disk)?;
            if let Some(found) = seed_volume::of_format(disk, &volumes, format)? {
                work.place(self.disk, &planned.name, found.number);
                let reused =
                    Reused { device: disk.name().display().to_string(), number: found.number, label: &found.label };
                work.note("add-partition", &reused.device, &reused);
                return Ok(());
            }
        }
        let new = NewPartition {
            number: planned.number,
            type_guid: table::guid(disk, &planned.type_guid)?,
            guid: table::guid(disk, &planned.guid)?,
            name: planned.name.clone(),
            attributes: 0,
            min: planned.size,
            max: Some(planned.size),
        };
        let guid = new.guid.to_string();
        let receipt = table::commit(disk, &TableChange { add: vec![new], ..TableChange::default() })?;
        // An MBR has no GUIDs: there it is the partition that did not exist before.
        let made = receipt.partitions.iter().find(|one| one.guid.as_deref() == Some(&guid));
        let made = made.or_else(|| receipt.changed.iter().find(|one| one.before.is_none()).map(|one| &one.after));
        if let Some(made) = made {
            work.place(self.disk, &planned.name, made.number);
        }
        work.note("add-partition", &receipt.device, &receipt);
        Ok(())
    }
}

/// A partition of the image that is used instead of a new one.
#[derive(Debug, Serialize)]
struct Reused<'a> {
    device: String,
    #[serde(rename = "reused")]
    number: u32,
    label: &'a str,
}

/// The format of the seed that this partition is for.
fn own_seed(work: &Work, step: &AddPartition) -> Option<SeedFormat> {
    work.plan.steps.iter().find_map(|other| match other {
        Step::WriteSeed(WriteSeed {
            target: SeedTarget::Own { on: Device::Partition { disk, name, .. } },
            format,
            ..
        }) if *disk == step.disk && *name == step.partition.name => Some(*format),
        _ => None,
    })
}

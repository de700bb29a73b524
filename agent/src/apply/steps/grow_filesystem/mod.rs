//! Grows a filesystem of an image to the size of its partition; if it lies in a volume group, through that.

mod volume;

use super::{ApplyError, GrowFilesystem, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::{growth, system, table};
use crate::finalize::grow::{self, GrowError, GrowReceipt};
use crate::protocol::order::PartitionPick;
use serde::Serialize;

impl Perform for GrowFilesystem {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let disk = work.disks.disk(self.disk)?;
        let number = growth::target(work, disk, self.partition)?;
        let proven = match work.array_over(disk, number) {
            Some(array) => array.open(Access::Read)?,
            None => table::open(work, disk, PartitionPick::Number(number), Access::Read)?,
        };
        let content = system::content(work, disk, &proven)?;
        let grown = match grow::grow(proven.node(), content, &work.paths.mounts) {
            Err(GrowError::Unsupported { found, .. }) if OTHERS.contains(&found.as_str()) => {
                if found == "LVM2_member" {
                    match volume::grow(work, disk, &proven)? {
                        Ok(grown) => {
                            work.note("grow-filesystem", &proven.device(), &grown);
                            return Ok(());
                        }
                        Err(why) => log::info!("{}: the volume group is left as it is: {why}", proven.name().display()),
                    }
                }
                // The partition has grown; its contents are left to the installed system or its own tools.
                let error = ApplyError::NotGrown { device: proven.name().to_owned(), found: found.clone() };
                work.anomaly(&proven.device(), &error);
                work.note("grow-filesystem", &proven.device(), &NotGrown { device: proven.device(), not_grown: found });
                return Ok(());
            }
            grown => grown?,
        };
        let receipt = GrowReceipt { device: proven.device(), ..grown };
        work.note("grow-filesystem", &receipt.device, &receipt);
        Ok(())
    }
}

/// Contents that grow by themselves or with their own tools, by libblkid's names.
const OTHERS: [&str; 8] =
    ["LVM2_member", "crypto_LUKS", "linux_raid_member", "zfs_member", "ntfs", "exfat", "f2fs", "BitLocker"];

/// Only the partition has grown.
#[derive(Debug, Serialize)]
struct NotGrown {
    device: String,
    not_grown: String,
}

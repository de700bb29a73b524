//! Checks whether an image's system can be mirrored.

use super::{HeadError, Trial, no_system};
use burin_protocol::order::PartitionPick;
use burin_table::adjust::TableChange;
use burin_table::head::{HeadPartition, Purpose, TableKind};
use burin_table::types;

/// Bytes that the mirrored partition must gain at least: the array's metadata lies behind the filesystem, which ends
/// where the image's partition did, and it grows by whole MiB.
const BOOKS: u64 = 2 << 20;

impl Trial<'_> {
    /// The partition must be the only one that is not a boot loader's, and must have grown by now.
    pub(super) fn mirror(&self, pick: PartitionPick) -> Result<(), HeadError> {
        let refuse = |what: String| Err(HeadError::Mirror { device: self.device(), what });
        if self.head.fault.is_some() {
            return refuse("the image's partition table is not in its first MiB: what it has is not known".to_owned());
        }
        if self.head.table != TableKind::Gpt || self.head.filesystem.is_some() {
            return refuse("the image has no GPT, and its copies could not be told apart".to_owned());
        }
        // An extended boot partition has kernels of the system, and changes with it.
        let kernels = |one: &HeadPartition| one.type_guid.and_then(types::name) == Some("xbootldr");
        let boots = |one: &&HeadPartition| matches!(one.purpose, Purpose::Esp | Purpose::BootLoader) && !kernels(one);
        let target = match self.pick(pick, "`mirror`")? {
            Some(target) => target,
            // If there are several candidates, all but one are refused.
            None => match self.head.partitions.iter().find(|one| !boots(one)) {
                Some(first) => first,
                None => return Err(HeadError::NoRoot { device: self.device(), wanted: "`mirror`" }),
            },
        };
        let number = target.number;
        if let Some(is) = no_system(target.purpose) {
            return refuse(format!("partition {number} of the image is {is}, and no root filesystem"));
        }
        if let Some(other) = self.head.partitions.iter().find(|one| one.number != number && !boots(one)) {
            let name = if other.name.is_empty() { String::new() } else { format!(" (\"{}\")", other.name) };
            return refuse(format!(
                "partition {} of the image{name} would be on each disk for itself, and nothing keeps these equal: beside \
                 the root there can be boot loaders' only",
                other.number
            ));
        }
        let Some(receipt) = self.change(&TableChange::default())? else { return Ok(()) };
        let has = receipt.partitions.iter().find(|one| one.number == number).map_or(0, |one| one.length);
        let need = target.size.saturating_add(BOOKS);
        match has >= need {
            true => Ok(()),
            false => refuse(format!(
                "partition {number} of the image has {has} bytes on this disk, and needs {need}: an array's books are behind it"
            )),
        }
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;

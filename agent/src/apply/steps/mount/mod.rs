//! Mounts a filesystem of the new system at its place in the tree.

use super::make_filesystem::name;
use super::{ApplyError, Mount, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::resolve;
use crate::finalize::filesystem;

impl Perform for Mount {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        // The type of an image is known once it has been written.
        self.kind.map_or(Ok(()), |kind| ramdisk.module(name(kind)))
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let kind = match self.kind {
            Some(kind) => name(kind),
            None => {
                let proven = resolve::open(work, &self.on, Access::Read)?;
                let found = filesystem::probe(proven.node())?;
                let missing = || ApplyError::NoPartition {
                    device: proven.name().to_owned(),
                    wanted: format!(
                        "a root filesystem (it holds {})",
                        found.kind.as_deref().unwrap_or("nothing known")
                    ),
                };
                found.filesystem().ok_or_else(missing)?.name()
            }
        };
        work.tree().mount(work, &self.on, &self.at, kind)
    }
}

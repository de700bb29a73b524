//! A filesystem of the new system in its place.

use super::make_filesystem::name;
use super::{ApplyError, Mount, Perform, Ramdisk, Work};

impl Perform for Mount {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        ramdisk.module(name(self.kind))
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        work.tree().mount(work, &self.on, &self.at, self.kind)
    }
}

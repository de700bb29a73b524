//! Unpacks the archive of a tree onto its filesystems and reads it back.

use super::{ApplyError, Perform, Ramdisk, UnpackTree, Work};

impl Perform for UnpackTree {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let mut tree = work.tree();
        let unpacked = tree.unpack(work, &self.image, self.verify);
        let receipt = unpacked.map_err(|error| error.on(&tree))?;
        work.note("unpack-tree", "tree", &receipt);
        Ok(())
    }
}

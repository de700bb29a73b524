//! The tree's own mdadm.conf, with a line for each array.

mod conf;

use super::{ApplyError, Perform, Ramdisk, Work, WriteMdadmConf};

impl Perform for WriteMdadmConf {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let mut tree = work.tree();
        let written = tree.root().and_then(|root| conf::prepare(&root, &self.arrays));
        let written = written.and_then(|file| tree.write(file.directory, file.name, file.text.into_bytes(), 0o644));
        written.map_err(|error| error.on(&tree))?;
        work.note("write-mdadm-conf", "tree", &self.arrays);
        Ok(())
    }
}

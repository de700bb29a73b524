//! Writes a line for each array into the tree's mdadm.conf.

mod conf;

use super::check_tree::has_module;
use super::{ApplyError, Perform, Ramdisk, Work, WriteMdadmConf};
use crate::protocol::plan::Step;

impl Perform for WriteMdadmConf {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let levels = work.plan.steps.iter().filter_map(|step| match step {
            Step::CreateRaid(raid) if self.arrays.iter().any(|array| array.uuid == raid.uuid) => Some(raid.level),
            _ => None,
        });
        let mut tree = work.tree();
        let written = tree.root().and_then(|root| {
            levels.clone().try_for_each(|level| has_module(&root, level.module()))?;
            conf::prepare(&root, &self.arrays)
        });
        let written = written.and_then(|file| tree.write(file.directory, file.name, file.text.into_bytes(), 0o644));
        written.map_err(|error| error.on(&tree))?;
        work.note("write-mdadm-conf", "tree", &self.arrays);
        Ok(())
    }
}

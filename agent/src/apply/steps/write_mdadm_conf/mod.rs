//! Writes a line for each array into the mdadm.conf of a tree or of an image's system.

mod conf;

use super::check_tree::has_module;
use super::{ApplyError, Perform, Ramdisk, Work, WriteMdadmConf};
use crate::apply::system::Image;
use crate::finalize::files::{self, NewFile, relative};
use crate::finalize::mount::Access;
use crate::protocol::order::PartitionPick;
use crate::protocol::plan::{ArrayEntry, SeedTarget, Step};

impl Perform for WriteMdadmConf {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        match self.target {
            SeedTarget::Tree | SeedTarget::ImagePartition { .. } => Ok(()),
            SeedTarget::Own { .. } | SeedTarget::Ignition { .. } => {
                Err(ApplyError::Unsupported { step: "write-mdadm-conf onto a partition without a system".to_owned() })
            }
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        if let SeedTarget::ImagePartition { disk, partition } = &self.target {
            return into_image(work, &self.arrays, *disk, *partition);
        }
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

/// Its directory.
const PLACE: [&str; 1] = ["/etc"];

fn into_image(work: &Work, arrays: &[ArrayEntry], disk: usize, pick: PartitionPick) -> Result<(), ApplyError> {
    let image = Image::find(work, disk, pick)?;
    let (device, path, text, written) = image.visit(work, Access::ReadWrite, &PLACE, |system| {
        let file = conf::prepare(system.root(), arrays)?;
        let path = format!("/{}/{}", file.directory, file.name);
        system.check(relative(&path))?;
        let written = files::write(system.root(), &[new_file(&path, &file.text)])?;
        Ok((image.device(system, relative(&path)), path, file.text, written))
    })?;
    let new = [new_file(&path, &text)];
    image.read_back(work, &PLACE, |system| Ok(files::compare(system.root(), &new, &written)?))?;
    work.note("write-mdadm-conf", &device, &arrays);
    Ok(())
}

fn new_file<'a>(path: &'a str, text: &'a str) -> NewFile<'a> {
    NewFile { path, bytes: text.as_bytes(), mode: 0o644, owner: None, group: None }
}

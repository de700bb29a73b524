//! Writes the files of the plan's seed into the root filesystem or onto a partition of their own.

use super::{ApplyError, Perform, Ramdisk, Work, WriteSeed};
use crate::apply::bound::Access;
use crate::apply::system::Image;
use crate::apply::{resolve, seed_volume};
use crate::finalize::mount::Access as Mode;
use crate::finalize::seed_write::{self, SeedReceipt};
use crate::plan::SeedFiles;
use crate::protocol::order::{PartitionPick, SeedFormat};
use crate::protocol::plan::{Device, SeedTarget};

mod ignition;

impl Perform for WriteSeed {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        match &self.target {
            SeedTarget::Own {
                on:
                    Device::Disk { .. }
                    | Device::ImagePartition { .. }
                    | Device::Raid { .. }
                    | Device::Luks { .. }
                    | Device::Volume { .. },
            } => Err(ApplyError::Unsupported { step: "write-seed onto anything but a partition".to_owned() }),
            SeedTarget::Own { .. }
            | SeedTarget::ImagePartition { .. }
            | SeedTarget::Ignition { .. }
            | SeedTarget::Tree => Ok(()),
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let seed = work.seed.as_deref().ok_or(ApplyError::NoSeed)?;
        let (device, receipt) = match &self.target {
            SeedTarget::ImagePartition { disk, partition } => into_image(work, *disk, *partition, seed)?,
            SeedTarget::Own { on } => onto_volume(work, on, self.format, seed)?,
            SeedTarget::Ignition { disk, partition } => ignition::write(work, *disk, *partition, seed)?,
            SeedTarget::Tree => into_tree(work, seed)?,
        };
        work.note("write-seed", &device, &receipt);
        Ok(())
    }
}

fn into_tree(work: &Work, seed: &SeedFiles) -> Result<(String, SeedReceipt), ApplyError> {
    let mut tree = work.tree();
    let written = tree.root().and_then(|root| Ok(seed_write::write_files(&root, &seed.files)?));
    let receipt = written.map_err(|error| error.on(&tree))?;
    for file in &seed.files {
        tree.wrote(seed_write::place(file), file.contents.clone().into_bytes());
    }
    Ok(("tree".to_owned(), receipt))
}

fn onto_volume(
    work: &Work,
    on: &Device,
    format: SeedFormat,
    seed: &SeedFiles,
) -> Result<(String, SeedReceipt), ApplyError> {
    let proven = resolve::open(work, on, Access::Write)?;
    let unsupported = || ApplyError::Unsupported { step: format!("write-seed of {format:?} onto a volume") };
    let label = format.volume_label().ok_or_else(unsupported)?;
    let name = proven.device();
    let device = proven.into_device()?;
    let receipt = match &seed.volume {
        Some(volume) => seed_write::write_bytes(&device, label, volume.bytes())?,
        None => seed_write::write_volume(&device, label, &seed.files)?,
    };
    Ok((name, receipt))
}

fn into_image(
    work: &Work,
    disk: usize,
    pick: PartitionPick,
    seed: &SeedFiles,
) -> Result<(String, SeedReceipt), ApplyError> {
    let bound = work.disks.disk(disk)?;
    seed_volume::of_format(bound, &seed_volume::find(work, bound)?, seed.format)?;
    let image = Image::find(work, disk, pick)?;
    let wanted = ["/var"];
    let (device, receipt) = image.visit(work, Mode::ReadWrite, &wanted, |system| {
        system.check(seed_write::SEED_DIRECTORY)?;
        let device = image.device(system, seed_write::SEED_DIRECTORY);
        Ok((device, seed_write::write_files(system.root(), &seed.files)?))
    })?;
    image.read_back(work, &wanted, |system| Ok(seed_write::compare_files(system.root(), &seed.files)?))?;
    Ok((device, receipt))
}

//! The files of the plan's seed, into the root filesystem or onto a partition of their own.

use super::{ApplyError, Perform, Ramdisk, Work, WriteSeed};
use crate::apply::bound::{Access, Proven};
use crate::apply::{look, resolve, table};
use crate::finalize::look::WhatIsOn;
use crate::finalize::mount::{Access as Mode, Mounted};
use crate::finalize::root::Root;
use crate::finalize::seed_write::{self, SeedError, SeedReceipt, VolumeLabel};
use crate::plan::SeedFiles;
use crate::protocol::order::{PartitionPick, PickName, SeedFormat};
use crate::protocol::plan::{Device, SeedTarget};
use std::path::{Path, PathBuf};

impl Perform for WriteSeed {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        match &self.target {
            SeedTarget::Own { on: Device::Disk { .. } | Device::Raid { .. } } => {
                Err(ApplyError::Unsupported { step: "write-seed onto anything but a partition".to_owned() })
            }
            SeedTarget::Own { .. } | SeedTarget::ImagePartition { .. } | SeedTarget::Tree => Ok(()),
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let seed = work.seed.as_deref().ok_or(ApplyError::NoSeed)?;
        let (device, receipt) = match &self.target {
            SeedTarget::ImagePartition { disk, partition } => into_image(work, *disk, *partition, seed)?,
            SeedTarget::Own { on } => onto_volume(work, on, self.format, seed)?,
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
    let label = match format {
        SeedFormat::ConfigDrive => VolumeLabel::Config2,
        SeedFormat::Nocloud | SeedFormat::Cidata => VolumeLabel::Cidata,
    };
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
    let (proven, kind, prefix) = root_of(work, disk, pick)?;
    let visit = |mode| Visit { work, proven: &proven, kind, prefix: &prefix, mode };
    let receipt = visit(Mode::ReadWrite).run(|root| seed_write::write_files(root, &seed.files))?;
    visit(Mode::ReadOnly).run(|root| seed_write::compare_files(root, &seed.files))?;
    Ok((proven.device(), receipt))
}

/// A root filesystem, or a directory of it, mounted for as long as something is done there.
struct Visit<'a> {
    work: &'a Work,
    proven: &'a Proven,
    kind: &'a str,
    prefix: &'a Path,
    mode: Mode,
}

impl Visit<'_> {
    fn run<T>(self, act: impl FnOnce(&Root) -> Result<T, SeedError>) -> Result<T, ApplyError> {
        let mounted = Mounted::mount(self.proven.node(), self.kind, self.mode, &self.work.paths.mounts)?;
        let whole = |root: Root| {
            if self.prefix.as_os_str().is_empty() { Ok(root) } else { root.subtree(self.prefix) }
        };
        let done = Root::open(mounted.path())
            .and_then(whole)
            .map_err(|source| ApplyError::Open { device: self.proven.name().to_owned(), source })
            .and_then(|root| Ok(act(&root)?));
        mounted.unmount()?;
        done
    }
}

fn root_of(work: &Work, disk: usize, pick: PartitionPick) -> Result<(Proven, &'static str, PathBuf), ApplyError> {
    let disk = work.disks.disk(disk)?;
    if pick == PartitionPick::Named(PickName::Root) {
        let (root, proven) = table::root(work, disk)?;
        return Ok((proven, root.kind.name(), root.prefix));
    }
    let proven = table::open(work, disk, pick, Access::Read)?;
    let nodes = vec![proven.node().to_owned()];
    let content = look::ask(work, disk, nodes.clone(), &WhatIsOn { nodes })?.pop().transpose()?.unwrap_or_default();
    let found = content.kind.clone().unwrap_or_else(|| "no known filesystem".to_owned());
    let kind = content.filesystem().ok_or_else(|| ApplyError::NoPartition {
        device: proven.name().to_owned(),
        wanted: format!("a root filesystem (it holds {found})"),
    })?;
    Ok((proven, kind.name(), PathBuf::new()))
}

//! The seed step: the files of the plan's seed, into the root filesystem or onto a partition of their own.

use super::tree::Mounts;
use super::{ApplyError, Context, table};
use crate::finalize::device::Device as Disk;
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::root::Root;
use crate::finalize::seed_write::{self, SeedError, SeedReceipt, VolumeLabel};
use crate::protocol::order::{PartitionPick, PickName, SeedFormat};
use crate::protocol::plan::{Device, PlannedDisk, SeedTarget};
use std::path::{Path, PathBuf};

/// The device that now holds the seed, and what was written.
pub fn write(
    context: &Context<'_>,
    format: SeedFormat,
    target: &SeedTarget,
    mounts: &mut Mounts,
) -> Result<(String, SeedReceipt), ApplyError> {
    let seed = context.seed.ok_or(ApplyError::NoSeed)?;
    let files = &seed.files;
    match target {
        SeedTarget::ImagePartition { disk, partition } => {
            let disk = context.disk(*disk)?;
            let (node, kind, prefix) = root_of(context, disk, *partition)?;
            let root = (node.as_path(), kind, prefix.as_path());
            let receipt = visit(context, root, Access::ReadWrite, |root| seed_write::write_files(root, files))?;
            visit(context, root, Access::ReadOnly, |root| seed_write::compare_files(root, files))?;
            Ok((node.display().to_string(), receipt))
        }
        SeedTarget::Own { on: Device::Partition { disk, name, .. } } => {
            let node = table::node_by_name(context, context.disk(*disk)?, name)?;
            let label = match format {
                SeedFormat::ConfigDrive => VolumeLabel::Config2,
                SeedFormat::Nocloud | SeedFormat::Cidata => VolumeLabel::Cidata,
            };
            let device = Disk::open(&node).map_err(|source| ApplyError::Open { device: node.clone(), source })?;
            let receipt = match &seed.volume {
                Some(volume) => seed_write::write_bytes(&device, label, volume.bytes())?,
                None => seed_write::write_volume(&device, label, files)?,
            };
            Ok((node.display().to_string(), receipt))
        }
        SeedTarget::Tree => {
            let receipt = seed_write::write_files(&mounts.root()?, files)?;
            for file in files {
                mounts.wrote(seed_write::place(file), file.contents.clone().into_bytes());
            }
            Ok(("tree".to_owned(), receipt))
        }
        SeedTarget::Own { .. } => {
            Err(ApplyError::Unsupported { step: "write-seed onto this kind of device".to_owned() })
        }
    }
}

/// Mounts a root filesystem, a directory of it for some, for as long as `work` takes.
fn visit<T>(
    context: &Context<'_>,
    (node, kind, prefix): (&Path, &str, &Path),
    access: Access,
    work: impl FnOnce(&Root) -> Result<T, SeedError>,
) -> Result<T, ApplyError> {
    let mounted = Mounted::mount(node, kind, access, &context.paths.mounts)?;
    let done = Root::open(mounted.path())
        .and_then(|root| if prefix.as_os_str().is_empty() { Ok(root) } else { root.subtree(prefix) })
        .map_err(|source| ApplyError::Open { device: node.to_owned(), source })
        .and_then(|root| Ok(work(&root)?));
    mounted.unmount()?;
    done
}

fn root_of(
    context: &Context<'_>,
    disk: &PlannedDisk,
    pick: PartitionPick,
) -> Result<(PathBuf, &'static str, PathBuf), ApplyError> {
    if pick == PartitionPick::Named(PickName::Root) {
        let root = table::root(context, disk)?;
        return Ok((root.node, root.kind.name(), root.prefix));
    }
    let node = table::node(context, disk, pick)?;
    let content = crate::finalize::filesystem::probe(&node)?;
    let found = content.kind.clone().unwrap_or_else(|| "no known filesystem".to_owned());
    let kind = content.filesystem().ok_or_else(|| ApplyError::NoPartition {
        device: node.clone(),
        wanted: format!("a root filesystem (it holds {found})"),
    })?;
    Ok((node, kind.name(), PathBuf::new()))
}

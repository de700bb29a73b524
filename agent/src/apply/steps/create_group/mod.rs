//! Creates LVM volume groups with lvm, and verifies the metadata of every physical volume.

use super::{ApplyError, CreateGroup, Perform, Ramdisk, Work};
use crate::apply::bound::Access;
use crate::apply::group::{self, Group, LVM};
use crate::apply::{Paths, holders, mapped, resolve};
use crate::finalize::lvm;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A group according to its physical volumes. Bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReceipt {
    pub name: String,
    pub uuid: String,
    pub extent_size: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    pub physical: Vec<PhysicalReceipt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhysicalReceipt {
    pub device: String,
    pub uuid: String,
    /// Offset of the first extent.
    pub start: u64,
    pub extents: u64,
}

impl Perform for CreateGroup {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        ramdisk.program(LVM)?;
        ramdisk.module("dm-mod")
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        mapped::control(&work.paths)?;
        let device = Path::new("/dev").join(&self.name);
        let open: Vec<_> =
            self.physical.iter().map(|one| resolve::open(work, &one.on, Access::Read)).collect::<Result<_, _>>()?;
        let nodes: Vec<PathBuf> = open.iter().map(|proven| proven.node().to_owned()).collect();
        let run =
            |arguments: &[String], what: &Path| group::run(&work.paths.root, &nodes, arguments, what, &work.cancel);
        for (physical, proven) in self.physical.iter().zip(&open) {
            run(&pvcreate(&physical.uuid, proven.node()), proven.name())?;
        }
        forget_links(&self.name, &work.paths);
        run(&vgcreate(self, &nodes), &device)?;
        let below = nodes.iter().map(|node| mapped::kernel_name(node, &work.paths)).collect::<Result<_, _>>()?;
        drop(open);

        let found = group::metadata(work, self)?;
        let devices: Vec<_> = self.physical.iter().map(|one| one.on.clone()).collect();
        let made = Arc::new(Group {
            name: self.name.clone(),
            uuid: found.uuid.clone(),
            nodes,
            below,
            disks: group::disks(work, &devices)?,
            root: work.paths.root.clone(),
            sys: work.paths.sys.clone(),
        });
        // From here on it is closed in any case.
        work.stack.push(made.clone());
        work.add_group(made);
        let physical = compare(self, &found).map_err(|what| ApplyError::Mapping { device: device.clone(), what })?;
        let receipt = GroupReceipt {
            name: self.name.clone(),
            uuid: found.uuid,
            extent_size: found.extent_size,
            tags: found.tags,
            physical,
        };
        work.note("create-group", &device.display().to_string(), &receipt);
        Ok(())
    }
}

/// Removes links that lvm made in a run that was killed, because lvm refuses a group name that exists in /dev. Links of
/// active groups are kept.
fn forget_links(group: &str, paths: &Paths) {
    let (directory, block) = (paths.dev.join(group), paths.sys.join("class/block"));
    let start = mapped::lvm_name(group, "");
    let is_active = |name: &String| {
        let name = fs::read_to_string(block.join(name).join("dm/name")).unwrap_or_default();
        // For the prefix `a-`, `a-b` is volume b, but `a--b-c` belongs to another group.
        name.strip_prefix(&start).is_some_and(|rest| !rest.starts_with('-'))
    };
    if holders::names(&block).iter().any(is_active) {
        return;
    }
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let own = mapped::lvm_name(group, &entry.file_name().to_string_lossy());
        let leads = fs::read_link(entry.path()).ok();
        if leads.is_some_and(|to| to == Path::new("/dev/mapper").join(own)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    // Only if it is empty.
    let _ = fs::remove_dir(&directory);
}

fn pvcreate(uuid: &str, node: &Path) -> Vec<String> {
    // Forced, because the old contents are meant to go.
    let mut all = ["pvcreate", "--yes", "--force", "--force", "--norestorefile", "--uuid"].map(str::to_owned).to_vec();
    all.extend([uuid.to_owned(), "--dataalignment".to_owned(), "1m".to_owned(), node.display().to_string()]);
    all
}

fn vgcreate(step: &CreateGroup, nodes: &[PathBuf]) -> Vec<String> {
    let mut all = ["vgcreate", "--yes", "--physicalextentsize"].map(str::to_owned).to_vec();
    all.push(format!("{}k", step.extent_size / 1024));
    all.extend(step.tags.iter().flat_map(|tag| ["--addtag".to_owned(), tag.clone()]));
    all.push(step.name.clone());
    all.extend(nodes.iter().map(|node| node.display().to_string()));
    all
}

/// Compares a group's metadata with the plan.
fn compare(step: &CreateGroup, found: &lvm::Group) -> Result<Vec<PhysicalReceipt>, String> {
    let mut tags = step.tags.clone();
    tags.sort();
    tags.dedup();
    let mut has = found.tags.clone();
    has.sort();
    if found.name != step.name || found.extent_size != step.extent_size || has != tags {
        return Err(format!(
            "its metadata are of {} with extents of {} bytes, tags {has:?}",
            found.name, found.extent_size
        ));
    }
    if found.physical.len() != step.physical.len() || !found.volumes.is_empty() {
        return Err(format!("it has {} physical volumes and {} volumes", found.physical.len(), found.volumes.len()));
    }
    let each = step.physical.iter().map(|physical| {
        let (_, part) = group::part(found, &physical.uuid).ok_or_else(|| format!("it lacks {}", physical.uuid))?;
        if part.extents < physical.extents {
            let (has, planned) = (part.extents, physical.extents);
            return Err(format!("its physical volume {} has {has} extents, {planned} were planned", physical.uuid));
        }
        Ok(PhysicalReceipt {
            device: crate::protocol::plan::words::device(&physical.on),
            uuid: physical.uuid.clone(),
            start: part.start,
            extents: part.extents,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests;

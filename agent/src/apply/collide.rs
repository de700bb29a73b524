//! After an image is written, looks for its identifiers on the disks that stay: a boot loader or fstab that finds the
//! other disk would start the wrong system. The image's identifiers are known only now, and the firmware has not been
//! changed yet.

use super::bound::BoundDisk;
use super::work::Work;
use super::{ApplyError, look, table, whole};
use crate::finalize::adjust::Extent;
use crate::finalize::filesystem::{Content, FilesystemError};
use crate::finalize::look::WhatIsOn;
use crate::finalize::table::{Label, TableError};
use crate::plan::{self, Identifier};
use crate::protocol::order::Collisions;
use crate::protocol::plan::{Fate, Step};
use serde::Serialize;
use std::collections::BTreeSet;

/// The comparison for one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollisionReceipt {
    pub device: String,
    /// GUIDs, UUIDs, labels and array names.
    pub identifiers: usize,
    /// Those that another disk has too.
    pub found: Vec<String>,
}

/// Every disk that got an image.
pub fn find(work: &Work) -> Result<(), ApplyError> {
    let images = work.plan.steps.iter().filter(|step| matches!(step, Step::WriteImage(_) | Step::WritePartition(_)));
    let disks: BTreeSet<usize> = images.flat_map(Step::disks).collect();
    for index in disks {
        let receipt = on(work, index)?;
        work.note("find-collisions", &receipt.device, &receipt);
    }
    Ok(())
}

fn on(work: &Work, index: usize) -> Result<CollisionReceipt, ApplyError> {
    let (disk, device) = (work.disks.disk(index)?, work.planned(index)?.device.clone());
    let identifiers = identifiers(work, disk)?;
    let overwritten = work.plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten);
    let overwritten: Vec<&str> = overwritten.map(|disk| disk.device.as_str()).collect();
    let found = plan::find_collisions(&work.inventory, &overwritten, &identifiers);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    if !found.is_empty() {
        let error = ApplyError::Collision { device: disk.name().to_owned(), found: found.join("; ") };
        match work.order.policies.collisions {
            Collisions::Refuse => return Err(error),
            Collisions::Warn => work.anomaly(&device, &error),
        }
    }
    Ok(CollisionReceipt { device, identifiers: identifiers.len(), found })
}

fn identifiers(work: &Work, disk: &BoundDisk) -> Result<BTreeSet<Identifier>, ApplyError> {
    let mut all = BTreeSet::new();
    match table::read(disk) {
        Ok(Label::Gpt(gpt)) => {
            all.insert(Identifier::DiskGuid(gpt.header.disk_guid.to_string()));
            let own =
                |one: &&crate::finalize::gpt::Partition| !disk.keep().iter().any(|kept| kept.number == one.number);
            all.extend(gpt.partitions().iter().filter(own).map(|one| Identifier::PartitionGuid(one.guid.to_string())));
        }
        Ok(Label::Mbr(_)) => {}
        // The image is a single filesystem, or some other content without a table.
        Err(ApplyError::Table(TableError::Missing { .. })) => {
            add(&mut all, whole::probe(disk))?;
            return Ok(all);
        }
        Err(error) => return Err(error),
    }
    let open = |extent: &Extent| table::reading(work, disk, extent.number);
    let brought =
        table::partitions(disk)?.into_iter().filter(|one| !disk.keep().iter().any(|kept| kept.number == one.number));
    let proven = brought.map(|one| open(&one)).collect::<Result<Vec<_>, _>>()?;
    let nodes: Vec<_> = proven.iter().map(|one| one.node().to_owned()).collect();
    for content in look::ask(work, disk, nodes.clone(), &WhatIsOn { nodes })? {
        add(&mut all, content.map_err(ApplyError::from))?;
    }
    Ok(all)
}

fn add(all: &mut BTreeSet<Identifier>, content: Result<Content, ApplyError>) -> Result<(), ApplyError> {
    let content = match content {
        // Nothing finds it by name at boot either.
        Err(ApplyError::Filesystem(FilesystemError::Ambivalent { .. })) => return Ok(()),
        content => content?,
    };
    let kind = content.kind.as_deref().unwrap_or_default();
    all.extend(plan::content_identifiers(kind, content.uuid.as_deref(), content.label.as_deref()));
    Ok(())
}

//! What an image brought with it, looked for on the disks that stay: a boot loader or fstab that finds the other one would
//! start the wrong system. It is known only now, and nothing has been told to firmware yet.

use super::{ApplyError, Context, table};
use crate::error::Coded;
use crate::finalize::filesystem::{self, FilesystemError};
use crate::finalize::table::{Label, TableError};
use crate::plan::{self, Identifier};
use crate::protocol::Kind;
use crate::protocol::event::Anomaly;
use crate::protocol::order::Collisions;
use crate::protocol::plan::{Fate, PlannedDisk, Step};
use crate::report::Emitter;
use serde::Serialize;
use std::collections::BTreeSet;

/// What was compared on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollisionReceipt {
    pub device: String,
    /// GUIDs, UUIDs, labels and array names.
    pub identifiers: usize,
    /// Those that another disk has too.
    pub found: Vec<String>,
}

/// Every disk that got an image.
pub fn find(context: &Context<'_>, emitter: &Emitter) -> Result<Vec<CollisionReceipt>, ApplyError> {
    let written = context.plan.steps.iter().filter_map(|step| match step {
        Step::WriteImage { disks, .. } => Some(disks),
        _ => None,
    });
    let disks: BTreeSet<usize> = written.flatten().copied().collect();
    disks.into_iter().map(|index| on(context, context.disk(index)?, emitter)).collect()
}

fn on(context: &Context<'_>, disk: &PlannedDisk, emitter: &Emitter) -> Result<CollisionReceipt, ApplyError> {
    let identifiers = identifiers(context, disk)?;
    let overwritten = context.plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten);
    let overwritten: Vec<&str> = overwritten.map(|disk| disk.device.as_str()).collect();
    let found = plan::find_collisions(context.inventory, &overwritten, &identifiers);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    if !found.is_empty() {
        let error = ApplyError::Collision { device: context.path(disk), found: found.join("; ") };
        match context.order.policies.collisions {
            Collisions::Refuse => return Err(error),
            Collisions::Warn => {
                let problem = error.problem();
                log::warn!("{} [{}]", problem.message, problem.code);
                emitter.emit(Kind::Anomaly(Anomaly { device: Some(disk.device.clone()), problem }));
            }
        }
    }
    Ok(CollisionReceipt { device: disk.device.clone(), identifiers: identifiers.len(), found })
}

fn identifiers(context: &Context<'_>, disk: &PlannedDisk) -> Result<BTreeSet<Identifier>, ApplyError> {
    let mut all = BTreeSet::new();
    let nodes = match table::read(context, disk) {
        Ok(Label::Gpt(gpt)) => {
            all.insert(Identifier::DiskGuid(gpt.header.disk_guid.to_string()));
            all.extend(gpt.partitions().iter().map(|one| Identifier::PartitionGuid(one.guid.to_string())));
            table::nodes(context, disk)?
        }
        Ok(Label::Mbr(_)) => table::nodes(context, disk)?,
        // The image is one filesystem, or something of its own kind.
        Err(ApplyError::Table(TableError::Missing { .. })) => vec![context.path(disk)],
        Err(error) => return Err(error),
    };
    for node in nodes {
        let content = match filesystem::probe(&node) {
            // Nothing at boot finds it by name either.
            Err(FilesystemError::Ambivalent { .. }) => continue,
            content => content?,
        };
        let kind = content.kind.as_deref().unwrap_or_default();
        all.extend(plan::content_identifiers(kind, content.uuid.as_deref(), content.label.as_deref()));
    }
    Ok(all)
}

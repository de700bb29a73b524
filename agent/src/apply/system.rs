//! Mounts the system of an image, to write files into it and to read them back.

use super::arrays::Array;
use super::bound::{BoundDisk, Proven};
use super::work::Work;
use super::{ApplyError, look, table};
use crate::finalize::filesystem::{Content, FilesystemError};
use crate::finalize::look::{WhatIsOn, WhichIsRoot};
use crate::finalize::mount::Access;
use crate::finalize::rootfs::{Candidate, RootFilesystem};
use crate::finalize::system::System;
use crate::protocol::order::{PartitionPick, PickName};
use std::sync::Arc;

/// Its partitions, held open, with their contents, and which of them has the root.
#[derive(Debug)]
pub struct Image {
    partitions: Vec<(Candidate, Option<Content>)>,
    open: Vec<Proven>,
    root: RootFilesystem,
    /// The array that it lies on, if it is mirrored.
    array: Option<Arc<Array>>,
}

impl Image {
    pub fn find(work: &Work, disk: usize, pick: PartitionPick) -> Result<Self, ApplyError> {
        let disk = work.disks.disk(disk)?;
        let only = match pick {
            PartitionPick::Named(PickName::Root) => None,
            pick => Some(table::number(work, disk, pick)?),
        };
        let (candidates, open) = table::candidates(work, disk)?;
        let nodes = candidates.iter().map(|one| one.node.clone()).collect();
        let question = WhichIsRoot { candidates: candidates.clone(), mounts: work.paths.mounts.clone(), only };
        let root = look::ask(work, disk, nodes, &question)??;
        let contents = contents(work, disk, &candidates)?;
        let array = work.array_over(disk, root.number);
        Ok(Self { partitions: candidates.into_iter().zip(contents).collect(), open, root, array })
    }

    /// The partition that contains a path of the system, for receipts.
    pub fn device(&self, system: &System, path: &str) -> String {
        let holding = system.holding(path);
        let open = self.open.iter().find(|proven| Some(proven.node()) == holding);
        open.map(Proven::device).unwrap_or_default()
    }

    /// Mounts what is needed for these directories (everything, if none are named), for the duration of a callback.
    pub fn visit<T>(
        &self,
        work: &Work,
        access: Access,
        wanted: &[&str],
        act: impl FnOnce(&System) -> Result<T, ApplyError>,
    ) -> Result<T, ApplyError> {
        let system = System::open(&self.partitions, &self.root, access, &work.paths.mounts, wanted)?;
        let done = act(&system);
        system.close()?;
        done
    }

    /// Mounts it again, read-only, to compare what was written; on a mirror, each copy separately.
    pub fn read_back(
        &self,
        work: &Work,
        wanted: &[&str],
        compare: impl Fn(&System) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        let Some(array) = &self.array else { return self.visit(work, Access::ReadOnly, wanted, compare) };
        let compared = (0..array.copies()).try_for_each(|copy| {
            array.read_from(Some(copy))?;
            self.visit(work, Access::ReadOnly, wanted, &compare)
        });
        // Also after a failure: a member that stays write-mostly would be so in the installed system.
        array.read_from(None)?;
        compared
    }
}

/// The contents of one partition.
pub fn content(work: &Work, disk: &BoundDisk, proven: &Proven) -> Result<Content, ApplyError> {
    let nodes = vec![proven.node().to_owned()];
    let found = look::ask(work, disk, nodes.clone(), &WhatIsOn { nodes })?;
    Ok(found.into_iter().next().unwrap_or_else(|| Ok(Content::default()))?)
}

/// The contents of each; `None` if they are ambiguous.
pub fn contents(work: &Work, disk: &BoundDisk, candidates: &[Candidate]) -> Result<Vec<Option<Content>>, ApplyError> {
    let nodes: Vec<_> = candidates.iter().map(|one| one.node.clone()).collect();
    let found = look::ask(work, disk, nodes.clone(), &WhatIsOn { nodes })?;
    let found = found.into_iter().map(|content| match content {
        Err(FilesystemError::Ambivalent { .. }) => Ok(None),
        content => Ok(Some(content?)),
    });
    found.collect()
}

//! Puts Ignition's configuration where its systems look for it at first boot.

use super::{ApplyError, Work};
use crate::apply::{look, table};
use crate::finalize::ignition::IgnitionPlace;
use crate::finalize::look::WhichIsIgnitions;
use crate::finalize::mount::{Access, Mounted};
use crate::finalize::root::Root;
use crate::finalize::rootfs::Candidate;
use crate::finalize::seed_write::{SeedError, SeedFileReceipt, SeedReceipt};
use crate::plan::SeedFiles;
use crate::protocol::order::PartitionPick;
use std::path::{Path, PathBuf};

/// It may hold keys and passwords.
const MODE: u32 = 0o600;

pub fn write(
    work: &Work,
    disk: usize,
    pick: Option<PartitionPick>,
    seed: &SeedFiles,
) -> Result<(String, SeedReceipt), ApplyError> {
    let bound = work.disks.disk(disk)?;
    let (mut candidates, open) = table::candidates(work, bound)?;
    if let Some(pick) = pick {
        let number = table::number(work, bound, pick)?;
        candidates.retain(|candidate| candidate.number == number);
    }
    let nodes = candidates.iter().map(|one| one.node.clone()).collect();
    let question = WhichIsIgnitions { candidates: candidates.clone(), mounts: work.paths.mounts.clone() };
    let found = look::ask(work, bound, nodes, &question)??;
    let none = || ApplyError::NoIgnition { device: PathBuf::from(bound.name()), several: !found.is_empty() };
    let [place] = found.as_slice() else { return Err(none()) };
    let candidate = candidates.iter().find(|one| one.number == place.number).ok_or_else(none)?;
    let file = seed.files.first().ok_or(ApplyError::NoSeed)?;
    let path = Path::new(&place.directory).join(file.path).display().to_string();
    let shown = PathBuf::from(&path);
    visit(candidate, place, Access::ReadWrite, work, |root| {
        let failed = |source| SeedError::File { path: shown.clone(), source };
        root.write(&place.directory, file.path, file.contents.as_bytes(), MODE).map_err(failed)
    })?;
    visit(candidate, place, Access::ReadOnly, work, |root| {
        let failed = |source| SeedError::Lost { path: shown.clone(), source };
        match root.read(&path, file.contents.len() as u64).map_err(failed)? == file.contents.as_bytes() {
            true => Ok(()),
            false => Err(SeedError::FileReadBack { path: shown.clone() }),
        }
    })?;
    let device = open.iter().find(|proven| proven.number() == Some(place.number));
    let files = vec![SeedFileReceipt { path, bytes: file.contents.len() as u64 }];
    Ok((device.map(|proven| proven.device()).unwrap_or_default(), SeedReceipt { place: place.label.clone(), files }))
}

fn visit(
    candidate: &Candidate,
    place: &IgnitionPlace,
    access: Access,
    work: &Work,
    act: impl FnOnce(&Root) -> Result<(), SeedError>,
) -> Result<(), ApplyError> {
    let mounted = Mounted::mount(&candidate.node, place.kind.name(), access, &work.paths.mounts)?;
    let opened = Root::open(mounted.path());
    let opened = opened.map_err(|source| ApplyError::Open { device: candidate.node.clone(), source });
    let done = opened.and_then(|root| Ok(act(&root)?));
    mounted.unmount()?;
    done
}

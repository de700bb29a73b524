//! Writes the order's files into the system of an image or into a tree, with labels, and reads them back.

use super::{ApplyError, Perform, Ramdisk, Work, WriteFiles};
use crate::apply::fetch;
use crate::apply::system::Image;
use crate::finalize::files::{self, FileReceipt, NewFile, relative};
use crate::finalize::mount::Access as Mode;
use crate::plan::{FileContents, PlacedFile};
use crate::protocol::order::{OrderFile, PartitionPick};
use crate::protocol::plan::{PlannedFile, SeedTarget};
use serde::Serialize;
use std::borrow::Cow;

/// The files that were written, without their contents.
#[derive(Debug, Serialize)]
struct FilesReceipt {
    files: Vec<FileReceipt>,
}

impl Perform for WriteFiles {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        match self.target {
            SeedTarget::Own { .. } | SeedTarget::Ignition { .. } => {
                Err(ApplyError::Unsupported { step: "write-files onto a partition without a system".to_owned() })
            }
            SeedTarget::ImagePartition { .. } | SeedTarget::Tree => Ok(()),
        }
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let bytes = self.files.iter().map(|file| contents(work, file)).collect::<Result<Vec<_>, _>>()?;
        let new: Vec<NewFile<'_>> = self.files.iter().zip(&bytes).map(|(file, bytes)| new_file(file, bytes)).collect();
        let (device, receipts) = match &self.target {
            SeedTarget::ImagePartition { disk, partition } => into_image(work, *disk, *partition, &new)?,
            SeedTarget::Tree => into_tree(work, &new)?,
            SeedTarget::Own { .. } | SeedTarget::Ignition { .. } => {
                return Err(ApplyError::Unsupported { step: "write-files".to_owned() });
            }
        };
        work.note("write-files", &device, &FilesReceipt { files: receipts });
        Ok(())
    }
}

fn new_file<'a>(file: &'a PlannedFile, bytes: &'a [u8]) -> NewFile<'a> {
    // From the plan, so it is octal.
    let mode = u32::from_str_radix(&file.mode, 8).unwrap_or(0o600);
    NewFile { path: &file.path, bytes, mode, owner: file.owner.as_ref(), group: file.group.as_ref() }
}

/// Fetched before anything is mounted.
fn contents<'a>(work: &'a Work, file: &PlannedFile) -> Result<Cow<'a, [u8]>, ApplyError> {
    let placed = work.seed.as_deref().map(|seed| seed.placed.as_slice()).unwrap_or_default();
    let same = |placed: &&PlacedFile| placed.path == file.path && url(placed) == file.url.as_deref();
    let placed = placed.iter().find(same).ok_or(ApplyError::NoSeed)?;
    match &placed.contents {
        FileContents::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        FileContents::Url { url, digest } => Ok(Cow::Owned(fetch::file(work, url, digest, OrderFile::MOST)?)),
    }
}

fn url(placed: &PlacedFile) -> Option<&str> {
    match &placed.contents {
        FileContents::Bytes(_) => None,
        FileContents::Url { url, .. } => Some(url),
    }
}

fn into_image(
    work: &Work,
    disk: usize,
    pick: PartitionPick,
    new: &[NewFile<'_>],
) -> Result<(String, Vec<FileReceipt>), ApplyError> {
    let image = Image::find(work, disk, pick)?;
    let (device, receipts) = image.visit(work, Mode::ReadWrite, &[], |system| {
        new.iter().try_for_each(|file| system.check(relative(file.path)))?;
        let first = new.first().map_or("", |file| relative(file.path));
        Ok((image.device(system, first), files::write(system.root(), new)?))
    })?;
    image.read_back(work, &[], |system| Ok(files::compare(system.root(), new, &receipts)?))?;
    Ok((device, receipts))
}

/// Compared together with everything that is written to the tree after its archive.
fn into_tree(work: &Work, new: &[NewFile<'_>]) -> Result<(String, Vec<FileReceipt>), ApplyError> {
    let mut tree = work.tree();
    let written = tree.root().and_then(|root| Ok(files::write(&root, new)?));
    let receipts = written.map_err(|error| error.on(&tree))?;
    for (file, receipt) in new.iter().zip(&receipts) {
        tree.put(receipt.clone(), file.bytes);
    }
    Ok(("tree".to_owned(), receipts))
}

//! The image step: disks opened, the engine run, what makes them boot withheld.

use super::report::Teller;
use super::{ApplyError, Perform, Ramdisk, Work, WriteImage};
use crate::apply::bound::{Access, BoundDisk, Part, Until};
use crate::apply::fetch;
use crate::disk::Target;
use crate::error::Coded;
use crate::image::{self, Destination, Progress as _, Source, WriteRequest};
use crate::protocol::ImageReceipt;
use crate::protocol::image::ImageSpec;
use std::sync::Arc;

impl Perform for WriteImage {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    /// With one download. Receipts are noted whatever becomes of the other disks.
    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let name = &self.image;
        let spec = work.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.clone() })?;
        let mut failed: Vec<(Arc<BoundDisk>, ApplyError)> = Vec::new();
        let mut targets = Vec::new();
        for &index in &self.disks {
            let disk = work.disks.disk(index)?;
            match disk.target() {
                Ok(target) => targets.push((disk.clone(), target)),
                Err(error) => failed.push((disk.clone(), error)),
            }
        }
        let written = if targets.is_empty() { Vec::new() } else { write(self, work, spec, &targets)? };
        let disks: Vec<Arc<BoundDisk>> = targets.into_iter().map(|(disk, _)| disk).collect();
        for (disk, ended) in disks.into_iter().zip(written) {
            let ended = ended.and_then(|receipt| {
                work.add_image(receipt);
                withhold(&disk, &work.order.id)
            });
            if let Err(error) = ended {
                failed.push((disk, error));
            }
        }
        several(work, failed, self.disks.len())
    }
}

/// How it ended on each of them.
fn write(
    step: &WriteImage,
    work: &Work,
    spec: &ImageSpec,
    targets: &[(Arc<BoundDisk>, Target)],
) -> Result<Vec<Result<ImageReceipt, ApplyError>>, ApplyError> {
    let tellers: Vec<Teller<'_>> = targets.iter().map(|(disk, _)| Teller::new(disk.name(), &work.emitter)).collect();
    let destinations: Vec<Destination<'_>> =
        targets.iter().zip(&tellers).map(|((_, target), progress)| Destination { target, progress }).collect();
    let fetched = fetch::prepare(work, spec)?;
    let mut request = WriteRequest::new(Source::Http(fetched.http.clone()));
    request.format = spec.format;
    request.verify = step.verify;
    request.digest = fetched.digest;
    request.signature = fetched.signature;
    if let (Some(index), [_], Some(first)) = (&spec.delta, step.disks.as_slice(), tellers.first()) {
        let note = |text: &str| first.note(text);
        request.delta = fetch::index(&fetched.http, index, &work.cancel, &note)?;
    }
    let ended = image::write_all(request, &destinations, &work.cancel)?;
    Ok(ended.into_iter().map(|ended| ended.map_err(ApplyError::from)).collect())
}

/// Takes the image's two ends off the disk again, until the order is done.
fn withhold(disk: &BoundDisk, order: &str) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    Ok(disk.area().withhold_present(&device, order)?)
}

/// One disk's failure is the step's; of several, each is told, and the step's names all of them.
fn several(work: &Work, failed: Vec<(Arc<BoundDisk>, ApplyError)>, of: usize) -> Result<(), ApplyError> {
    let named: Vec<String> =
        failed.iter().map(|(disk, error)| format!("{} [{}]", disk.name().display(), error.code())).collect();
    for (disk, error) in &failed {
        if error.code() == "disk.hung" {
            disk.keep_off(Until::Boot);
        }
        if of > 1 {
            work.anomaly(&disk.name().display().to_string(), error);
        }
    }
    match failed.into_iter().next() {
        None => Ok(()),
        Some((_, error)) if of == 1 => Err(error),
        Some((_, error)) => Err(ApplyError::Disks { failed: named, of, source: Box::new(error) }),
    }
}

//! Writes an image: opens the disks, runs the engine, withholds the bootable parts.

use super::report::Teller;
use super::{ApplyError, Perform, Ramdisk, Work, WriteImage};
use crate::apply::bound::{Access, BoundDisk, Part, Until};
use crate::apply::fetch;
use crate::disk::Target;
use crate::error::Coded;
use crate::finalize::device::Sectors;
use crate::image::{
    self, Destination, Ending, ImageError, Inspect, Progress as _, Refusal, Withheld, WriteRequest, Written,
};
use crate::plan;
use crate::protocol::event::Anomaly;
use crate::protocol::image::ImageSpec;
use crate::protocol::plan::Warning;
use crate::protocol::{Kind, Problem};
use burin_table::head::Head;
use hwinventory::model::unfinished;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Perform for WriteImage {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    /// With a single download. Receipts are recorded whatever happens to the other disks.
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
            let ended = ended.and_then(|Written { receipt, withheld }| {
                work.add_image(receipt);
                withhold(&disk, withheld, &work.order.id)
            });
            if let Err(error) = ended {
                // The engine had already started on it.
                if matches!(error, ApplyError::Image(ImageError::Stopped { .. })) {
                    disk.area().begin();
                }
                failed.push((disk, error));
            }
        }
        several(work, failed, self.disks.len())
    }
}

/// The result for each disk.
fn write(
    step: &WriteImage,
    work: &Work,
    spec: &ImageSpec,
    targets: &[(Arc<BoundDisk>, Target)],
) -> Result<Vec<Result<Written, ApplyError>>, ApplyError> {
    let tellers: Vec<Teller<'_>> = targets.iter().map(|(disk, _)| Teller::new(disk.name(), &work.emitter)).collect();
    let destinations: Vec<Destination<'_>> =
        targets.iter().zip(&tellers).map(|((_, target), progress)| Destination { target, progress }).collect();
    let fetched = fetch::prepare(work, spec)?;
    let (source, digest) = fetched.disk(&work.cancel)?;
    let mut request = WriteRequest::new(source);
    let spec = &fetched.spec;
    request.format = spec.format;
    request.verify = step.verify;
    request.digest = digest;
    request.signature = fetched.signature;
    request.sector_size = spec.sector_size;
    request.inspect = Some(inspect(step, work)?);
    request.ending = Ending::Withhold { mark: unfinished::mark(&work.order.id) };
    if let (Some(index), [_], Some(first)) = (&spec.delta, step.disks.as_slice(), tellers.first()) {
        let note = |text: &str| first.note(text);
        request.delta = fetch::index(&fetched.http, index, &work.cancel, &note)?;
    }
    let published = fetched.published;
    let ended = image::write_all(request, &destinations, &work.cancel)?;
    let told = |mut written: Written| {
        written.receipt.published.clone_from(&published);
        written
    };
    Ok(ended.into_iter().map(|ended| ended.map(told).map_err(ApplyError::from)).collect())
}

/// Every later step is tried on the image's first MiB, before a disk is touched.
fn inspect(step: &WriteImage, work: &Work) -> Result<Inspect, ApplyError> {
    let (order, plan, image) = (work.order.clone(), work.plan.clone(), step.image.clone());
    let mut optimal = BTreeMap::new();
    for &index in &step.disks {
        optimal.insert(index, work.disks.disk(index)?.kernel()?.optimal_io_size()?);
    }
    let emitter = work.emitter.clone();
    Ok(Inspect::new(move |head| {
        let head = Head::parse(head.bytes.to_vec());
        let optimal_io = |index| optimal.get(&index).copied().unwrap_or(0);
        let warnings = plan::check_head(&order, &plan, &image, &head, &optimal_io);
        for Warning { code, message } in warnings.map_err(|error| Refusal(Box::new(error)))? {
            log::warn!("{message} [{code}]");
            let problem = Problem { code, message, causes: Vec::new(), hint: None };
            emitter.emit(Kind::Anomaly(Anomaly { device: None, problem }));
        }
        Ok(())
    }))
}

/// Keeps what the engine withheld, until the order is done.
fn withhold(disk: &BoundDisk, withheld: Option<Withheld>, order: &str) -> Result<(), ApplyError> {
    let device = disk.open(Part::Whole, Access::Write)?.into_device()?;
    let Some(Withheld { mut head, tail: reached }) = withheld else {
        return Ok(disk.area().withhold_present(&device, order)?);
    };
    let (head_length, tail_length) = disk.area().lengths();
    let mut tail = vec![0; tail_length];
    if let Some((offset, bytes)) = reached {
        let begin = device.size() - tail_length as u64;
        // On a disk so small that both ends meet, the part of the image before the tail is in the head.
        let skip = usize::try_from(begin.saturating_sub(offset)).unwrap_or(usize::MAX);
        let at = usize::try_from(offset.saturating_sub(begin)).unwrap_or(usize::MAX);
        let bytes = bytes.get(skip..).unwrap_or_default();
        if let Some(room) = tail.get_mut(at..).and_then(|room| room.get_mut(..bytes.len())) {
            room.copy_from_slice(bytes);
        }
    }
    head.resize(head_length, 0);
    Ok(disk.area().withhold(&device, head, tail, order)?)
}

/// A single disk's failure is the step's failure; with several disks, each failure is reported, and the step's error
/// names all of them.
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

//! The sequence of an order: its steps, the checks between them, and the final writes. The only place that knows it.

use super::bound::{Access, BoundDisk, Part};
use super::steps::{self, boot_entry};
use super::work::Work;
use super::{Applied, ApplyError, Context, collide, watch};
use crate::finalize::mount;
use crate::image::Cancel;
use crate::protocol::Control;
use crate::protocol::plan::Step;
use crate::stage::{Failure, Stages};
use std::sync::Arc;

/// Carries out every step. After a failure, `done` contains what was done before.
///
/// On every exit path, everything open is closed, and a disk that was being written does not boot.
pub fn apply(context: &Context<'_>, stages: &mut Stages, done: &mut Applied) -> Result<(), Failure> {
    let work = Arc::new(Work::new(context, stages.emitter().clone()));
    let sequence = Sequence { work: &work, safe_point: context.safe_point };
    let result = sequence.run(stages);
    sequence.tell_of_paths(&work.overwritten());
    if result.is_err() {
        // That error takes precedence.
        let (changes, _) = work.stack.close(work.patience);
        changes.into_iter().for_each(|change| work.add(change));
        forget_partitions(&work);
    }
    let Applied { images, changes } = work.take_done();
    done.images.extend(images);
    done.changes.extend(changes);
    result
}

/// No table contains the partitions that the kernel was told of; later users of the machine must not take them for
/// real.
fn forget_partitions(work: &Work) {
    for disk in work.overwritten() {
        if !disk.area().is_begun() || disk.is_hung() {
            continue;
        }
        let one = disk.clone();
        let cancel = Cancel::default();
        let watched = [disk.clone()];
        if let Err(error) =
            watch::run("forget-partitions", &watched, work.patience, &cancel, move || one.tell_kernel(&[]))
        {
            log::warn!("{}: the kernel keeps its partitions: {error}", disk.name().display());
        }
    }
}

struct Sequence<'a> {
    work: &'a Arc<Work>,
    safe_point: &'a dyn Fn() -> Control,
}

impl Sequence<'_> {
    fn run(&self, stages: &mut Stages) -> Result<(), Failure> {
        let overwritten = self.work.overwritten();
        self.stage(stages, "clear-mounts", &[], |work| Ok(mount::clear(&work.paths.mounts)?))?;
        let mut images =
            self.work.plan.steps.iter().any(|step| matches!(step, Step::WriteImage(_) | Step::WritePartition(_)));
        for (index, step) in self.work.plan.steps.iter().enumerate() {
            // The image's identifiers are known now, and neither it nor the firmware has been changed yet.
            if images && matches!(step, Step::WriteFiles(_) | Step::WriteSeed(_) | Step::BootEntry(_)) {
                images = false;
                self.stage(stages, "find-collisions", &overwritten, collide::find)?;
            }
            // The loader is looked up when everything is on the disk and has been read back.
            if matches!(step, Step::BootEntry(_)) {
                self.settle(stages, &overwritten)?;
            }
            self.step(stages, index, step)?;
        }
        if images {
            self.stage(stages, "find-collisions", &overwritten, collide::find)?;
        }
        self.settle(stages, &overwritten)?;
        self.verify_preserved(stages)?;
        self.verify_kept(stages)?;
        self.make_bootable(stages, &overwritten)?;
        if !self.work.found().is_empty() {
            self.stage(stages, "tell-firmware", &[], boot_entry::tell_firmware)?;
        }
        Ok(())
    }

    fn step(&self, stages: &mut Stages, index: usize, step: &Step) -> Result<(), Failure> {
        let disks = self.work.watched(step);
        stages.run(step.name(), || {
            if (self.safe_point)() == Control::Cancel || self.work.cancel.is_cancelled() {
                return Err(ApplyError::Cancelled);
            }
            let work = self.work.clone();
            let patience = steps::patience(step, work.patience);
            watch::run(step.name(), &disks, patience, &self.work.cancel, move || match work.plan.steps.get(index) {
                Some(step) => steps::perform(step, &work),
                None => Ok(()),
            })
        })?;
        self.tell_of_paths(&disks);
        Ok(())
    }

    /// What failed has been written by another path; somebody should know nevertheless.
    fn tell_of_paths(&self, disks: &[Arc<BoundDisk>]) {
        for disk in disks {
            for (path, left) in disk.newly_failed() {
                let device = disk.name().to_owned();
                self.work.anomaly(
                    &device.display().to_string(),
                    &ApplyError::PathFailed { device: device.clone(), path, left },
                );
            }
        }
    }

    /// Everything is closed, read back and flushed from caches; arrays are marked clean. A second call has nothing left
    /// to do.
    fn settle(&self, stages: &mut Stages, disks: &[Arc<BoundDisk>]) -> Result<(), Failure> {
        self.stage(stages, "settle", disks, |work| {
            let mut tree = work.tree();
            let settled = tree.settle(work);
            settled.map_err(|error| error.on(&tree))?;
            Ok(mount::clear(&work.paths.mounts)?)
        })?;
        if self.work.stack.is_empty() {
            return Ok(());
        }
        stages.run("stop-arrays", || {
            let (changes, failed) = self.work.stack.close(self.work.patience);
            changes.into_iter().for_each(|change| self.work.add(change));
            failed.map_or(Ok(()), Err)
        })
    }

    fn verify_preserved(&self, stages: &mut Stages) -> Result<(), Failure> {
        let evidence = self.work.evidence();
        if evidence.is_empty() {
            return Ok(());
        }
        let disks: Vec<Arc<BoundDisk>> =
            evidence.iter().filter_map(|(index, _)| self.work.disks.disk(*index).ok().cloned()).collect();
        self.stage(stages, "verify-preserved", &disks, move |work| {
            for (index, before) in &evidence {
                let receipt = before.compare(work.disks.disk(*index)?)?;
                work.note("preserve", &receipt.device, &receipt);
            }
            Ok(())
        })
    }

    /// Reads kept partitions again. Their disk is made bootable only if they are unchanged.
    fn verify_kept(&self, stages: &mut Stages) -> Result<(), Failure> {
        let kept = self.work.kept();
        if kept.is_empty() {
            return Ok(());
        }
        let disks: Vec<Arc<BoundDisk>> =
            kept.iter().filter_map(|(index, _)| self.work.disks.disk(*index).ok().cloned()).collect();
        self.stage(stages, "verify-kept", &disks, move |work| {
            for (index, before) in &kept {
                let disk = work.disks.disk(*index)?;
                let receipt = before.compare(disk, &work.cancel)?;
                work.note("verify-kept", &disk.name().display().to_string(), &receipt);
            }
            Ok(())
        })
    }

    /// The order's last writes. Once started, they are not cancelled: they take no time.
    fn make_bootable(&self, stages: &mut Stages, disks: &[Arc<BoundDisk>]) -> Result<(), Failure> {
        let waiting: Vec<Arc<BoundDisk>> = disks.iter().filter(|disk| disk.area().is_withheld()).cloned().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        stages.run("make-bootable", || {
            if (self.safe_point)() == Control::Cancel || self.work.cancel.is_cancelled() {
                return Err(ApplyError::Cancelled);
            }
            for disk in waiting {
                let (work, one) = (self.work.clone(), disk.clone());
                watch::run("make-bootable", &[disk], self.work.patience, &Cancel::default(), move || {
                    let device = one.open(Part::Whole, Access::Write)?.into_device()?;
                    if let Some(committed) = one.area().commit(&device, &work.order.id)? {
                        work.note("make-bootable", &committed.device, &committed);
                        work.add_verified(&committed, one.size());
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    fn stage(
        &self,
        stages: &mut Stages,
        name: &'static str,
        disks: &[Arc<BoundDisk>],
        act: impl FnOnce(&Work) -> Result<(), ApplyError> + Send + 'static,
    ) -> Result<(), Failure> {
        stages.run(name, || self.watched(name, disks, act))
    }

    fn watched(
        &self,
        name: &'static str,
        disks: &[Arc<BoundDisk>],
        act: impl FnOnce(&Work) -> Result<(), ApplyError> + Send + 'static,
    ) -> Result<(), ApplyError> {
        let work = self.work.clone();
        watch::run(name, disks, self.work.patience, &self.work.cancel, move || act(&work))
    }
}

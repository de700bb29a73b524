//! A plan's steps, carried out one after the other on the disks that it names, and on no others.
//!
//! The plan that comes here was made from an inventory taken a moment ago: pinning is done by planning again and
//! comparing digests ([`pin`]), so that what is applied fits the machine as it is now.

mod boot;
mod collide;
mod error;
mod fetch;
mod filesystem;
mod image;
mod install;
mod mdadm_conf;
mod preserve;
mod raid;
mod seed;
mod table;
mod tools;
mod tree;
mod wipe;

pub use error::ApplyError;

use crate::finalize::mount;
use crate::image::Cancel;
use crate::plan::SeedFiles;
use crate::protocol::order::Order;
use crate::protocol::plan::{Plan, PlannedDisk, Step};
use crate::protocol::receipt::Change;
use crate::protocol::{Control, ImageReceipt};
use crate::stage::{Failure, Stages};
use hwinventory::Inventory;
use preserve::Evidence;
use raid::Arrays;
use serde::Serialize;
use std::path::PathBuf;
use tree::Mounts;

/// Directories of the running system.
#[derive(Debug, Clone)]
pub struct Paths {
    pub sys: PathBuf,
    pub dev: PathBuf,
    /// Where partitions are mounted for a moment.
    pub mounts: PathBuf,
    /// Where mkfs and the like are.
    pub root: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into(), mounts: "/run/burin/mnt".into(), root: "/".into() }
    }
}

/// What the steps need beside the plan.
pub struct Context<'a> {
    pub order: &'a Order,
    pub plan: &'a Plan,
    /// What the plan was made from: it knows what is on the disks that stay.
    pub inventory: &'a Inventory,
    /// The values of the seed, attributes resolved.
    pub seed: Option<&'a SeedFiles>,
    /// For images.
    pub download: ureq::Agent,
    pub cancel: Cancel,
    /// Called between steps, where the work can be stopped without harm; waits while the controller says hold.
    pub safe_point: &'a dyn Fn() -> Control,
    pub paths: Paths,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context {{ order: {:?}, plan: {:?} }}", self.order.id, self.plan.digest)
    }
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Applied {
    pub images: Vec<ImageReceipt>,
    pub changes: Vec<Change>,
}

/// Refuses a plan that is not the one that was agreed on: the machine has changed in between.
pub fn pin(plan: &Plan, agreed: &str) -> Result<(), ApplyError> {
    if plan.digest == agreed {
        return Ok(());
    }
    Err(ApplyError::Changed { agreed: agreed.to_owned(), now: plan.digest.clone() })
}

/// Refuses a plan with a step that this ramdisk has no program for, before the first one is done.
pub fn check(plan: &Plan, paths: &Paths) -> Result<(), ApplyError> {
    for step in &plan.steps {
        match step {
            Step::CreateRaid { .. } => raid::check(&paths.root)?,
            Step::MakeFilesystem { filesystem, .. } => filesystem::check(filesystem.kind, &paths.root)?,
            // Needs nothing but the kernel.
            _ => {}
        }
    }
    let preserved = plan.steps.iter().filter_map(|step| match step {
        Step::Preserve { disks } => Some(disks.clone()),
        _ => None,
    });
    for index in plan.steps.iter().map(Step::disks).chain(preserved).flatten() {
        if plan.disks.get(index).is_none() {
            return Err(ApplyError::NoDisk { index });
        }
    }
    Ok(())
}

/// Carries out every step. What was done before a failure is in `done` all the same.
pub fn apply(context: &Context<'_>, stages: &mut Stages, done: &mut Applied) -> Result<(), Failure> {
    stages.run("clear-mounts", || mount::clear(&context.paths.mounts))?;
    let mut preserved = Vec::new();
    // Dropped after the mounts, as it is declared before them.
    let mut arrays = Arrays::default();
    let mut mounts = Mounts::default();
    let mut images = context.plan.steps.iter().any(|step| matches!(step, Step::WriteImage { .. }));
    for step in &context.plan.steps {
        if images && matches!(step, Step::WriteSeed { .. } | Step::BootEntry { .. }) {
            images = false;
            find_collisions(context, stages, done)?;
        }
        // Firmware gets to know of the new system when all of it is on the disk and has been read back.
        if matches!(step, Step::BootEntry { .. }) && !mounts.is_empty() {
            stages.run("settle", || mounts.settle(context, &arrays).map_err(|error| error.on(&mounts)))?;
            stop_arrays(&mut arrays, context, stages, done)?;
        }
        let emitter = stages.emitter().clone();
        stages.run(name(step), || {
            if (context.safe_point)() == Control::Cancel {
                return Err(ApplyError::Cancelled);
            }
            if let Step::Preserve { disks } = step {
                for &index in disks {
                    preserved.push((index, Evidence::take(context, context.disk(index)?)?));
                }
                return Ok(());
            }
            perform(context, step, &emitter, (&mut arrays, &mut mounts), done).map_err(|error| error.on(&mounts))
        })?;
    }
    if images {
        find_collisions(context, stages, done)?;
    }
    stages.run("settle", || {
        mounts.settle(context, &arrays).map_err(|error| error.on(&mounts))?;
        mount::clear(&context.paths.mounts).map_err(ApplyError::from)
    })?;
    stop_arrays(&mut arrays, context, stages, done)?;
    if preserved.is_empty() {
        return Ok(());
    }
    stages.run("verify-preserved", || {
        for (index, before) in &preserved {
            let receipt = before.compare(context, context.disk(*index)?)?;
            done.changes.push(change("preserve", &receipt.device, &receipt));
        }
        Ok::<_, ApplyError>(())
    })
}

/// Every member knows that it is whole before anybody is told so.
fn stop_arrays(
    arrays: &mut Arrays,
    context: &Context<'_>,
    stages: &mut Stages,
    done: &mut Applied,
) -> Result<(), Failure> {
    if arrays.is_empty() {
        return Ok(());
    }
    stages.run("stop-arrays", || {
        for receipt in arrays.stop(context)? {
            done.changes.push(change("stop-arrays", &receipt.device, &receipt));
        }
        Ok::<_, ApplyError>(())
    })
}

/// Identifiers of images are known when these are on their disks, and other disks may have the same.
fn find_collisions(context: &Context<'_>, stages: &mut Stages, done: &mut Applied) -> Result<(), Failure> {
    let emitter = stages.emitter().clone();
    stages.run("find-collisions", || {
        for receipt in collide::find(context, &emitter)? {
            done.changes.push(change("find-collisions", &receipt.device, &receipt));
        }
        Ok::<_, ApplyError>(())
    })
}

/// The name of a step's stage, as the plan's JSON has it.
pub fn name(step: &Step) -> &'static str {
    match step {
        Step::Preserve { .. } => "preserve",
        Step::StopArrays { .. } => "stop-arrays",
        Step::WriteImage { .. } => "write-image",
        Step::RelocateBackupGpt { .. } => "relocate-backup-gpt",
        Step::SetGuids { .. } => "set-guids",
        Step::GrowPartition { .. } => "grow-partition",
        Step::GrowFilesystem { .. } => "grow-filesystem",
        Step::AddPartition { .. } => "add-partition",
        Step::Wipe { .. } => "wipe",
        Step::CreateTable { .. } => "create-table",
        Step::CreateRaid { .. } => "create-raid",
        Step::MakeFilesystem { .. } => "make-filesystem",
        Step::Mount { .. } => "mount",
        Step::UnpackTree { .. } => "unpack-tree",
        Step::WriteFstab { .. } => "write-fstab",
        Step::WriteMdadmConf { .. } => "write-mdadm-conf",
        Step::InstallBoot { .. } => "install-boot",
        Step::WriteSeed { .. } => "write-seed",
        Step::BootEntry { .. } => "boot-entry",
    }
}

fn perform(
    context: &Context<'_>,
    step: &Step,
    emitter: &crate::report::Emitter,
    (arrays, mounts): (&mut Arrays, &mut Mounts),
    done: &mut Applied,
) -> Result<(), ApplyError> {
    match step {
        Step::StopArrays { disks, .. } => {
            let disks = disks.iter().map(|&index| Ok(context.path(context.disk(index)?)));
            let disks: Vec<PathBuf> = disks.collect::<Result<_, ApplyError>>()?;
            for receipt in raid::stop_old(&context.paths, &disks)? {
                done.note(step, &receipt.device, &receipt);
            }
        }
        Step::CreateRaid { name, uuid, level, metadata, members } => {
            let wanted = raid::Wanted { name, uuid, level: *level, metadata };
            let receipt = arrays.create(context, wanted, members)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::WriteMdadmConf { arrays } => {
            mounts.mdadm_conf(arrays)?;
            done.note(step, "tree", arrays);
        }
        Step::WriteImage { image, disks, verify } => {
            image::write(context, disks, image, *verify, emitter, &mut done.images)?;
        }
        Step::RelocateBackupGpt { disk }
        | Step::SetGuids { disk, .. }
        | Step::GrowPartition { disk, .. }
        | Step::AddPartition { disk, .. } => {
            let receipt = table::change(context, context.disk(*disk)?, step)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::Wipe { disk } => {
            let receipt = wipe::disk(context, context.disk(*disk)?)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::CreateTable { disk, guid, partitions } => {
            let receipt = table::create(context, context.disk(*disk)?, guid, partitions)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::MakeFilesystem { on, filesystem } => {
            let receipt = filesystem::make(context, on, filesystem)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::Mount { on, at, kind, .. } => {
            mounts.mount(context, on, at, *kind)?;
        }
        Step::UnpackTree { image, verify } => {
            let receipt = mounts.unpack(context, arrays, image, *verify)?;
            done.note(step, "tree", &receipt);
        }
        Step::WriteFstab { entries } => {
            mounts.fstab(entries)?;
            done.note(step, "tree", entries);
        }
        Step::InstallBoot { bootloader, esps, root_uuid, cmdline } => {
            let receipt = install::boot(context, mounts, *bootloader, esps, root_uuid, cmdline)?;
            done.note(step, "tree", &receipt);
        }
        Step::GrowFilesystem { disk, partition } => {
            let node = table::node(context, context.disk(*disk)?, *partition)?;
            let receipt = crate::finalize::grow::grow(&node, &context.paths.mounts)?;
            done.note(step, &receipt.device, &receipt);
        }
        Step::WriteSeed { format, target, .. } => {
            let (device, receipt) = seed::write(context, *format, target, mounts)?;
            done.note(step, &device, &receipt);
        }
        Step::BootEntry { disks, label, order } => {
            // The last one made is the first in the order: make them from the last disk to the first.
            for &index in disks.iter().rev() {
                let disk = context.disk(index)?;
                if let Some(receipt) = boot::entry(context, disk, label, *order, emitter)? {
                    done.note(step, &disk.device, &receipt);
                }
            }
        }
        _ => return Err(ApplyError::Unsupported { step: name(step).to_owned() }),
    }
    Ok(())
}

impl Context<'_> {
    fn disk(&self, index: usize) -> Result<&PlannedDisk, ApplyError> {
        self.plan.disks.get(index).ok_or(ApplyError::NoDisk { index })
    }

    /// The device node of a planned disk. The plan is of this very boot, so its kernel names are true.
    fn path(&self, disk: &PlannedDisk) -> PathBuf {
        match disk.device.strip_prefix('/') {
            Some(_) => PathBuf::from(&disk.device),
            None => self.paths.dev.join(&disk.device),
        }
    }
}

impl Applied {
    fn note(&mut self, step: &Step, device: &str, detail: &impl Serialize) {
        self.changes.push(change(name(step), device, detail));
    }
}

fn change(step: &str, device: &str, detail: &impl Serialize) -> Change {
    let detail = serde_json::to_value(detail).unwrap_or_default();
    Change { step: step.to_owned(), device: device.to_owned(), detail }
}

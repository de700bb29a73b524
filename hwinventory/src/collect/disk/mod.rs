//! Block devices, one thread each, so many at a time.

mod attributes;
mod byid;
mod classify;
mod identity;
mod md;
mod partitions;
mod probe;
mod scsi;
mod smart;

use super::isolate::{self, SectionTask};
use super::pool::{self, Limits, SPARE};
use super::{Options, place};
use crate::model::{Disk, Status};
use std::time::Duration;

pub use attributes::settle;
pub use identity::{best, emmc_area, mark_duplicates};

const BLOCK: &str = "/sys/block";

/// Starts reading the devices of one kind, each in a thread of its own.
pub fn start(options: &Options, limit: Duration, wanted: Kind) -> SectionTask<Vec<Disk>> {
    let limits = Limits::new(options.device_deadline, limit);
    let settings = Settings { include_loop: options.include_loop, probe_signatures: options.probe_signatures };
    let what = if wanted == Kind::Disk { "disks" } else { "volumes" };
    isolate::section(what, "sysfs, ioctl", &options.source, limit + SPARE, move |reader| {
        let mut jobs = Vec::new();
        for name in reader.try_list(BLOCK)? {
            let Some(real) = reader.follow(BLOCK, &name) else { continue };
            if attributes::kind_of(reader, &name, &real, settings) != wanted {
                continue;
            }
            jobs.push((name.clone(), (name, real)));
        }
        let names: Vec<String> = jobs.iter().map(|(name, _)| name.clone()).collect();
        let outcomes = pool::devices(jobs, &limits, reader.source(), move |reader, (name, real), publish| {
            attributes::collect(reader, name, &real, settings, publish);
        });
        let mut disks = Vec::new();
        for (name, outcome) in names.into_iter().zip(outcomes) {
            let (disk, status, problems) = outcome.into_device();
            let disk = Disk { path: node(&name), name, status, problems, ..disk.unwrap_or_default() };
            if status != Status::Ok {
                reader.problem(&disk.name, status, "see the disk's own problems");
            }
            disks.push(disk);
        }
        disks.sort_by(order);
        Some(disks)
    })
}

/// The device node of a kernel name; the kernel writes `!` where the node has a slash (`cciss!c0d0`).
pub fn node(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    include_loop: bool,
    probe_signatures: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Disk,
    /// Built out of other block devices, or out of memory.
    Volume,
    /// Unbound loop devices, RAM disks, and paths that native NVMe multipath hides.
    Ignored,
}

/// By place, then identity, then size: never by name.
fn order(a: &Disk, b: &Disk) -> std::cmp::Ordering {
    place::order(a.by_path.as_deref(), b.by_path.as_deref())
        .then_with(|| a.identity.value.cmp(&b.identity.value))
        .then_with(|| a.size.cmp(&b.size))
        .then_with(|| a.device_number.cmp(&b.device_number))
}

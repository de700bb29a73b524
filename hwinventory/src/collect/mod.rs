//! Collectors: each section in a thread of its own, each device in one of its own inside that.

mod cpu;
mod disk;
mod dmi;
mod firmware;
mod isolate;
mod link;
mod memory;
mod nic;
mod numa;
mod place;
mod system;

use crate::model::{Inventory, SCHEMA_VERSION};
use crate::source::{FsSource, Reader, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to collect from, and how long to wait.
#[derive(Clone)]
pub struct Options {
    pub source: Arc<dyn Source>,
    /// How long one device may take before it is given up with status `timeout`.
    pub device_deadline: Duration,
    /// List bound loop devices among the disks, for trials without hardware.
    pub include_loop: bool,
    /// Read sectors to recognise filesystems, RAID members and partition tables.
    pub probe_signatures: bool,
    /// How long to listen for LLDP on links with carrier. Switches speak every 30 seconds; zero does not listen.
    pub lldp_wait: Duration,
    /// Written into the document.
    pub agent_version: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            source: Arc::new(FsSource::live()),
            device_deadline: Duration::from_millis(1500),
            include_loop: false,
            probe_signatures: true,
            lldp_wait: Duration::ZERO,
            agent_version: concat!("hwinventory ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("device_deadline", &self.device_deadline)
            .field("lldp_wait", &self.lldp_wait)
            .field("include_loop", &self.include_loop)
            .field("agent_version", &self.agent_version)
            .finish_non_exhaustive()
    }
}

/// Collects everything. Never fails and never panics: what cannot be read says so in its own section.
///
/// Takes at most about [`Options::device_deadline`] and a little more, however many devices hang.
pub fn collect(options: &Options) -> Inventory {
    let started = Instant::now();
    let source = &options.source;
    // Devices are given up first, so that their section still ends in time.
    let limit = options.device_deadline + Duration::from_millis(400);

    let disks = disk::start(options, limit, disk::Kind::Disk);
    let volumes = disk::start(options, limit, disk::Kind::Volume);
    let nics = nic::start(options, limit);
    let system = isolate::section("system", "smbios, sysfs", source, limit, system::collect);
    let firmware = isolate::section("firmware", "efivarfs, procfs", source, limit, firmware::collect);
    let cpu = isolate::section("cpu", "procfs, sysfs", source, limit, cpu::collect);
    let numa = isolate::section("numa", "sysfs", source, limit, numa::collect);
    let memory = isolate::section("memory", "smbios, procfs, sysfs", source, limit, memory::collect);

    let boot_id = isolate::section("boot-id", "procfs", source, limit, |r: &Reader| {
        Some(r.quiet_text("/proc/sys/kernel/random/boot_id"))
    });

    let mut inventory = Inventory {
        schema_version: SCHEMA_VERSION.to_owned(),
        agent_version: options.agent_version.clone(),
        boot_id: boot_id.wait().data,
        disks: disks.wait(),
        volumes: volumes.wait(),
        nics: nics.wait(),
        system: system.wait(),
        firmware: firmware.wait(),
        cpu: cpu.wait(),
        numa: numa.wait(),
        memory: memory.wait(),
        ..Inventory::default()
    };
    link::all(options, &mut inventory);
    inventory.milliseconds = started.elapsed().as_millis() as u64;
    inventory
}

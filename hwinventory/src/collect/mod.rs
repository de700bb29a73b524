//! Collectors: sections beside one another in a few threads, and each device in a thread of its own.

mod bays;
mod bmc;
mod bmcrecords;
mod by_path;
mod caches;
mod clock;
mod controllers;
mod cpu;
mod crew;
mod disk;
mod dmi;
mod enclosures;
mod fabrics;
mod fibrechannel;
mod firmtables;
mod firmware;
mod ids;
mod isolate;
mod joined;
mod link;
mod membership;
mod memory;
mod memorydevices;
mod mounts;
mod multipaths;
mod netnames;
mod nic;
mod numa;
mod pci;
mod pcierrors;
mod place;
mod platform;
mod pool;
mod rdma;
mod sensors;
mod system;
mod threads;
mod tpm;
mod unclaimed;
mod usb;
mod vpd;

use crate::model::{Inventory, SCHEMA_VERSION};
use crate::source::{FsSource, Reader, Source};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use bmcrecords::section as bmc_records;
pub(crate) use disk::node as device_node;
pub(crate) use place::is_pci_address;

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
    /// While listening, switch off the LLDP agents of cards that keep the frames to themselves (i40e, ice), and on again
    /// afterwards. Some of them reset the link for a moment, so this is never done unasked.
    pub lldp_agent_off: bool,
    /// How long to read the BMC's event log, FRUs and sensors. Most BMCs take seconds for them; zero does not ask.
    pub bmc_time: Duration,
    /// Files to use instead of the built-in databases of names.
    pub pci_ids: Option<PathBuf>,
    pub usb_ids: Option<PathBuf>,
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
            lldp_agent_off: false,
            bmc_time: Duration::ZERO,
            pci_ids: None,
            usb_ids: None,
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
/// Hung disks and interfaces cost [`Options::device_deadline`] in all, however many they are.
pub fn collect(options: &Options) -> Inventory {
    let started = Instant::now();
    let source = &options.source;
    // What hangs are devices, and those are given up one by one. The rest is only as slow as the machine is.
    let limit = options.device_deadline + Duration::from_secs(10);
    let one_device = options.device_deadline.max(Duration::from_secs(3));

    // Thousands of them are read in turns.
    let many = options.device_deadline + Duration::from_secs(50);
    let disks = disk::start(options, many, disk::Kind::Disk);
    let volumes = disk::start(options, many, disk::Kind::Volume);
    let nics = nic::start(options, limit);
    let system = isolate::section("system", "smbios, sysfs", source, limit, system::collect);
    let firmware = isolate::section("firmware", "efivarfs, procfs", source, limit, firmware::collect);
    let cpu = isolate::section("cpu", "procfs, sysfs", source, limit, cpu::collect);
    let numa = isolate::section("numa", "sysfs", source, limit, numa::collect);
    let memory = isolate::section("memory", "smbios, procfs, sysfs", source, limit, memory::collect);

    let (pci_ids, usb_ids) = (options.pci_ids.clone(), options.usb_ids.clone());
    let pci = isolate::section("pci", "sysfs", source, limit, move |r| pci::collect(r, pci_ids.as_deref()));
    let usb = isolate::section("usb", "sysfs", source, limit, move |r| usb::collect(r, usb_ids.as_deref()));
    let tpm = isolate::section_in_steps("tpm", "sysfs, tpm commands", source, one_device, tpm::collect);
    let bmc = isolate::section_in_steps("bmc", "smbios, ipmi", source, one_device, bmc::collect);
    let watchdogs = isolate::section("watchdogs", "sysfs", source, limit, platform::watchdogs);
    let kernel = isolate::section("kernel", "procfs", source, limit, platform::kernel);
    let controllers = isolate::section("storage_controllers", "sysfs", source, limit, controllers::collect);

    let bmc_records = bmcrecords::start(options, limit);
    let enclosures = enclosures::start(options, limit);
    let sensors = sensors::start(options, limit);
    let vpd = vpd::start(options, limit);
    let fibre_channel = isolate::section("fibre_channel", "sysfs", source, limit, fibrechannel::collect);
    let fabrics = isolate::section("fabrics", "sysfs, acpi", source, limit, fabrics::collect);
    let rdma = isolate::section("rdma", "sysfs", source, limit, rdma::collect);
    let memory_devices = isolate::section("memory_devices", "sysfs", source, limit, memorydevices::collect);
    let clock = isolate::section("clock", "sysfs, procfs", source, limit, clock::collect);
    let unclaimed = isolate::section("unclaimed", "sysfs, modules.alias", source, limit, unclaimed::collect);

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
        pci: pci.wait(),
        usb: usb.wait(),
        tpm: tpm.wait(),
        bmc: bmc.wait(),
        watchdogs: watchdogs.wait(),
        kernel: kernel.wait(),
        storage_controllers: controllers.wait(),
        bmc_records: bmc_records.wait(),
        enclosures: enclosures.wait(),
        fibre_channel: fibre_channel.wait(),
        fabrics: fabrics.wait(),
        rdma: rdma.wait(),
        memory_devices: memory_devices.wait(),
        sensors: sensors.wait(),
        clock: clock.wait(),
        unclaimed: unclaimed.wait(),
        ..Inventory::default()
    };
    link::all(options, &mut inventory);
    vpd::join(vpd.wait(), &mut inventory);
    joined::all(options, &mut inventory);
    inventory.findings =
        crate::findings::findings(&inventory, Instant::now() + options.device_deadline + Duration::from_secs(5));
    inventory.milliseconds = started.elapsed().as_millis() as u64;
    inventory
}

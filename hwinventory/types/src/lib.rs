//! What a machine is, as data: the wire format of a hardware inventory. No collectors, no C and no I/O, so that a
//! controller can link it; `hwinventory` is what fills it on a machine.
//!
//! - Field names are snake_case, sizes are bytes, link and bus speeds are bit/s, frequencies are Hz, temperatures are degrees
//!   Celsius, times name their unit.
//! - **Unknown is not empty.** A value that could not be read is left out; a list that was read and is empty is `[]`.
//! - **Nothing fails as a whole.** Each section carries its own [`Status`], and a device that hangs costs its own fields.
//! - Names that the kernel gives (`sda`) change between boots. What tells a disk from all others is in
//!   [`Disk::identities`], each with its strength.
//! - With the feature `schema`, all types have JSON Schemas (`schemars::JsonSchema`); `docs/inventory.schema.json` is made so.
//!
//! ```
//! let text = r#"{ "schema_version": "inventory/v1", "disks": { "status": "ok", "data": [
//!     { "name": "sda", "path": "/dev/sda", "status": "ok", "size": 480103981056 } ] } }"#;
//! let inventory: hwinventory_types::Inventory = serde_json::from_str(text)?;
//! let disk = &inventory.disks.data[0];
//! assert_eq!((disk.size, disk.signatures.is_none()), (480_103_981_056, true), "nobody looked for signatures");
//! # Ok::<(), serde_json::Error>(())
//! ```

#[macro_use]
mod record;
mod bmcrecords;
mod bus;
mod clock;
mod contents;
mod cpu;
mod disk;
mod enclosure;
mod fabric;
mod finding;
mod firmware;
pub mod harmless;
mod health;
pub mod kept;
mod memory;
mod memorydevices;
mod nic;
mod optics;
mod platform;
mod section;
mod sensors;
mod system;
mod unclaimed;
pub mod unfinished;

pub use bmcrecords::{BmcEvent, BmcRecords, BmcSensor, EventLog, Fru};
pub use bus::{PciDevice, PciErrors, PciLink, UsbDevice, VitalProductData};
pub use clock::{Clock, Rtc};
pub use contents::{Group, Mount, Partition, Samples, Signature};
pub use cpu::{Cache, CacheInstance, CacheKind, Cpu, CpuModel, CpuSocket, CpuThread, Numa, NumaNode, Vulnerability};
pub use disk::{
    AtaSecurity, Conflict, Disk, DiskClass, DiskPath, Erase, HiddenDrive, Identity, IdentityKind, MdMember,
    MdMembership, Media, Multipath, NvmeNamespace, StorageController, Strength, Transport,
};
pub use enclosure::{Bay, Enclosure, EnclosureElement, EnclosureSlot};
pub use fabric::{
    FcPort, FcRemotePort, Ibft, IbftNic, IbftTarget, IscsiSession, NameAndSource, NvmeController, NvmeSubsystem,
    RdmaDevice, RdmaPort, StorageFabrics,
};
pub use finding::{Finding, Severity};
pub use firmware::{BootEntry, BootMode, EsrtEntry, Firmware, SerialConsole};
pub use health::{Health, HealthState};
pub use memory::{Dimm, EccCounter, Memory, MemoryArray};
pub use memorydevices::{CxlMemory, CxlRegion, DaxDevice, MemoryDevices, Nvdimm, NvdimmNamespace, NvdimmRegion};
pub use nic::{Address, LldpNeighbour, LldpTlv, LldpVlan, Nic, PredictableNames, SrIov};
pub use optics::{OpticalLane, Transceiver};
pub use platform::{
    Bmc, BmcAddress, BmcChannel, EndorsementKey, HostInterface, Kernel, RedfishService, Tpm, TpmBank, Watchdog,
};
pub use section::{Problem, Section, Status};
pub use sensors::{PowerLimit, PowerZone, Sensor, SensorChip, SensorKind, Sensors};
pub use system::{Baseboard, Bios, Chassis, OnboardDevice, PowerSupply, System, SystemSlot};
pub use unclaimed::UnclaimedDevice;

use serde::{Deserialize, Serialize};

/// The version of this document's shape.
pub const SCHEMA_VERSION: &str = "inventory/v1";

/// What a machine is. Never fails as a whole: each section carries its own status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Inventory {
    /// Always `inventory/v1`.
    pub schema_version: String,
    /// Version of the program that collected.
    pub agent_version: String,
    /// `/proc/sys/kernel/random/boot_id`: changes with every boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// Wall time of the whole collection.
    pub milliseconds: u64,
    pub system: Section<System>,
    pub firmware: Section<Firmware>,
    pub cpu: Section<Cpu>,
    pub numa: Section<Numa>,
    pub memory: Section<Memory>,
    /// NVDIMMs, CXL memory, DAX devices.
    pub memory_devices: Section<MemoryDevices>,
    /// Disks that a machine could be installed on or that are in the way: everything with a medium of its own.
    pub disks: Section<Vec<Disk>>,
    /// Block devices built out of others: device-mapper, md, bound loop devices, compressed RAM.
    pub volumes: Section<Vec<Disk>>,
    pub storage_controllers: Section<Vec<StorageController>>,
    pub enclosures: Section<Vec<Enclosure>>,
    pub fibre_channel: Section<Vec<FcPort>>,
    /// iSCSI and NVMe over Fabrics.
    pub fabrics: Section<StorageFabrics>,
    pub nics: Section<Vec<Nic>>,
    pub rdma: Section<Vec<RdmaDevice>>,
    pub pci: Section<Vec<PciDevice>>,
    pub usb: Section<Vec<UsbDevice>>,
    pub tpm: Section<Vec<Tpm>>,
    pub bmc: Section<Bmc>,
    /// Read only when asked for: it takes seconds on most BMCs.
    pub bmc_records: Section<BmcRecords>,
    pub sensors: Section<Sensors>,
    pub clock: Section<Clock>,
    /// Devices that no driver has taken.
    pub unclaimed: Section<Vec<UnclaimedDevice>>,
    pub watchdogs: Section<Vec<Watchdog>>,
    pub kernel: Section<Kernel>,
    /// Anomalies, derived from the sections above.
    pub findings: Vec<Finding>,
}

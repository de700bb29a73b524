//! The whole sequence after a whole-disk image is written and verified: table, kernel, root, growth, seed, boot entry.

use super::adjust::{self, Grow, TableChange, TableReceipt};
use super::device::Device;
use super::filesystem::Kind;
use super::gpt::Partition;
use super::grow::{self, GrowError, GrowReceipt};
use super::guid::{self, Arch};
use super::kernel::{KernelDisk, KernelError};
use super::layout;
use super::mount::{self, Access, MountError, Mounted};
use super::root::Root;
use super::rootfs::{self, Candidate, RootError, RootFilesystem};
use super::seed::SeedData;
use super::seed_write::{self, SeedError, SeedReceipt, VolumeLabel};
use super::table::{self, Label, TableError};
use super::uefi::entry::{self, BootReceipt, Target};
use super::uefi::loader::{self, LoaderError};
use super::uefi::variables::{VariableError, Variables};
use crate::error::Coded;
use crate::protocol::Problem;
use crate::protocol::order::BootOrder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where the system's own trees are.
#[derive(Debug, Clone)]
pub struct Places {
    pub sys: PathBuf,
    pub dev: PathBuf,
    /// Mount points are made and removed below it; only this module's.
    pub mounts: PathBuf,
    pub efivars: PathBuf,
}

impl Places {
    /// Of a running machine.
    pub fn real() -> Self {
        Self {
            sys: PathBuf::from("/sys"),
            dev: PathBuf::from("/dev"),
            mounts: PathBuf::from("/run/burin/mnt"),
            efivars: PathBuf::from("/sys/firmware/efi/efivars"),
        }
    }
}

/// What is to be done with a disk that has an image on it.
#[derive(Debug, Clone)]
pub struct Request {
    pub device: PathBuf,
    pub table: TableChange,
    /// Grow the filesystem of the partition that `table.grow` means.
    pub grow_filesystem: bool,
    pub seed: Option<(SeedData, SeedPlace)>,
    /// None on a machine that was not started by UEFI.
    pub boot: Option<BootRequest>,
    pub arch: Arch,
}

/// Where the seed goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedPlace {
    /// NoCloud files in the root filesystem.
    RootFilesystem,
    /// A NoCloud volume on the partition of this GUID (one that `table.add` makes, say).
    Volume(Uuid),
    /// A ConfigDrive volume; without network data, whose format is OpenStack's own.
    ConfigDrive(Uuid),
}

#[derive(Debug, Clone)]
pub struct BootRequest {
    /// What firmware menus show.
    pub label: String,
    pub policy: BootOrder,
    /// Partition GUIDs that were on the disk before it was imaged.
    pub gone: Vec<Uuid>,
}

/// What was done, for the receipt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeReceipt {
    pub table: TableReceipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<GrowReceipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<SeedReceipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootReceipt>,
    /// Refusals of the firmware: the disk is right, the boot order is not as ordered.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<Problem>,
}

#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    #[error("{device}: cannot be opened")]
    Open { device: PathBuf, source: io::Error },
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Grow(#[from] GrowError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Loader(#[from] LoaderError),
    #[error(transparent)]
    Variable(#[from] VariableError),
    #[error("{device}: {count} EFI system partitions; a boot entry needs exactly one")]
    Esp { device: PathBuf, count: usize },
    #[error("{device}: no partition with GUID {guid} for the seed")]
    SeedPartition { device: PathBuf, guid: Uuid },
}

impl FinalizeError {
    fn coded(&self) -> Option<&dyn Coded> {
        Some(match self {
            Self::Table(error) => error,
            Self::Kernel(error) => error,
            Self::Root(error) => error,
            Self::Grow(error) => error,
            Self::Mount(error) => error,
            Self::Seed(error) => error,
            Self::Loader(error) => error,
            Self::Variable(error) => error,
            Self::Open { .. } | Self::Esp { .. } | Self::SeedPartition { .. } => return None,
        })
    }
}

impl Coded for FinalizeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "finalize.open",
            Self::Esp { .. } => "finalize.esp_count",
            Self::SeedPartition { .. } => "finalize.seed_partition",
            _ => self.coded().map_or("finalize", Coded::code),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Esp { count: 0, .. } => Some(
                "this image boots by BIOS only: boot the machine in BIOS mode, or use an image with an ESP".to_owned(),
            ),
            _ => self.coded().and_then(Coded::hint),
        }
    }
}

/// Does all of `request`. The disk must not be held exclusively: its partitions get mounted. Killed at any point and run
/// again, it ends the same. The boot entry comes last: what it points to is complete by then.
pub fn run(request: &Request, places: &Places) -> Result<FinalizeReceipt, FinalizeError> {
    mount::clear(&places.mounts)?;
    let device = &request.device;
    let kernel = KernelDisk::open(device, &places.sys, &places.dev)?;
    let open = |source| FinalizeError::Open { device: device.clone(), source };
    let disk = Device::open(device).map_err(open)?;
    let alignment = layout::alignment(kernel.optimal_io_size()?);
    let table = adjust::adjust(&disk, &request.table, alignment)?;
    let partitions = match table::read(&disk)? {
        Label::Gpt(table) => table.partitions(),
        Label::Mbr(_) => Vec::new(),
    };
    drop(disk);
    kernel.sync(&table.partitions)?;

    let filesystem = match table.grown {
        Some(number) if request.grow_filesystem => Some(grow::grow(&kernel.node(number)?, &places.mounts)?),
        _ => None,
    };
    let seed = match &request.seed {
        Some((data, place)) => Some(seed_disk(request, &kernel, &table, &partitions, places, data, *place)?),
        None => None,
    };
    let mut warnings = Vec::new();
    let boot = match &request.boot {
        Some(boot) => match boot_entry(request, boot, &kernel, &partitions, places) {
            Ok(receipt) => Some(receipt),
            Err(FinalizeError::Variable(error)) if error.is_refusal() => {
                warnings.push(error.problem());
                None
            }
            Err(error) => return Err(error),
        },
        None => None,
    };
    Ok(FinalizeReceipt { table, filesystem, seed, boot, warnings })
}

/// The root filesystem of the image on a disk whose partitions the kernel knows.
pub fn find_root(
    kernel: &KernelDisk,
    table: &TableReceipt,
    partitions: &[Partition],
    arch: Arch,
    mounts: &Path,
) -> Result<RootFilesystem, FinalizeError> {
    let mut candidates = Vec::new();
    for extent in &table.partitions {
        let entry = partitions.iter().find(|partition| partition.number == extent.number);
        candidates.push(Candidate {
            number: extent.number,
            type_guid: entry.map(|partition| partition.type_guid),
            node: kernel.node(extent.number)?,
        });
    }
    Ok(rootfs::find(&candidates, arch, mounts)?)
}

fn seed_disk(
    request: &Request,
    kernel: &KernelDisk,
    table: &TableReceipt,
    partitions: &[Partition],
    places: &Places,
    data: &SeedData,
    place: SeedPlace,
) -> Result<SeedReceipt, FinalizeError> {
    let id = data.instance_id.to_string();
    let (guid, label, files) = match place {
        SeedPlace::RootFilesystem => {
            let root = find_root(kernel, table, partitions, request.arch, &places.mounts)?;
            return seed_root(&root, &places.mounts, data);
        }
        SeedPlace::Volume(guid) => (guid, VolumeLabel::Cidata, data.nocloud()),
        SeedPlace::ConfigDrive(guid) => (guid, VolumeLabel::Config2, data.config_drive(None)),
    };
    let partition = partitions.iter().find(|partition| partition.guid == guid);
    let missing = || FinalizeError::SeedPartition { device: request.device.clone(), guid };
    let node = kernel.node(partition.ok_or_else(missing)?.number)?;
    let volume = Device::open(&node).map_err(|source| FinalizeError::Open { device: node, source })?;
    Ok(seed_write::write_volume(&volume, label, &id, &files)?)
}

/// NoCloud files into a root filesystem.
pub fn seed_root(root: &RootFilesystem, mounts: &Path, data: &SeedData) -> Result<SeedReceipt, FinalizeError> {
    let mounted = Mounted::mount(&root.node, Kind::name(root.kind), Access::ReadWrite, mounts)?;
    let written = Root::open(mounted.path())
        .and_then(|top| if root.prefix.as_os_str().is_empty() { Ok(top) } else { top.subtree(&root.prefix) })
        .map_err(|source| SeedError::File { path: root.node.clone(), source })
        .and_then(|tree| seed_write::write_files(&tree, &data.instance_id.to_string(), &data.nocloud()));
    mounted.unmount()?;
    Ok(written?)
}

fn boot_entry(
    request: &Request,
    boot: &BootRequest,
    kernel: &KernelDisk,
    partitions: &[Partition],
    places: &Places,
) -> Result<BootReceipt, FinalizeError> {
    let variables = Variables::open(&places.efivars)?;
    let esps: Vec<&Partition> = partitions.iter().filter(|partition| partition.type_guid == guid::ESP).collect();
    let [esp] = esps.as_slice() else {
        return Err(FinalizeError::Esp { device: request.device.clone(), count: esps.len() });
    };
    let mounted = Mounted::mount(&kernel.node(esp.number)?, "vfat", Access::ReadOnly, &places.mounts)?;
    let loader = loader::find(mounted.path(), request.arch);
    mounted.unmount()?;
    let target = Target {
        label: boot.label.clone(),
        esp: entry::hard_drive(esp),
        loader: loader?.path,
        // What the image brought back is not gone.
        gone: boot.gone.iter().copied().filter(|guid| partitions.iter().all(|new| new.guid != *guid)).collect(),
    };
    Ok(entry::install(&variables, &target, boot.policy)?)
}

/// The usual wish: the last partition and its filesystem fill the disk.
pub fn grow_last() -> TableChange {
    TableChange { grow: Some(Grow::Last), ..TableChange::default() }
}

//! What is done, step by step. `disk` is an index into the plan's `disks`.

use crate::image::Verify;
use crate::order::{BootOrder, Bootloader, FsType, PartitionPick, RaidLevel, SeedFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Prove that these disks are as they were, at the end.
    Preserve {
        disks: Vec<usize>,
    },
    /// Arrays that the running kernel has assembled of members on these disks, and that nothing uses.
    StopArrays {
        disks: Vec<usize>,
        /// Their UUIDs, as far as they are known.
        arrays: Vec<String>,
    },
    /// One download, written to each of these disks, and what lies behind it made harmless.
    WriteImage {
        image: String,
        disks: Vec<usize>,
        verify: Verify,
    },
    /// Move the backup GPT to the real end of the disk and correct the protective MBR. Nothing to do without a GPT.
    RelocateBackupGpt {
        disk: usize,
    },
    /// Partitions by number. What is not named stays.
    SetGuids {
        disk: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        disk_guid: Option<String>,
        partitions: BTreeMap<u32, String>,
    },
    /// Up to `leave` bytes before the end of the usable space.
    GrowPartition {
        disk: usize,
        partition: PartitionPick,
        leave: u64,
    },
    /// To the size of its partition.
    GrowFilesystem {
        disk: usize,
        partition: PartitionPick,
    },
    /// Into the free space at the end of a copied table.
    AddPartition {
        disk: usize,
        partition: PlannedPartition,
    },

    /// Remove every signature: partition tables at both ends, filesystems, RAID, LVM and LUKS, inside old partitions too.
    Wipe {
        disk: usize,
    },
    /// A fresh GPT with a protective MBR.
    CreateTable {
        disk: usize,
        guid: String,
        partitions: Vec<PlannedPartition>,
    },
    /// `/dev/md/NAME` over these members, in their order.
    CreateRaid {
        name: String,
        uuid: String,
        level: RaidLevel,
        metadata: String,
        members: Vec<Device>,
    },
    MakeFilesystem {
        on: Device,
        filesystem: PlannedFilesystem,
    },
    /// Below the new root; parents come before children.
    Mount {
        on: Device,
        at: String,
        kind: FsType,
        options: Vec<String>,
    },
    UnpackTree {
        image: String,
        verify: Verify,
    },
    /// By UUID.
    WriteFstab {
        entries: Vec<FstabEntry>,
    },
    /// The tree's mdadm.conf names its arrays.
    WriteMdadmConf {
        arrays: Vec<ArrayEntry>,
    },
    /// Onto every one of these ESPs.
    InstallBoot {
        bootloader: Bootloader,
        esps: Vec<Device>,
        root_uuid: String,
        cmdline: Vec<String>,
    },

    /// The contents come from the order (`crate::plan::seed`); `digest` is `sha256:HEX` over them.
    WriteSeed {
        format: SeedFormat,
        target: SeedTarget,
        digest: String,
    },
    /// UEFI boot entries, one a disk, in this order.
    BootEntry {
        disks: Vec<usize>,
        label: String,
        order: BootOrder,
    },
}

/// A partition to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPartition {
    /// Left out on a copied table: the lowest free number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The GPT name.
    pub name: String,
    /// GPT type.
    pub type_guid: String,
    pub guid: String,
    /// Byte offset. Left out on a copied table, where it is found from the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    pub size: u64,
}

/// Something with blocks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Device {
    Disk {
        disk: usize,
    },
    /// By GPT name; the number too where the plan decides it.
    Partition {
        disk: usize,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    Raid {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedFilesystem {
    pub kind: FsType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// For vfat the volume id, `XXXX-XXXX`.
    pub uuid: String,
    pub options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FstabEntry {
    pub uuid: String,
    /// `none` for swap.
    pub at: String,
    pub kind: FsType,
    pub options: Vec<String>,
    /// fsck order: 1 for the root, 2 for others, 0 for none.
    pub pass: u8,
}

/// An `ARRAY` line of mdadm.conf(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArrayEntry {
    pub name: String,
    pub uuid: String,
    pub metadata: String,
}

/// Where the seed goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SeedTarget {
    /// Files in the root filesystem of an image.
    ImagePartition { disk: usize, partition: PartitionPick },
    /// Files in the mounted tree.
    Tree,
    /// A partition of its own, made by an earlier step; the vfat on it is made with the seed.
    Own { on: Device },
}

impl Step {
    /// The disks that this step writes to, where it names any.
    pub fn disks(&self) -> Vec<usize> {
        match self {
            Step::WriteImage { disks, .. } | Step::StopArrays { disks, .. } => disks.clone(),
            Step::RelocateBackupGpt { disk }
            | Step::SetGuids { disk, .. }
            | Step::GrowPartition { disk, .. }
            | Step::GrowFilesystem { disk, .. }
            | Step::AddPartition { disk, .. }
            | Step::Wipe { disk }
            | Step::CreateTable { disk, .. } => vec![*disk],
            Step::CreateRaid { members, .. } => members.iter().filter_map(Device::disk).collect(),
            Step::MakeFilesystem { on, .. } => on.disk().into_iter().collect(),
            Step::InstallBoot { esps, .. } => esps.iter().filter_map(Device::disk).collect(),
            Step::WriteSeed { target: SeedTarget::ImagePartition { disk, .. }, .. } => vec![*disk],
            Step::WriteSeed { target: SeedTarget::Own { on }, .. } => on.disk().into_iter().collect(),
            Step::Preserve { .. }
            | Step::Mount { .. }
            | Step::UnpackTree { .. }
            | Step::WriteFstab { .. }
            | Step::WriteMdadmConf { .. }
            | Step::WriteSeed { .. }
            | Step::BootEntry { .. } => Vec::new(),
        }
    }
}

impl Device {
    /// The planned disk that it is on, where it is on one.
    pub fn disk(&self) -> Option<usize> {
        match self {
            Device::Disk { disk } | Device::Partition { disk, .. } => Some(*disk),
            Device::Raid { .. } => None,
        }
    }
}

//! Types that steps refer to: partitions, filesystems, devices, files of a tree.

use super::super::order::{Account, FsType, PartitionPick};
use super::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A partition to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPartition {
    /// Absent in a copied table: the lowest free number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The GPT name.
    pub name: String,
    /// GPT type.
    pub type_guid: String,
    pub guid: String,
    /// Byte offset. Absent in a copied table, where it is found from the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    pub size: u64,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Device {
    Disk {
        disk: usize,
    },
    /// By GPT name; with the number if the plan decides it.
    Partition {
        disk: usize,
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
    },
    /// A partition of an image's own table.
    ImagePartition {
        disk: usize,
        partition: PartitionPick,
    },
    Raid {
        name: String,
    },
    /// An opened LUKS volume.
    Luks {
        name: String,
    },
    /// A logical volume.
    Volume {
        group: String,
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

/// A physical volume of an LVM group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPhysical {
    pub on: Device,
    /// As LVM writes it.
    pub uuid: String,
    /// Minimum number of extents.
    pub extents: u64,
}

/// The allocation of a logical volume in its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum VolumeShape {
    Linear,
    /// Striped over these physical volumes, by their index in the group; bytes.
    Striped {
        on: Vec<usize>,
        stripe_size: u64,
    },
    /// One copy on each of these.
    Raid1 {
        on: Vec<usize>,
    },
    /// Chunk size in bytes; extents of metadata.
    ThinPool {
        chunk: u64,
        metadata_extents: u64,
    },
    /// From this pool.
    Thin {
        pool: String,
    },
}

/// How a LUKS volume is opened, without the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "key", rename_all = "kebab-case")]
pub enum PlannedKey {
    /// A passphrase from the order.
    Passphrase,
    /// Generated on the machine, encrypted to this age recipient.
    RecoveryKey {
        to: String,
    },
    Generated {
        to: String,
    },
    /// In the TPM, sealed to the values of these PCRs (SHA-256) when the plan is carried out.
    Tpm2 {
        pcrs: Vec<u32>,
    },
}

/// Argon2id (RFC 9106).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPbkdf {
    /// Bytes.
    pub memory: u64,
    pub iterations: u32,
    pub threads: u32,
}

/// A line of crypttab(5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrypttabEntry {
    pub name: String,
    /// UUID of the LUKS volume.
    pub uuid: String,
    pub options: Vec<String>,
}

/// What a tree must contain to boot from the devices below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TreeNeed {
    /// A filesystem is on a volume group.
    Lvm,
    /// A filesystem is on a thin volume.
    ThinVolumes,
    /// A filesystem is on a LUKS volume.
    Luks,
    /// The root is on a LUKS volume: its ramdisk must open it.
    LuksRoot,
    /// A LUKS volume is opened by the TPM, through systemd.
    LuksTpm,
    /// The root is on a LUKS volume opened by the TPM, through systemd in its ramdisk.
    LuksTpmRoot,
    /// An image's root is on a mirror of which each half looks like the whole.
    MirroredRoot,
    /// One on a disk that several paths lead to. A tree without it is told of, and starts by one path.
    Multipath,
}

/// A file that is written into a system, without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedFile {
    /// Absolute, in the installed system.
    pub path: String,
    /// Permissions in octal.
    pub mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Account>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Account>,
    /// The URL that it is fetched from; otherwise it comes with the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Where the seed is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SeedTarget {
    /// Files in the root filesystem of an image.
    ImagePartition { disk: usize, partition: PartitionPick },
    /// A file in the image's partition that Ignition reads; the number if the order gives it.
    Ignition {
        disk: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionPick>,
    },
    /// Files in the mounted tree.
    Tree,
    /// A separate partition, made by an earlier step; the vfat on it is made with the seed.
    Own { on: Device },
}

impl SeedTarget {
    /// The most common target for trees.
    pub(super) fn tree() -> Self {
        Self::Tree
    }

    pub(super) fn is_tree(&self) -> bool {
        *self == Self::Tree
    }

    /// The planned disks that it lies on.
    pub fn disks(&self) -> Vec<usize> {
        match self {
            Self::ImagePartition { disk, .. } | Self::Ignition { disk, .. } => vec![*disk],
            Self::Own { on } => on.disk().into_iter().collect(),
            Self::Tree => Vec::new(),
        }
    }

    /// A readable description.
    pub fn words(&self) -> String {
        match self {
            Self::ImagePartition { disk, partition } => format!("{} of [{disk}]", words::pick(*partition)),
            Self::Ignition { disk, .. } => format!("Ignition's partition of [{disk}]"),
            Self::Tree => "the tree".to_owned(),
            Self::Own { on } => words::device(on),
        }
    }
}

impl Device {
    /// The planned disk that it lies on, if there is exactly one.
    pub fn disk(&self) -> Option<usize> {
        match self {
            Device::Disk { disk } | Device::Partition { disk, .. } | Device::ImagePartition { disk, .. } => Some(*disk),
            Device::Raid { .. } | Device::Luks { .. } | Device::Volume { .. } => None,
        }
    }
}

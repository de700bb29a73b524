//! Types that steps refer to: partitions, filesystems, devices, files of a tree.

use super::super::order::{Account, FsType, PartitionPick};
use super::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Of an image's own table.
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
    /// How many extents it has at least.
    pub extents: u64,
}

/// How a logical volume lies on its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum VolumeShape {
    Linear,
    /// Across these physical volumes, by their place in the group; bytes.
    Striped {
        on: Vec<usize>,
        stripe_size: u64,
    },
    /// A copy on each of these.
    Raid1 {
        on: Vec<usize>,
    },
    /// Bytes of a chunk; extents of its metadata.
    ThinPool {
        chunk: u64,
        metadata_extents: u64,
    },
    /// Out of this pool.
    Thin {
        pool: String,
    },
}

/// How a LUKS volume is opened. What opens it is not told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "key", rename_all = "kebab-case")]
pub enum PlannedKey {
    /// The order's.
    Passphrase,
    /// Made on the machine, encrypted to this recipient of age.
    RecoveryKey {
        to: String,
    },
    Generated {
        to: String,
    },
    /// In the TPM, sealed to these PCRs (SHA-256) as they are while the plan is carried out.
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
    /// The LUKS volume's.
    pub uuid: String,
    pub options: Vec<String>,
}

/// What a tree has to carry to start from what it lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TreeNeed {
    /// A filesystem on a volume group.
    Lvm,
    /// One on a thin volume.
    ThinVolumes,
    /// One on a LUKS volume.
    Luks,
    /// The root on a LUKS volume: its ramdisk has to open it.
    LuksRoot,
    /// One that the TPM opens: by systemd.
    LuksTpm,
    /// The root on one that the TPM opens: by systemd in its ramdisk.
    LuksTpmRoot,
    /// An image's root on a mirror of which each half looks as the whole does.
    MirroredRoot,
    /// One on a disk that several paths lead to. A tree without it is told of, and starts by one path.
    Multipath,
}

/// A file that is put into a system. Its contents are not told.
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
    /// Where it is fetched from; else it comes with the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Where the seed goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SeedTarget {
    /// Files in the root filesystem of an image.
    ImagePartition { disk: usize, partition: PartitionPick },
    /// A file in the partition of an image that Ignition looks into; the number where the order says it.
    Ignition {
        disk: usize,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition: Option<PartitionPick>,
    },
    /// Files in the mounted tree.
    Tree,
    /// A partition of its own, made by an earlier step; the vfat on it is made with the seed.
    Own { on: Device },
}

impl SeedTarget {
    /// For what is put into trees most of the time.
    pub(super) fn tree() -> Self {
        Self::Tree
    }

    pub(super) fn is_tree(&self) -> bool {
        *self == Self::Tree
    }

    /// The planned disks that it is on.
    pub fn disks(&self) -> Vec<usize> {
        match self {
            Self::ImagePartition { disk, .. } | Self::Ignition { disk, .. } => vec![*disk],
            Self::Own { on } => on.disk().into_iter().collect(),
            Self::Tree => Vec::new(),
        }
    }

    /// For people.
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
    /// The planned disk that it is on, where it is on one.
    pub fn disk(&self) -> Option<usize> {
        match self {
            Device::Disk { disk } | Device::Partition { disk, .. } | Device::ImagePartition { disk, .. } => Some(*disk),
            Device::Raid { .. } | Device::Luks { .. } | Device::Volume { .. } => None,
        }
    }
}

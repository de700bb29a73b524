//! Filesystems, MD arrays, LUKS and LVM on partitions and disks.

use super::share::Share;
use super::size::Size;
use super::value::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    #[serde(rename = "type")]
    pub kind: FsType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// By default derived from order, disk and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Arguments for mkfs, one per string.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Mount options for fstab.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    Ext4,
    Xfs,
    Btrfs,
    Vfat,
    Swap,
}

/// A device of the layout on which something is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum DeviceRef {
    /// The partition `SET/NAME` of each disk of the set.
    Partition(String),
    /// Each whole disk of the set.
    Disks(String),
    /// An MD array.
    Raid(String),
    /// An opened LUKS volume.
    Luks(String),
    /// A logical volume, `GROUP/NAME`.
    Volume(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Raid {
    pub level: RaidLevel,
    /// One partition of every disk of a set, or its whole disks.
    pub members: DeviceRef,
    /// This many of the members, the last ones, are spares until another fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spares: Option<u32>,
    /// Superblock version, default `1.2`. With `1.0` the start of members looks like a plain filesystem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Chunk size, a power of two from 4KiB to 64MiB; default `512KiB`. RAID 1 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Size>,
    /// What is recorded to resync the members after a power cut; default `bitmap`. RAID 0 has nothing to resync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RaidLevel {
    Raid0,
    Raid1,
    Raid5,
    Raid6,
    Raid10,
}

/// How an array's members are resynced after a power cut, md(4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Regions are recorded before they are written: only those are resynced, and a member that was absent gets what it
    /// missed.
    #[default]
    Bitmap,
    /// Nothing is recorded: the whole array is resynced.
    Resync,
    /// RAID 5: the partial parity log is written with each write, so that no stripe is lost together with a member.
    Ppl,
    /// Without redundancy.
    None,
}

/// A LUKS2 volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crypt {
    pub on: DeviceRef,
    /// At least one way to open it, at most eight.
    pub unlock: Vec<Unlock>,
    /// Memory for trying one passphrase (Argon2id); by default an eighth of the machine's, at most 1 GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pbkdf_memory: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// A LUKS key slot.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Unlock {
    /// In the machine's TPM, sealed to the current values of these PCRs: 0, 2, 3 or 7. Requires another way besides.
    Tpm2 { pcrs: Vec<u32> },
    /// Generated on the machine, in systemd's human-readable form. It leaves the machine only in the receipt, encrypted
    /// to this age recipient (`age1...`).
    RecoveryKey { to: String },
    /// Generated on the machine, 256 random bits in base64, for programs. Encrypted like a recovery key.
    Generated { to: String },
    /// From the order.
    Passphrase(Text),
}

/// Passphrases are not printed.
impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tpm2 { pcrs } => f.debug_struct("Tpm2").field("pcrs", pcrs).finish(),
            Self::RecoveryKey { to } => f.debug_struct("RecoveryKey").field("to", to).finish(),
            Self::Generated { to } => f.debug_struct("Generated").field("to", to).finish(),
            Self::Passphrase(_) => f.write_str("Passphrase(***)"),
        }
    }
}

/// An LVM volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeGroup {
    pub on: DeviceRef,
    /// Extent size: a power of two of at least 1 MiB; default 4 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent: Option<Size>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(deserialize_with = "super::maps::unique")]
    pub volumes: BTreeMap<String, LogicalVolume>,
}

/// A logical volume. Without `size` it grows between `min` and `max` by its `weight`, as partitions do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogicalVolume {
    #[serde(rename = "type", default, skip_serializing_if = "VolumeKind::is_linear")]
    pub kind: VolumeKind,
    /// Its size: `"20GiB"`, or `"40%"` of the group. For a `thin` volume, its virtual size, with percentages of its
    /// pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Share>,
    /// Its share of the free space relative to other growing volumes; default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Over how many physical volumes a `striped` volume lies; by default all of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripes: Option<u32>,
    /// Stripe size of a `striped` volume, a power of two; default 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe_size: Option<Size>,
    /// Number of copies of a `raid1` volume; default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// The `thin-pool` in the same group from which a `thin` volume takes its space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// Types as in lvmraid(7) and lvmthin(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    #[default]
    Linear,
    Striped,
    Raid1,
    ThinPool,
    Thin,
}

impl VolumeKind {
    fn is_linear(&self) -> bool {
        *self == Self::Linear
    }
}

impl DeviceRef {
    /// The disk set that it lies on, if it lies directly on one.
    pub fn set(&self) -> Option<&str> {
        match self {
            DeviceRef::Partition(reference) => reference.split_once('/').map(|(set, _)| set),
            DeviceRef::Disks(set) => Some(set),
            DeviceRef::Raid(_) | DeviceRef::Luks(_) | DeviceRef::Volume(_) => None,
        }
    }
}

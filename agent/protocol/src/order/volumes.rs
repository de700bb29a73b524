//! What is built over partitions: filesystems, MD arrays, LUKS, LVM.

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
    /// Derived from order, disk and name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Arguments for mkfs, one a string.
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

/// A device of the layout that something is built on.
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
    /// A partition of every disk of a set, or its whole disks.
    pub members: DeviceRef,
    /// So many of the members, the last of them, wait until another is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spares: Option<u32>,
    /// Superblock version, `1.2` when left out. `1.0` leaves the start of members as on a plain disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// What is put on a disk before the next, 4KiB to 64MiB and a power of two; `512KiB` when left out. A mirror has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Size>,
    /// What is kept so that the members are equal again after a power cut; `bitmap` when left out. RAID 0 has nothing to
    /// keep equal.
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

/// How an array's members become equal again after a power cut, md(4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Where writes were under way is noted before: so much is compared, and a member that was away gets what it missed.
    #[default]
    Bitmap,
    /// Nothing is noted: all of it is compared.
    Resync,
    /// RAID 5: the partial parity is kept beside each write, so that no stripe can be lost with a member.
    Ppl,
    /// There is nothing that is kept twice.
    None,
}

/// A LUKS2 volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Crypt {
    pub on: DeviceRef,
    /// At least one way to open it again, at most eight.
    pub unlock: Vec<Unlock>,
    /// Memory that trying one passphrase takes (Argon2id): an eighth of the machine's, at most 1 GiB, when left out.
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
    /// In the machine's TPM, sealed to these PCRs as they are when it is made: 0, 2, 3 or 7. Beside another way.
    Tpm2 { pcrs: Vec<u32> },
    /// Made on the machine, in systemd's form for people to type. It leaves the machine in the receipt only, encrypted to
    /// this recipient of age (`age1...`).
    RecoveryKey { to: String },
    /// Made on the machine, 256 random bits in base64, for programs. Encrypted as a recovery key is.
    Generated { to: String },
    /// From the order.
    Passphrase(Text),
}

/// Passphrases do not print.
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
    /// What volumes are made of: a power of two from 1 MiB on, 4 MiB when left out.
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
    /// What it offers: `"20GiB"`, or `"40%"` of the group. Of a `thin` volume: what it seems to have, where percent are
    /// those of its pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Share>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Share>,
    /// Its share of the free space relative to other growing volumes; 1 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How many physical volumes a `striped` one lies across; all of the group when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripes: Option<u32>,
    /// Of a `striped` one: how much goes to one physical volume before the next, a power of two; 64 KiB when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe_size: Option<Size>,
    /// How often a `raid1` keeps everything; 2 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// The `thin-pool` of the same group that a `thin` one takes its space from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

/// As lvmraid(7) and lvmthin(7) call them.
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
    /// The disk set that it is made of, where it is made of one.
    pub fn set(&self) -> Option<&str> {
        match self {
            DeviceRef::Partition(reference) => reference.split_once('/').map(|(set, _)| set),
            DeviceRef::Disks(set) => Some(set),
            DeviceRef::Raid(_) | DeviceRef::Luks(_) | DeviceRef::Volume(_) => None,
        }
    }
}

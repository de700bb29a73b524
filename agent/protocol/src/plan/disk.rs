//! The disks of a plan: their identities and current contents.

use super::super::order::KeepProof;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedDisk {
    /// The disk set for which it was chosen.
    pub set: String,
    /// How it is found again.
    pub identity: Identity,
    /// Path through the machine, as in /dev/disk/by-path. Used to find a disk whose identity is weak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_path: Option<String>,
    /// The kernel's name when the plan was made. For information only: it is not used to find the disk, and not in the
    /// digest.
    pub device: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Sector size in bytes; the unit of LBAs in its partition table.
    pub logical_block_size: u32,
    /// SHA-256 over the current first and last MiB of a disk that will be overwritten: if they change, so does the
    /// plan. Absent if they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<String>,
    /// What happens to `existing`.
    pub fate: Fate,
    pub existing: Existing,
    /// Partitions that are kept nevertheless, in the order of their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<Kept>,
    /// The paths to it, where there are several: the best first, which is `device`. Informative, as that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PlannedPath>,
}

/// One of several paths to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedPath {
    /// The kernel's name when the plan was made.
    pub device: String,
    /// SCSI `host:channel:target:lun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    /// The target's word on it (ALUA, e.g. `active/optimized`), or else the kernel's (`running`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl PlannedPath {
    /// For people.
    pub fn words(&self) -> String {
        let more: Vec<&str> = [&self.through, &self.state].into_iter().flatten().map(String::as_str).collect();
        match more.is_empty() {
            true => self.device.clone(),
            false => format!("{} ({})", self.device, more.join(", ")),
        }
    }
}

/// A partition that stays where it is, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    pub number: u32,
    /// Bytes from the start of the disk.
    pub start: u64,
    pub size: u64,
    pub type_guid: String,
    pub guid: String,
    pub name: String,
    /// GPT attribute bits.
    pub attributes: u64,
    #[serde(default, skip_serializing_if = "KeepProof::is_all")]
    pub proof: KeepProof,
}

impl Kept {
    /// One past its last byte.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }

    /// A readable description.
    pub fn words(&self) -> String {
        match self.name.is_empty() {
            true => format!("partition {}", self.number),
            false => format!("partition {} \"{}\"", self.number, self.name),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Everything on the disk is lost, except what is in `keep`.
    Overwritten,
    /// Nothing on the disk changes.
    Preserved,
}

/// What distinguishes a disk from all others: the strongest identity available.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    pub kind: IdentityKind,
    pub value: String,
    pub strength: Strength,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// NVMe namespace globally unique identifier, 128 bits.
    Nguid,
    /// NVMe IEEE extended unique identifier, 64 bits.
    Eui64,
    /// NVMe namespace UUID.
    Uuid,
    /// T10 network address authority identifier, the usual WWN of SAS and SATA disks.
    Naa,
    /// A vendor specific or T10 vendor id designator.
    T10,
    /// Vendor, model and serial number together.
    Serial,
    /// The position in the machine; says nothing about the disk itself.
    ByPath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    Strong,
    /// Zero, a placeholder, shared with another disk of the machine, or only a position.
    Weak,
}

/// The current contents of a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Existing {
    /// False when it could not be read, so that the rest may be missing.
    pub read: bool,
    /// gpt, dos, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Disk GUID, or MBR signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<ExistingPartition>,
    /// Signatures on the whole disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// If nothing is recognised: how many bytes were examined to see whether the disk is empty. Absent if something is
    /// recognised, and if nothing was examined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at_bytes: Option<u64>,
    /// Nothing is recognised, but the disk is not known to be empty: the contents may be somebody's data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Id of the order that left the disk half written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

impl Existing {
    /// Nothing is recognised, and everything examined is all zeros or all 0xff.
    pub fn is_blank(&self) -> bool {
        self.read && !self.is_recognised() && !self.unknown && self.unfinished.is_none()
    }

    /// Whether the contents are recognised.
    pub fn is_recognised(&self) -> bool {
        self.table.is_some() || !self.partitions.is_empty() || !self.contents.is_empty()
    }

    /// Whether an earlier attempt of this order left it half written: no data is lost.
    pub fn is_unfinished_work_of(&self, order: &str) -> bool {
        self.unfinished.as_deref() == Some(order)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExistingPartition {
    pub number: u32,
    /// Bytes from the start of the disk.
    pub start: u64,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
}

/// A filesystem, or membership in an array, volume group or LUKS volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    /// As libblkid names it: ext4, linux_raid_member, LVM2_member, crypto_LUKS, ...
    pub kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

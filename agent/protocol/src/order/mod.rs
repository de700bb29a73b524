//! `order/v1`: what a controller wants of a machine. Immutable, with an id.
//!
//! The types here are the document as written. `parse::parse` reads one, with errors that carry the JSON pointer;
//! `crate::plan` checks what the types cannot express and turns it into a plan.

mod erase;
mod file;
mod keep;
mod layout;
mod maps;
mod network;
mod parse;
mod predicate;
mod seed;
mod share;
mod size;
mod validity;
mod value;
mod volumes;

pub use erase::Erase;
pub use file::{Account, OrderFile};
pub use keep::{KeepPick, KeepProof};
pub use layout::{
    Boot, Bootloader, DiskSet, Gate, Grow, GrowDetailed, Guids, Key, Layout, OnExisting, Partition, PartitionPick,
    PickName, Tie, Tree,
};
pub use network::{Bond, Dns, Interface, Role, Route, Vlan};
pub use parse::nearest;
pub use parse::{Mistake, OrderError, parse, parse_bytes, parse_value};
pub use predicate::{Clause, Condition, Count, Operand, Operands, Predicate, Scalar, Test};
pub use seed::{Seed, SeedFormat, SeedPlace, SeedVolume};
pub use share::{Share, ShareError};
pub use size::{Size, SizeError};
pub use validity::{Validity, time};
pub use value::{Text, Texts};
pub use volumes::{
    Consistency, Crypt, DeviceRef, Filesystem, FsType, LogicalVolume, Raid, RaidLevel, Unlock, VolumeGroup, VolumeKind,
};

use super::image::{ImageSpec, Verify};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: &str = "order/v1";

/// The DSSE `payloadType` of a signed order.
pub const PAYLOAD_TYPE: &str = "application/vnd.burin.order+json";

/// What one machine is to become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Always `order/v1`.
    pub version: String,
    /// The permanent name of this order: an order is never edited, a changed one gets a new id.
    pub id: String,
    /// The machines and times for which it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<Validity>,
    /// Facts about the machine that only its owner knows. They take precedence over the kernel command line's
    /// (`burin.attr.NAME=VALUE`), and those over the firmware's (SMBIOS OEM strings of the same form).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "maps::unique")]
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Images by name; layouts refer to these names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "maps::unique")]
    pub images: BTreeMap<String, ImageSpec>,
    /// Exactly one of those that apply must have the highest priority.
    pub layouts: Vec<Layout>,
    /// Network interfaces by role, from which a netplan v2 configuration is generated for the seed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "maps::unique")]
    pub network: BTreeMap<String, Role>,
    /// The seed for the installed system's cloud-init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Seed>,
    /// Files that are written into the root filesystem of an image or tree.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OrderFile>,
    #[serde(default)]
    pub policies: Policies,
}

/// How the order is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policies {
    /// How the written data is verified.
    #[serde(default)]
    pub verify: Verify,
    /// Every image must be signed: the image itself, or the file with its digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_signature: bool,
    /// What the machine does after an acknowledged receipt.
    #[serde(default)]
    pub finish: Finish,
    /// How many disks of this machine pass the gates. With fewer there is no plan; the agent waits three minutes for
    /// late ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_disks: Option<u32>,
    /// Where the new UEFI boot entry goes.
    #[serde(default)]
    pub boot_order: BootOrder,
    /// What to do if an identifier to be written is already on another disk of the machine.
    #[serde(default)]
    pub collisions: Collisions,
}

/// What the machine does after an acknowledged receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    #[default]
    Reboot,
    Poweroff,
    /// Start the installed kernel without going through the firmware; if it cannot be loaded, reboot.
    Kexec,
    /// Stay up and wait for the next order.
    Hold,
}

/// Where the new UEFI boot entry goes in BootOrder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrder {
    /// The installed disk first.
    #[default]
    DiskFirst,
    /// What booted this time (the network) stays first, followed by the disk.
    NetworkFirst,
    /// No entry is made.
    Keep,
}

/// What to do about a GUID, UUID, label or volume name that already exists on another disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Collisions {
    /// No plan.
    #[default]
    Refuse,
    /// A plan with a warning.
    Warn,
}

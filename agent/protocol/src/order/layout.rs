//! Layouts: which disks, by rule, and what is put on them.

use super::erase::Erase;
use super::keep::KeepPick;
use super::predicate::Predicate;
use super::size::Size;
use super::volumes::{Crypt, DeviceRef, Filesystem, Raid, VolumeGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One way to lay out a machine. It applies if `when` is true; of the layouts that apply, exactly one may have the
/// highest priority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    pub name: String,
    /// A condition over the inventory (`system.manufacturer`), attributes (`attribute.role`) and how many disks or NICs
    /// match (`{"disks": {"match": {...}, "ge": 2}}`). Without it, the layout always applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Predicate>,
    /// The highest wins among the layouts that apply.
    #[serde(default)]
    pub priority: i32,
    /// Disk sets by name.
    #[serde(deserialize_with = "super::maps::unique")]
    pub disks: BTreeMap<String, DiskSet>,
    /// MD arrays by name, over partitions or whole disks of the sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "super::maps::unique")]
    pub raid: BTreeMap<String, Raid>,
    /// Encrypted volumes by device-mapper name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "super::maps::unique")]
    pub luks: BTreeMap<String, Crypt>,
    /// LVM volume groups by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "super::maps::unique")]
    pub lvm: BTreeMap<String, VolumeGroup>,
    /// A tar image that is unpacked onto the mounted filesystems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// The disks that firmware boots from; may be left out if only one set is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
}

/// Disks with the same role in a layout: how they are chosen, and what is put on each of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiskSet {
    /// What a disk must satisfy, besides passing the gates. Without it, any disk will do.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<Predicate>,
    /// Exactly this many; 1 unless `min`, `max` or `protect` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// At least this many. Not together with `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u32>,
    /// At most this many; all that match by default. Not together with `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// Fields in which all chosen disks must be equal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same: Vec<String>,
    /// A field in which no two chosen disks may be equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<String>,
    /// Which disks are preferred when more match than are wanted; earlier keys take precedence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order_by: Vec<Key>,
    /// What decides if `order_by` leaves disks equal at the cut.
    #[serde(default)]
    pub tie: Tie,
    /// Disks chosen for these sets are excluded here. Without it, a disk wanted by two sets is an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Gates that disks of this set need not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Gate>,
    /// No set may touch a disk that matches, or might match. Such a set puts nothing on its disks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub protect: bool,
    /// What happens if a chosen disk is not empty.
    #[serde(default)]
    pub on_existing: OnExisting,

    /// How thoroughly the old contents of the disks are removed before anything is put there.
    #[serde(default, skip_serializing_if = "Erase::is_least")]
    pub erase: Erase,
    /// Logical sector size of the disks in bytes, 512 or 4096. An NVMe namespace with another size is formatted if it
    /// supports this one; any other disk must already have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector_size: Option<u32>,

    /// A whole-disk image, by name; one download is written to all disks of the set. Not together with `partitions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image's system becomes one mirror (RAID 1) over all disks of the set, each of which can boot alone: `count`
    /// is 2 or more. Its root partition grows as `grow` says, or to the end of the disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mirror: bool,
    /// After an image: a partition and its filesystem grow into the free space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grow: Option<Grow>,
    /// After an image: the GUIDs of its GPT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guids: Option<Guids>,
    /// After an image: partitions added at the end of the disk, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Partition>,

    /// Nothing is put on the disks: every signature on them is removed, of partition tables, filesystems and array
    /// members. Not together with `image` or `partitions`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wipe: bool,
    /// A fresh GPT with these partitions, in this order. Not together with `image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,

    /// Partitions already on the disks that are kept when `image` or `partitions` is put there: same place, same
    /// number, same bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<KeepPick>,
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Key {
    /// This field's smallest value first.
    Asc(String),
    /// This field's largest value first.
    Desc(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tie {
    /// No plan: the order must be more specific.
    #[default]
    Refuse,
    /// The disk with the smaller strong identity (NGUID, EUI-64, NAA, serial); weak identities are still refused.
    Identity,
    /// The disk with the smaller path through the machine (as in /dev/disk/by-path); a disk without one is still
    /// refused.
    Path,
}

/// Reasons to exclude a disk before any predicate is evaluated, which an order may waive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Removable media, such as a USB stick.
    Removable,
    /// Reached over a network (iSCSI, Fibre Channel, NVMe over fabrics).
    Remote,
    /// The disk reports that it is failing.
    Failing,
    /// It belongs to an array or pool of which another disk stays: the remainder may be useless. The only gate that is
    /// checked after the choice.
    SplitArray,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExisting {
    /// No plan if a chosen disk has a partition table, a filesystem or a member of an array or volume group, or if that
    /// could not be read.
    #[default]
    Refuse,
    /// The contents are lost.
    Destroy,
    /// The contents stay: nothing may be put on the disks of this set, and the run verifies that they did not change.
    Preserve,
}

/// A partition of an image's own table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"last\", \"root\" or a partition number")]
pub enum PartitionPick {
    Number(u32),
    Named(PickName),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PickName {
    /// The last one on the disk, whatever its number.
    Last,
    /// The one with a root type of the Discoverable Partitions Specification, or else the one with /etc/os-release.
    Root,
}

/// Short form: which partition. Long form: with or without its filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"last\", \"root\", a partition number, or {\"partition\": ..., \"filesystem\": ...}")]
pub enum Grow {
    Partition(PartitionPick),
    Detailed(GrowDetailed),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrowDetailed {
    pub partition: PartitionPick,
    /// Grow the filesystem too: ext4, xfs or btrfs; anything else is an error.
    #[serde(default = "yes")]
    pub filesystem: bool,
    /// Leave this much of the disk free behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<Size>,
}

fn yes() -> bool {
    true
}

impl Grow {
    pub fn partition(&self) -> PartitionPick {
        match self {
            Grow::Partition(pick) => *pick,
            Grow::Detailed(detailed) => detailed.partition,
        }
    }

    pub fn filesystem(&self) -> bool {
        match self {
            Grow::Partition(_) => true,
            Grow::Detailed(detailed) => detailed.filesystem,
        }
    }

    pub fn leave(&self) -> u64 {
        match self {
            Grow::Partition(_) => 0,
            Grow::Detailed(detailed) => detailed.leave.map_or(0, Size::bytes),
        }
    }
}

/// GUIDs of a copied GPT.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guids {
    /// The disk's GUID: `new` (derived from the order and the disk), or a GUID. Without it, the image's stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Partition GUIDs by number, each `new` or a GUID. Without it, the image's stay, because a boot loader may look
    /// for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "super::maps::unique")]
    pub partitions: BTreeMap<String, String>,
}

/// A partition to create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The GPT name, by which the layout refers to it. At most 36 characters.
    pub name: String,
    /// A Discoverable Partitions name (`esp`, `xbootldr`, `root`, `usr`, `home`, `srv`, `var`, `tmp`, `swap`, `linux`,
    /// `raid`, `lvm`, `luks`, `bios-boot`; `root` and `usr` depend on the machine's architecture) or a GUID.
    #[serde(rename = "type")]
    pub kind: String,
    /// Exactly this size. Without it, the partition grows between `min` and `max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Size>,
    /// Its share of the free space relative to other growing partitions; default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Its number, if something depends on it; by default its position in the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// Its GUID; by default derived from order, disk and name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<Filesystem>,
    /// A filesystem image, by name, that is written into it. Not together with `filesystem`. With `mount`: `/` it is
    /// the system, whose boot loader is copied to the `esp` in the same set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where it is mounted in the installed system. On a set of several disks this is allowed only for an `esp`: the
    /// first disk's is mounted, the others get the same files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
}

impl Partition {
    /// A partition of exactly this size, without contents.
    pub fn sized(name: impl Into<String>, kind: impl Into<String>, bytes: u64) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            size: Some(Size::from_bytes(bytes)),
            min: None,
            max: None,
            weight: None,
            number: None,
            guid: None,
            filesystem: None,
            image: None,
            mount: None,
        }
    }
}

/// A tree image: a tar unpacked onto the filesystems that have a `mount`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    /// The image's name.
    pub image: String,
    /// How the tree is made to boot.
    #[serde(default)]
    pub bootloader: Bootloader,
    /// Words for the installed kernel's command line, besides `root=`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cmdline: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// Whichever of the two the tree contains; both or neither is an error.
    #[default]
    Auto,
    Grub,
    SystemdBoot,
    /// Firmware does not boot the tree.
    None,
}

/// What firmware boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// The disk set.
    pub set: String,
    /// The UEFI entry's description, 1 to 64 printable characters; default: the order's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub label: Option<String>,
}

impl Layout {
    /// Whether something is built on the whole disks of a set.
    pub fn is_built_upon(&self, set: &str) -> bool {
        let raid = self.raid.values().map(|raid| &raid.members);
        raid.filter_map(|on| if let DeviceRef::Disks(name) = on { Some(name) } else { None }).any(|name| name == set)
    }
}

impl DiskSet {
    /// The partition of its image that is mirrored.
    pub fn mirrored(&self) -> Option<PartitionPick> {
        let root = PartitionPick::Named(PickName::Root);
        self.mirror.then(|| self.grow.as_ref().map_or(root, Grow::partition))
    }

    /// Whether nothing on its disks changes.
    pub fn is_preserved(&self) -> bool {
        self.protect || self.on_existing == OnExisting::Preserve
    }
}

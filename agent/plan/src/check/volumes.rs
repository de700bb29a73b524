//! Checks LUKS volumes and LVM groups: names that device-mapper accepts, usable keys, consistent sizes.

use super::super::luks;
use super::devices::{is_for_firmware, partition};
use super::{Mistakes, token};
use burin_protocol::age;
use burin_protocol::order::{Crypt, DeviceRef, Layout, LogicalVolume, Share, Size, Unlock, VolumeGroup, VolumeKind};

const MIB: u64 = 1 << 20;
/// A LUKS2 header has 32 key slots; nobody needs this many ways to open one.
const MOST_KEYS: usize = 8;
/// Device-mapper names have at most 127 bytes, and LVM adds suffixes for internal volumes.
const LONGEST: usize = 48;
/// Names that exist in /dev of every ramdisk: a group with such a name cannot be made.
const DEV: [&str; 16] = [
    "block", "burin", "bus", "char", "console", "disk", "fd", "input", "kmsg", "mapper", "md", "mem", "null", "pts",
    "shm", "zero",
];
/// lvm(8), "Valid names".
const LVM_OWN: [&str; 12] = [
    "_cdata", "_cmeta", "_corig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata", "_tmeta", "_vdata",
    "_vorigin",
];

pub fn luks(layout: &Layout, name: &str, crypt: &Crypt, at: &str, mistakes: &mut Mistakes) {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let right = (1..=LONGEST).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(fits)
        && name != "control";
    mistakes.ensure(right, at, "expected up to 48 letters, digits, `.`, `_` or `-`: it becomes /dev/mapper/NAME");
    bare(layout, &crypt.on, &format!("{at}/on"), mistakes);
    let keys = (1..=MOST_KEYS).contains(&crypt.unlock.len());
    mistakes.ensure(keys, &format!("{at}/unlock"), "expected at least one way to open it, and at most eight");
    let others = crypt.unlock.iter().any(|unlock| !matches!(unlock, Unlock::Tpm2 { .. }));
    mistakes.ensure(
        others,
        &format!("{at}/unlock"),
        "expected a key beside the TPM's: a firmware update closes that one",
    );
    for (i, unlock) in crypt.unlock.iter().enumerate() {
        let at = format!("{at}/unlock/{i}");
        match unlock {
            Unlock::Tpm2 { pcrs } => {
                let right = !pcrs.is_empty() && pcrs.iter().all(|pcr| *pcr < 24);
                mistakes.ensure(right, &format!("{at}/tpm2/pcrs"), "expected numbers from 0 to 23");
            }
            Unlock::RecoveryKey { to } => recipient(to, &format!("{at}/recovery-key/to"), mistakes),
            Unlock::Generated { to } => recipient(to, &format!("{at}/generated/to"), mistakes),
            Unlock::Passphrase(_) => {}
        }
    }
    let memory = crypt.pbkdf_memory.is_none_or(luks::is_memory);
    mistakes.ensure(memory, &format!("{at}/pbkdf_memory"), "expected whole MiB from 32MiB to 4GiB");
}

fn recipient(to: &str, at: &str, mistakes: &mut Mistakes) {
    let right = age::recipient(to).is_some();
    mistakes.ensure(right, at, "expected a recipient of age (`age1...`): `age-keygen` makes one");
}

pub fn group(layout: &Layout, name: &str, group: &VolumeGroup, at: &str, mistakes: &mut Mistakes) {
    mistakes.ensure(is_lvm_name(name), at, "expected a name that LVM takes: it becomes /dev/NAME");
    mistakes.ensure(!DEV.contains(&name), at, "this name is taken in /dev");
    bare(layout, &group.on, &format!("{at}/on"), mistakes);
    let extent = group.extent.map_or(4 * MIB, Size::bytes);
    let right = extent.is_power_of_two() && (MIB..=1 << 34).contains(&extent);
    mistakes.ensure(right, &format!("{at}/extent"), "expected a power of two from 1MiB to 16GiB");
    tags(&group.tags, at, mistakes);
    for (volume_name, volume) in &group.volumes {
        let at = format!("{at}/volumes/{}", token(volume_name));
        let own = LVM_OWN.iter().any(|part| volume_name.contains(part));
        let reserved = own || ["snapshot", "pvmove"].iter().any(|start| volume_name.starts_with(start));
        mistakes.ensure(is_lvm_name(volume_name) && !reserved, &at, "expected a name that LVM takes");
        tags(&volume.tags, &at, mistakes);
        self::volume(group, volume, &at, mistakes);
    }
}

fn volume(group: &VolumeGroup, volume: &LogicalVolume, at: &str, mistakes: &mut Mistakes) {
    let is = |kind: VolumeKind| volume.kind == kind;
    for (word, given, kind) in [
        ("stripes", volume.stripes.is_some(), VolumeKind::Striped),
        ("stripe_size", volume.stripe_size.is_some(), VolumeKind::Striped),
        ("copies", volume.copies.is_some(), VolumeKind::Raid1),
        ("pool", volume.pool.is_some(), VolumeKind::Thin),
    ] {
        mistakes.ensure(!given || is(kind), &format!("{at}/{word}"), "this is for another `type` of volume");
    }
    let stripes = volume.stripes.is_none_or(|stripes| (2..=128).contains(&stripes));
    mistakes.ensure(stripes, &format!("{at}/stripes"), "expected 2 to 128");
    let copies = volume.copies.is_none_or(|copies| (2..=10).contains(&copies));
    mistakes.ensure(copies, &format!("{at}/copies"), "expected 2 to 10");
    let stripe = volume.stripe_size.is_none_or(|size| {
        size.bytes().is_power_of_two() && (4096..=group.extent.map_or(4 * MIB, Size::bytes)).contains(&size.bytes())
    });
    mistakes.ensure(stripe, &format!("{at}/stripe_size"), "expected a power of two from 4KiB to the extent's size");
    let grows = volume.min.is_some() || volume.max.is_some() || volume.weight.is_some();
    mistakes.ensure(volume.size.is_none() || !grows, at, "expected either `size` or `min`, `max` and `weight`");
    if let (Some(Share::Bytes(min)), Some(Share::Bytes(max))) = (volume.min, volume.max) {
        mistakes.ensure(min <= max, &format!("{at}/min"), "expected no more than `max`");
    }
    if is(VolumeKind::Thin) {
        mistakes.ensure(!grows, at, "a thin volume has a `size` alone");
        let pool = volume.pool.as_ref().and_then(|pool| group.volumes.get(pool));
        let right = pool.is_some_and(|pool| pool.kind == VolumeKind::ThinPool);
        mistakes.ensure(right, &format!("{at}/pool"), "expected the name of a `thin-pool` of this group");
    }
    if is(VolumeKind::ThinPool) {
        mistakes.ensure(volume.filesystem.is_none(), &format!("{at}/filesystem"), "filesystems go onto `thin` volumes");
    }
}

fn is_lvm_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    (1..=LONGEST).contains(&name.len()) && !name.starts_with(['-', '.']) && name.bytes().all(fits)
}

fn tags(tags: &[String], at: &str, mistakes: &mut Mistakes) {
    for (i, tag) in tags.iter().enumerate() {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_+.-/=!:#&".contains(&b);
        let right = (1..=1024).contains(&tag.len()) && !tag.starts_with('-') && tag.bytes().all(fits);
        mistakes.ensure(right, &format!("{at}/tags/{i}"), "expected letters, digits and any of _+.-/=!:#&");
    }
}

/// A device that something is built on must have no contents of its own.
fn bare(layout: &Layout, on: &DeviceRef, at: &str, mistakes: &mut Mistakes) {
    let volume = |path: &str| {
        let (group, name) = path.split_once('/')?;
        layout.lvm.get(group)?.volumes.get(name)
    };
    let filled = match on {
        DeviceRef::Partition(path) => {
            partition(layout, path).is_some_and(|one| one.filesystem.is_some() || one.image.is_some())
        }
        DeviceRef::Disks(_) => false,
        DeviceRef::Raid(name) => layout.raid.get(name).is_some_and(|raid| raid.filesystem.is_some()),
        DeviceRef::Luks(name) => layout.luks.get(name).is_some_and(|crypt| crypt.filesystem.is_some()),
        DeviceRef::Volume(path) => volume(path).is_some_and(|one| one.filesystem.is_some()),
    };
    mistakes.ensure(!filled, at, "what this is built on has a filesystem or image of its own");
    let disks = matches!(on, DeviceRef::Disks(_));
    mistakes.ensure(!disks, at, "not on whole disks: make a partition on them, or an array over them");
    let firmware = matches!(on, DeviceRef::Partition(path) if partition(layout, path).is_some_and(is_for_firmware));
    mistakes.ensure(!firmware, at, "firmware reads none of this, and that partition is for firmware");
    if let DeviceRef::Volume(path) = on {
        let pool = volume(path).is_some_and(|one| one.kind == VolumeKind::ThinPool);
        mistakes.ensure(!pool, at, "nothing is built on a pool itself");
    }
}

//! Checks of MD arrays that are possible before the disks are known.

use super::Mistakes;
use super::devices::{is_for_firmware, partition};
use burin_protocol::order::{Consistency, DeviceRef, FsType, Layout, Raid, RaidLevel, Size};
use burin_protocol::plan::raid::CHUNKS;

/// Where boot loaders expect the ESP.
const ESP_MOUNTS: [&str; 3] = ["/boot/efi", "/efi", "/boot"];

pub fn check(layout: &Layout, name: &str, raid: &Raid, at: &str, mistakes: &mut Mistakes) {
    let expected = "expected a letter and up to 26 more letters, digits, `.`, `_` or `-`: it becomes /dev/md/NAME";
    mistakes.ensure(is_name(name), at, expected);
    shape(raid, at, mistakes);
    members(layout, raid, at, mistakes);
    // Firmware cannot read arrays, and writes to an ESP by itself.
    let vfat = raid.filesystem.as_ref().is_some_and(|filesystem| filesystem.kind == FsType::Vfat);
    let is_esp = vfat && raid.mount.as_deref().is_some_and(|mount| ESP_MOUNTS.contains(&mount));
    mistakes.ensure(
        !is_esp,
        &format!("{at}/mount"),
        "firmware reads no array: give each disk a partition of type `esp`",
    );
}

/// The superblock has 32 bytes for `any:NAME` and a terminator; mdadm would take a number alone for a minor number.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=27).contains(&name.len()) && name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(fits)
}

/// Checks that level, metadata, chunk size and consistency policy go together.
fn shape(raid: &Raid, at: &str, mistakes: &mut Mistakes) {
    let level = raid.level;
    let metadata = raid.metadata.as_deref().unwrap_or("1.2");
    let place = format!("{at}/metadata");
    mistakes.ensure(matches!(metadata, "1.0" | "1.1" | "1.2"), &place, "expected 1.0, 1.1 or 1.2");
    let plain = metadata != "1.0" || level == RaidLevel::Raid1;
    mistakes.ensure(plain, &place, "1.0 leaves members as on a plain disk, which only a mirror's are");

    let place = format!("{at}/chunk");
    mistakes.ensure(raid.chunk.is_none() || level.is_striped(), &place, "a mirror has no chunks");
    let fits = |chunk: Size| chunk.bytes().is_power_of_two() && CHUNKS.contains(&chunk.bytes());
    mistakes.ensure(raid.chunk.is_none_or(fits), &place, "expected a power of two from 4KiB to 64MiB");

    let place = format!("{at}/spares");
    let spare = level.is_redundant() || raid.spares.unwrap_or(0) == 0;
    mistakes.ensure(spare, &place, "a level without redundancy has nothing to fill a spare from");

    let place = format!("{at}/consistency");
    match (raid.consistency, level) {
        (None, _) | (Some(Consistency::None), RaidLevel::Raid0) => {}
        (Some(_), RaidLevel::Raid0) => {
            mistakes.add(place, "RAID 0 keeps nothing twice: there is nothing to make equal")
        }
        (Some(Consistency::None), _) => mistakes.add(place, "expected bitmap, resync or ppl"),
        (Some(Consistency::Ppl), level) => {
            mistakes.ensure(level == RaidLevel::Raid5, &place, "only RAID 5 has partial parity to keep");
        }
        (Some(Consistency::Bitmap | Consistency::Resync), _) => {}
    }
}

fn members(layout: &Layout, raid: &Raid, at: &str, mistakes: &mut Mistakes) {
    let at = format!("{at}/members");
    match &raid.members {
        DeviceRef::Partition(reference) => {
            let Some(member) = partition(layout, reference) else { return };
            mistakes.ensure(member.filesystem.is_none(), &at, "its members have filesystems of their own");
            mistakes.ensure(member.image.is_none(), &at, "its members have images of their own");
            let firmware = is_for_firmware(member);
            mistakes.ensure(!firmware, &at, "firmware reads no array, and these are for firmware");
        }
        DeviceRef::Disks(name) => {
            let Some(set) = layout.disks.get(name) else { return };
            let bare = set.image.is_none() && set.partitions.is_empty() && !set.is_preserved();
            mistakes.ensure(bare, &at, "whole disks are members only where nothing else is put on them");
            let behind = raid.metadata.as_deref().is_none_or(|metadata| metadata == "1.2");
            let message = "on whole disks expected metadata 1.2: until the order is done, the first sector says whose work \
                           it is, and afterwards firmware must find nothing there";
            mistakes.ensure(behind, &at, message);
        }
        DeviceRef::Raid(_) | DeviceRef::Luks(_) | DeviceRef::Volume(_) => {
            mistakes.add(at, "expected `partition` or `disks`: an array lies on several");
        }
    }
}

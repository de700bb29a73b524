//! Checks what is built on partitions: references exist, nothing is used twice, a tree has a root.

use super::super::{layers, mkfs, partition_images, steps};
use super::{Mistakes, raids, token, volumes};
use burin_protocol::image::ImageFormat;
use burin_protocol::order::{BootOrder, Bootloader, DeviceRef, DiskSet, Filesystem, FsType, Layout, Order, Partition};
use burin_table::types;
use std::collections::{BTreeMap, BTreeSet};

pub fn check(order: &Order, layout: &Layout, at: &str, mistakes: &mut Mistakes) {
    let mut used = BTreeSet::new();
    let mut base = |reference: &DeviceRef, at: String, mistakes: &mut Mistakes| {
        mistakes.ensure(exists(layout, reference), &at, "there is no such device in this layout");
        let free = used.insert(format!("{reference:?}"));
        mistakes.ensure(free, &at, "something else is built on this already");
    };
    for (name, raid) in &layout.raid {
        let at = format!("{at}/raid/{}", token(name));
        base(&raid.members, format!("{at}/members"), mistakes);
        optional(raid.filesystem.as_ref(), raid.mount.as_deref(), &at, mistakes);
        raids::check(layout, name, raid, &at, mistakes);
    }
    for (name, crypt) in &layout.luks {
        let at = format!("{at}/luks/{}", token(name));
        base(&crypt.on, format!("{at}/on"), mistakes);
        volumes::luks(layout, name, crypt, &at, mistakes);
        optional(crypt.filesystem.as_ref(), crypt.mount.as_deref(), &at, mistakes);
    }
    for (name, group) in &layout.lvm {
        let at = format!("{at}/lvm/{}", token(name));
        base(&group.on, format!("{at}/on"), mistakes);
        volumes::group(layout, name, group, &at, mistakes);
        for (volume_name, volume) in &group.volumes {
            let at = format!("{at}/volumes/{}", token(volume_name));
            let mapped = format!("{}-{}", name.replace('-', "--"), volume_name.replace('-', "--"));
            let taken = layout.luks.contains_key(&mapped);
            mistakes.ensure(!taken, &at, "a LUKS volume of this layout has this name in /dev/mapper");
            optional(volume.filesystem.as_ref(), volume.mount.as_deref(), &at, mistakes);
        }
    }
    if let Err(circle) = layers::order(layout) {
        for layer in circle {
            mistakes.add(format!("{at}/{}/on", layer.place()), "this lies upon itself");
        }
    }
    tree(order, layout, at, mistakes);
    image(layout, at, mistakes);
    boot(order, layout, at, mistakes);
}

fn exists(layout: &Layout, reference: &DeviceRef) -> bool {
    match reference {
        DeviceRef::Partition(name) => partition(layout, name).is_some(),
        DeviceRef::Disks(set) => layout.disks.contains_key(set),
        DeviceRef::Raid(name) => layout.raid.contains_key(name),
        DeviceRef::Luks(name) => layout.luks.contains_key(name),
        DeviceRef::Volume(name) => {
            name.split_once('/').and_then(|(group, volume)| layout.lvm.get(group)?.volumes.get(volume)).is_some()
        }
    }
}

/// An ESP, or the partition for GRUB's core image.
pub fn is_for_firmware(partition: &Partition) -> bool {
    matches!(types::guid(&partition.kind, None), Some(types::ESP | types::BIOS_BOOT))
}

pub fn partition<'a>(layout: &'a Layout, reference: &str) -> Option<&'a Partition> {
    let (set, name) = reference.split_once('/')?;
    layout.disks.get(set)?.partitions.iter().find(|partition| partition.name == name)
}

fn optional(filesystem: Option<&Filesystem>, mount: Option<&str>, at: &str, mistakes: &mut Mistakes) {
    if let Some(filesystem) = filesystem {
        self::filesystem(filesystem, &format!("{at}/filesystem"), mistakes);
    }
    if let Some(mount) = mount {
        self::mount(mount, filesystem, &format!("{at}/mount"), mistakes);
    }
}

pub fn filesystem(filesystem: &Filesystem, at: &str, mistakes: &mut Mistakes) {
    let longest = match filesystem.kind {
        FsType::Ext4 => 16,
        FsType::Xfs => 12,
        FsType::Btrfs => 255,
        FsType::Vfat => 11,
        FsType::Swap => 16,
    };
    let label = filesystem.label.as_deref().is_none_or(|label| (1..=longest).contains(&label.len()));
    mistakes.ensure(label, &format!("{at}/label"), &format!("expected 1 to {longest} bytes"));
    let uuid = match (&filesystem.uuid, filesystem.kind) {
        (None, _) => true,
        (Some(uuid), FsType::Vfat) => is_volume_id(uuid),
        (Some(uuid), _) => types::is_guid(uuid),
    };
    mistakes.ensure(uuid, &format!("{at}/uuid"), "expected a UUID, or XXXX-XXXX for vfat");
    if let Err((index, message)) = mkfs::check(filesystem.kind, &filesystem.options) {
        mistakes.add(format!("{at}/options/{index}"), message);
    }
    for (index, option) in filesystem.mount_options.iter().enumerate() {
        let at = format!("{at}/mount_options/{index}");
        mistakes.ensure(
            mkfs::is_mount_option(option),
            &at,
            "expected an option of this filesystem that names no device",
        );
    }
}

fn is_volume_id(text: &str) -> bool {
    text.len() == 9 && text.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'-' } else { b.is_ascii_hexdigit() })
}

pub fn mount(mount: &str, filesystem: Option<&Filesystem>, at: &str, mistakes: &mut Mistakes) {
    let parts = mount.strip_prefix('/').map(|rest| rest.split('/').collect::<Vec<_>>());
    let right = mount == "/"
        || parts.is_some_and(|parts| parts.iter().all(|part| !matches!(*part, "" | "." | "..")))
            && !mount.chars().any(|c| c.is_control() || c.is_whitespace());
    mistakes.ensure(right, at, "expected an absolute path without blanks, `.`, `..` or a trailing `/`");
    match filesystem {
        None => mistakes.add(at, "there is no filesystem to mount"),
        Some(filesystem) => mistakes.ensure(filesystem.kind != FsType::Swap, at, "swap is not mounted"),
    }
}

fn tree(order: &Order, layout: &Layout, at: &str, mistakes: &mut Mistakes) {
    let mut mounts: BTreeMap<&str, String> = BTreeMap::new();
    let mut all: Vec<(&str, String)> = Vec::new();
    for (name, set) in &layout.disks {
        for (i, partition) in set.partitions.iter().enumerate() {
            let place = format!("{at}/disks/{}/partitions/{i}/mount", token(name));
            all.extend(partition.mount.as_deref().map(|mount| (mount, place)));
        }
    }
    let over = |kind: &str, name: &str| format!("{at}/{kind}/{}/mount", token(name));
    all.extend(layout.raid.iter().filter_map(|(name, raid)| Some((raid.mount.as_deref()?, over("raid", name)))));
    all.extend(layout.luks.iter().filter_map(|(name, crypt)| Some((crypt.mount.as_deref()?, over("luks", name)))));
    for (group, volumes) in &layout.lvm {
        all.extend(volumes.volumes.iter().filter_map(|(name, volume)| {
            Some((volume.mount.as_deref()?, format!("{at}/lvm/{}/volumes/{}/mount", token(group), token(name))))
        }));
    }
    for (mount, place) in all {
        if let Some(other) = mounts.insert(mount, place.clone()) {
            mistakes.add(place, format!("{other} is mounted at {mount} too"));
        }
    }

    let Some(tree) = &layout.tree else {
        for place in mounts.values().filter(|place| !place.contains("/disks/")) {
            mistakes.add(place, "without a `tree` nothing is mounted");
        }
        return;
    };
    let at = format!("{at}/tree");
    mistakes.ensure(mounts.contains_key("/"), &at, "a tree needs a filesystem with `mount`: `/`");
    match order.images.get(&tree.image) {
        None => mistakes.add(format!("{at}/image"), "there is no image of this name"),
        Some(image) => {
            let tar = matches!(image.format, None | Some(ImageFormat::Tar));
            mistakes.ensure(tar, &format!("{at}/image"), "a tree is a tar, and this image says it is something else");
        }
    }
    let esp = layout.disks.values().flat_map(|set| &set.partitions).any(|p| p.kind == "esp" && p.filesystem.is_some());
    let boots = tree.bootloader != Bootloader::None;
    // The machine determines which of the two is needed.
    let bios = layout
        .disks
        .values()
        .flat_map(|set| &set.partitions)
        .any(|p| types::guid(&p.kind, None) == Some(types::BIOS_BOOT));
    let bios = bios && tree.bootloader != Bootloader::SystemdBoot;
    let place = "a tree that boots needs a partition of type `esp` with a vfat filesystem, or of type `bios-boot`";
    mistakes.ensure(esp || bios || !boots, &at, place);
    for (i, word) in tree.cmdline.iter().enumerate() {
        let plain = !word.is_empty() && !word.chars().any(|c| c.is_control() || c.is_whitespace());
        mistakes.ensure(plain, &format!("{at}/cmdline/{i}"), "expected one word of a kernel command line");
    }
    let images = layout.disks.values().any(|set| set.image.is_some());
    mistakes.ensure(!images, &at, "expected either a `tree` or whole-disk images in one layout");
}

/// An image that is the system.
fn image(layout: &Layout, at: &str, mistakes: &mut Mistakes) {
    let Some((set, _)) = partition_images::root(layout) else { return };
    let at = format!("{at}/disks/{}", token(set));
    mistakes.ensure(layout.tree.is_none(), &at, "expected either a `tree` or an image at `/`");
    let esp = |set: &DiskSet| set.partitions.iter().any(|one| one.kind == "esp" && one.filesystem.is_some());
    let found = layout.disks.get(set).is_some_and(esp);
    mistakes.ensure(found, &at, "an image at `/` needs a partition of type `esp` with a vfat filesystem beside it");
}

fn boot(order: &Order, layout: &Layout, at: &str, mistakes: &mut Mistakes) {
    if let Some(boot) = &layout.boot {
        let set = layout.disks.get(&boot.set);
        mistakes.ensure(set.is_some(), &format!("{at}/boot/set"), "there is no such disk set");
        let writes = set.is_none_or(|set| !set.is_preserved());
        mistakes.ensure(writes, &format!("{at}/boot/set"), "nothing is put on these disks, so nothing boots from them");
        return;
    }
    let systems = layout.disks.values().any(|set| set.image.is_some()) || layout.tree.is_some();
    let wanted = order.policies.boot_order != BootOrder::Keep
        && layout.tree.as_ref().is_none_or(|tree| tree.bootloader != Bootloader::None);
    mistakes.ensure(
        !systems || !wanted || steps::boot_set(layout).is_some(),
        &format!("{at}/boot"),
        "nothing says which disk set firmware boots from: expected {\"set\": NAME}",
    );
}

//! Checks disk sets: how they choose disks, and that what is put on them makes sense.

use super::super::fields::Scope;
use super::super::mirror::NAME;
use super::super::steps;
use super::names::{circles, counts};
use super::{Mistakes, predicates, token};
use burin_protocol::image::ImageFormat;
use burin_protocol::order::{DiskSet, FsType, Layout, OnExisting, Order, Partition, SeedPlace};
use burin_table::types;
use std::collections::BTreeSet;

pub fn check(order: &Order, layout: &Layout, at: &str, mistakes: &mut Mistakes) {
    mistakes.ensure(!layout.disks.is_empty(), &format!("{at}/disks"), "a layout has at least one disk set");
    for (name, set) in &layout.disks {
        let at = format!("{at}/disks/{}", token(name));
        mistakes.ensure(!name.is_empty() && !name.contains('/'), &at, "expected a name without `/`");
        choosing(layout, set, &at, mistakes);
        contents(order, layout, name, &at, mistakes);
    }
    let edges = layout.disks.iter().map(|(name, set)| (name.as_str(), set.except.as_slice()));
    circles(edges, &format!("{at}/disks"), mistakes);
}

fn choosing(layout: &Layout, set: &DiskSet, at: &str, mistakes: &mut Mistakes) {
    if let Some(predicate) = &set.matches {
        predicates::check(predicate, Scope::Disk, &format!("{at}/match"), mistakes);
    }
    counts(set.count, set.min, set.max, at, mistakes);
    for (i, field) in set.same.iter().enumerate() {
        predicates::plain_field(field, Scope::Disk, &format!("{at}/same/{i}"), mistakes);
    }
    if let Some(field) = &set.spread {
        predicates::plain_field(field, Scope::Disk, &format!("{at}/spread"), mistakes);
    }
    predicates::keys(&set.order_by, Scope::Disk, &format!("{at}/order_by"), mistakes);
    for (i, other) in set.except.iter().enumerate() {
        mistakes.ensure(layout.disks.contains_key(other), &format!("{at}/except/{i}"), "there is no such disk set");
    }
}

fn contents(order: &Order, layout: &Layout, name: &str, at: &str, mistakes: &mut Mistakes) {
    let Some(set) = layout.disks.get(name) else { return };
    let writes = set.image.is_some() || !set.partitions.is_empty() || set.wipe;
    if set.protect {
        mistakes.ensure(set.matches.is_some(), at, "what is protected? `match` says it");
        let plain = set.order_by.is_empty() && set.same.is_empty() && set.spread.is_none() && set.except.is_empty();
        mistakes.ensure(plain, at, "`protect` takes every disk that matches: there is nothing to choose among");
        let silent = set.on_existing == OnExisting::Refuse;
        mistakes.ensure(silent, &format!("{at}/on_existing"), "`protect` says it already");
    }
    let place = format!("{at}/sector_size");
    let known = set.sector_size.is_none_or(|size| matches!(size, 512 | 4096));
    mistakes.ensure(known, &place, "expected 512 or 4096");
    let changes = set.sector_size.is_none() || !set.is_preserved();
    mistakes.ensure(changes, &place, "nothing about these disks may change");
    let spared = set.erase.is_least() || !set.is_preserved();
    mistakes.ensure(spared, &format!("{at}/erase"), "nothing about these disks may change");
    if set.is_preserved() {
        mistakes.ensure(!writes, at, "nothing may be put on disks that are protected or preserved");
    } else if !writes && !layout.is_built_upon(name) {
        mistakes.add(
            at,
            "nothing is put on these disks: expected `image`, `partitions`, `wipe`, `protect`, `on_existing`: `preserve`, or \
             something that is built on them",
        );
    }
    mistakes.ensure(
        set.image.is_none() || set.partitions.is_empty(),
        &format!("{at}/partitions"),
        "expected either `image` or `partitions`; partitions beside an image go into `add`",
    );
    mistakes.ensure(
        !set.wipe || (set.image.is_none() && set.partitions.is_empty()),
        &format!("{at}/wipe"),
        "`image` and `partitions` wipe what is in their way by themselves",
    );
    match &set.image {
        Some(image) => {
            mistakes.ensure(order.images.contains_key(image), &format!("{at}/image"), "there is no image of this name");
        }
        None => {
            for (word, given) in [
                ("grow", set.grow.is_some()),
                ("guids", set.guids.is_some()),
                ("add", !set.add.is_empty()),
                ("mirror", set.mirror),
            ] {
                mistakes.ensure(!given, &format!("{at}/{word}"), "this changes an image, and there is none");
            }
        }
    }
    guids(set, at, mistakes);
    keep(set, at, mistakes);
    if set.mirror {
        mirror(order, layout, name, at, mistakes);
    }
    partitions(order, layout, set, at, mistakes);
}

/// Fresh partitions, and those that are added to an image.
fn partitions(order: &Order, layout: &Layout, set: &DiskSet, at: &str, mistakes: &mut Mistakes) {
    let several = set.count.map_or(set.min.is_some() || set.max.is_none_or(|max| max > 1), |count| count > 1)
        && (set.count.is_some() || set.min.is_some() || set.max.is_some());
    for (word, list) in [("partitions", &set.partitions), ("add", &set.add)] {
        let mut names = BTreeSet::new();
        let mut numbers = BTreeSet::new();
        for (i, partition) in list.iter().enumerate() {
            let at = format!("{at}/{word}/{i}");
            mistakes.ensure(names.insert(&partition.name), &format!("{at}/name"), "another partition has this name");
            let free = partition.number.is_none_or(|number| numbers.insert(number));
            mistakes.ensure(free, &format!("{at}/number"), "another partition has this number");
            self::partition(partition, &at, mistakes);
            partition_image(order, partition, &at, mistakes);
            if word == "add" {
                mistakes.ensure(partition.image.is_none(), &format!("{at}/image"), "images go into `partitions`");
                mistakes.ensure(partition.size.is_some(), &at, "an added partition has a `size`");
                mistakes.ensure(
                    partition.mount.is_none(),
                    &format!("{at}/mount"),
                    "the image's own fstab decides what is mounted",
                );
            } else if partition.mount.is_some() {
                mistakes.ensure(
                    !several || partition.kind == "esp",
                    &format!("{at}/mount"),
                    "the same partition of several disks cannot be mounted at one place: put an array over them",
                );
                let system = layout.tree.is_some() || partition.image.is_some();
                mistakes.ensure(system, &format!("{at}/mount"), "without a `tree` nothing is mounted");
            }
            if several && partition.guid.is_some() {
                mistakes.add(format!("{at}/guid"), "several disks would get the same partition GUID");
            }
            if several && partition.filesystem.as_ref().is_some_and(|filesystem| filesystem.uuid.is_some()) {
                mistakes.add(format!("{at}/filesystem/uuid"), "several disks would get the same filesystem UUID");
            }
        }
    }
}

/// A filesystem image in a partition; one mounted at `/` is the system.
fn partition_image(order: &Order, partition: &Partition, at: &str, mistakes: &mut Mistakes) {
    let Some(image) = &partition.image else { return };
    let found = order.images.get(image);
    mistakes.ensure(found.is_some(), &format!("{at}/image"), "there is no image of this name");
    let tar = found.is_some_and(|image| image.format == Some(ImageFormat::Tar));
    mistakes.ensure(!tar, &format!("{at}/image"), "a tar is unpacked as a `tree`");
    mistakes.ensure(partition.filesystem.is_none(), &format!("{at}/filesystem"), "the image is the filesystem");
    let place = partition.mount.as_deref().is_none_or(|mount| mount == "/");
    mistakes.ensure(place, &format!("{at}/mount"), "an image is mounted at `/` or not at all");
}

fn keep(set: &DiskSet, at: &str, mistakes: &mut Mistakes) {
    let writes = set.image.is_some() || !set.partitions.is_empty();
    let empty = set.keep.is_empty();
    mistakes.ensure(
        empty || writes,
        &format!("{at}/keep"),
        "partitions are kept beside an `image` or `partitions`, whose table they come into",
    );
    for (i, pick) in set.keep.iter().enumerate() {
        let at = format!("{at}/keep/{i}");
        let says = pick.name.is_some() || pick.kind.is_some() || pick.guid.is_some() || pick.number.is_some();
        mistakes.ensure(says, &at, "which partition? Expected `name`, `type`, `guid` or `number`");
        let kind = pick.kind.as_deref().is_none_or(types::is_known);
        mistakes.ensure(kind, &format!("{at}/type"), "expected a GUID or the name of a type");
        mistakes.ensure(pick.guid.as_deref().is_none_or(types::is_guid), &format!("{at}/guid"), "expected a GUID");
        let number = pick.number.is_none_or(|number| (1..=128).contains(&number));
        mistakes.ensure(number, &format!("{at}/number"), "expected 1 to 128");
    }
}

/// One system on several disks.
fn mirror(order: &Order, layout: &Layout, name: &str, at: &str, mistakes: &mut Mistakes) {
    let Some(set) = layout.disks.get(name) else { return };
    let at = format!("{at}/mirror");
    let several = set.count.is_some_and(|count| count > 1);
    mistakes.ensure(several, &at, "a mirror has two disks or more: expected a `count` of 2 or more");
    mistakes.ensure(set.guids.is_none(), &at, "every disk but the first gets new GUIDs by itself: expected no `guids`");
    mistakes.ensure(set.keep.is_empty(), &at, "partitions are kept beside an image that is not mirrored");
    let others = layout.disks.values().filter(|set| set.mirror).count();
    mistakes.ensure(others < 2, &at, "another set is a mirror: a layout has one");
    let named = !layout.raid.contains_key(NAME);
    mistakes.ensure(named, &at, "its array is called `root`: another of this name is in `raid`");
    if let Some(seed) = &order.seed
        && steps::seed_set(order, layout) == Some(name)
    {
        let inside = seed.format.place() == SeedPlace::RootFilesystem;
        mistakes.ensure(
            inside,
            &at,
            "only what lies in the root filesystem is on every disk: expected a seed of the format `nocloud`",
        );
    }
}

fn guids(set: &DiskSet, at: &str, mistakes: &mut Mistakes) {
    let Some(guids) = &set.guids else { return };
    let right = |text: &str| text == "new" || types::is_guid(text);
    let disk = guids.disk.as_deref().is_none_or(right);
    mistakes.ensure(disk, &format!("{at}/guids/disk"), "expected `new` or a GUID");
    for (number, guid) in &guids.partitions {
        let at = format!("{at}/guids/partitions/{}", token(number));
        let number = number.parse::<u32>().is_ok_and(|n| (1..=128).contains(&n));
        mistakes.ensure(number, &at, "expected a partition number as key");
        mistakes.ensure(right(guid), &at, "expected `new` or a GUID");
    }
}

fn partition(partition: &Partition, at: &str, mistakes: &mut Mistakes) {
    let length = partition.name.encode_utf16().count();
    let named =
        (1..=36).contains(&length) && !partition.name.contains('/') && !partition.name.chars().any(char::is_control);
    mistakes.ensure(named, &format!("{at}/name"), "expected 1 to 36 characters without `/`");
    if !types::is_known(&partition.kind) {
        let names: Vec<&str> = types::names().collect();
        mistakes.add(format!("{at}/type"), format!("expected a GUID or one of {}", names.join(", ")));
    }
    if partition.size.is_some() {
        for (word, given) in
            [("min", partition.min.is_some()), ("max", partition.max.is_some()), ("weight", partition.weight.is_some())]
        {
            mistakes.ensure(!given, &format!("{at}/{word}"), "a partition with a `size` does not grow");
        }
        mistakes.ensure(
            partition.size.is_some_and(|size| size.bytes() > 0),
            &format!("{at}/size"),
            "expected more than 0",
        );
    }
    if let (Some(min), Some(max)) = (partition.min, partition.max) {
        mistakes.ensure(min <= max, &format!("{at}/min"), "expected no more than `max`");
    }
    mistakes.ensure(partition.weight != Some(0), &format!("{at}/weight"), "expected 1 or more");
    let number = partition.number.is_none_or(|number| (1..=128).contains(&number));
    mistakes.ensure(number, &format!("{at}/number"), "expected 1 to 128");
    let guid = partition.guid.as_deref().is_none_or(types::is_guid);
    mistakes.ensure(guid, &format!("{at}/guid"), "expected a GUID");
    if let Some(filesystem) = &partition.filesystem {
        super::devices::filesystem(filesystem, &format!("{at}/filesystem"), mistakes);
    }
    if let Some(mount) = &partition.mount {
        let filesystem = partition.filesystem.as_ref();
        if partition.image.is_none() {
            super::devices::mount(mount, filesystem, &format!("{at}/mount"), mistakes);
        }
    }
    let vfat = partition.filesystem.as_ref().is_none_or(|filesystem| filesystem.kind == FsType::Vfat);
    mistakes.ensure(partition.kind != "esp" || vfat, &format!("{at}/filesystem"), "firmware reads only vfat on an ESP");
}

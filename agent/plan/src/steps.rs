//! The steps for the chosen disks, in order.

use super::erase;
use super::files::{self, PlacedFile};
use super::fresh;
use super::layers;
use super::mirror;
use super::partition_images;
use super::refusal::Reason;
use burin_protocol::order::{
    BootOrder, Bootloader, DiskSet, FsType, Grow, Layout, Order, Partition, PartitionPick, PickName, SeedPlace, Size,
};
use burin_protocol::plan::steps::{
    AddPartition, BootEntry, FormatNamespace, GrowFilesystem, GrowPartition, KeepPartitions, MakeFilesystem, Preserve,
    RelocateBackupGpt, SetGuids, WriteImage, WriteSeed,
};
use burin_protocol::plan::{Device, PlannedDisk, PlannedFilesystem, PlannedPartition, SeedTarget, Step};
use burin_table::{guid, layout};
use std::collections::BTreeMap;

/// Size of a partition that holds only a seed.
const SEED_PARTITION: u64 = 8 << 20;
/// Size of an added partition without a given size.
const LEAST: u64 = 1 << 20;
/// Minimum size for a complete volume, as in Ironic's own agent.
const VOLUME_PARTITION: u64 = 64 << 20;

/// The input for making steps.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub order: &'a Order,
    pub layout: &'a Layout,
    pub disks: &'a [PlannedDisk],
    /// As printed by `uname -m`.
    pub architecture: Option<&'a str>,
    pub uefi: bool,
    /// `sha256:HEX` of the seed's files, if there is a seed.
    pub seed_digest: Option<&'a str>,
    /// The order's own files, attributes resolved.
    pub placed: &'a [PlacedFile],
    /// Optimal I/O sizes of `disks`.
    pub optimal_io: &'a [Option<u64>],
    /// The machine's memory in bytes, if known.
    pub memory: Option<u64>,
}

impl<'a> Context<'a> {
    /// The planned disks of a set, with their indices.
    pub fn of_set(&self, set: &str) -> Vec<(usize, &'a PlannedDisk)> {
        self.disks.iter().enumerate().filter(|(_, disk)| disk.set == set).collect()
    }

    /// The optimal I/O size of a planned disk; 0 if unknown.
    pub fn optimal_io(&self, disk: usize) -> u64 {
        self.optimal_io.get(disk).copied().flatten().unwrap_or(0)
    }

    /// Logical sector size of a planned disk when it is written, in bytes.
    pub fn sector(&self, disk: usize) -> u32 {
        let Some(planned) = self.disks.get(disk) else { return 0 };
        let wanted = self.layout.disks.get(&planned.set).and_then(|set| set.sector_size);
        wanted.unwrap_or(planned.logical_block_size)
    }

    /// Size of a planned disk when it is written, in bytes: whole sectors.
    pub fn size(&self, disk: usize) -> u64 {
        let sector = u64::from(self.sector(disk)).max(1);
        self.disks.get(disk).map_or(0, |planned| planned.size / sector * sector)
    }

    /// A value derived for one disk.
    pub fn derive(&self, disk: &PlannedDisk, what: &str) -> String {
        guid::derived(&[&self.order.id, &disk.identity.value, what]).to_string()
    }

    pub fn filesystem_uuid(&self, kind: FsType, given: Option<&str>, on: &str, what: &str) -> String {
        match given {
            Some(uuid) => uuid.to_owned(),
            None if kind == FsType::Vfat => guid::volume_id(&[&self.order.id, on, what, "filesystem"]),
            None => guid::derived(&[&self.order.id, on, what, "filesystem"]).to_string(),
        }
    }
}

pub fn steps(context: Context<'_>) -> Result<Vec<Step>, Reason> {
    let layout = context.layout;
    let mut steps = Vec::new();
    let preserved: Vec<usize> = layout
        .disks
        .iter()
        .filter(|(_, set)| set.is_preserved())
        .flat_map(|(name, _)| context.of_set(name))
        .map(|(i, _)| i)
        .collect();
    if !preserved.is_empty() {
        steps.push(Step::Preserve(Preserve { disks: preserved }));
    }
    let kept = context.disks.iter().enumerate().filter(|(_, disk)| !disk.keep.is_empty());
    steps.extend(kept.map(|(disk, _)| Step::KeepPartitions(KeepPartitions { disk })));
    steps.extend(formats(context)?);
    steps.extend(erase::steps(context)?);
    images(context, &mut steps)?;
    fresh::steps(context, &mut steps)?;
    files::steps(context, context.placed, &mut steps);
    seed(context, &mut steps);
    boot(context, &mut steps);
    Ok(steps)
}

/// Disks that get another sector size. Whether they support it was checked when they were chosen.
fn formats(context: Context<'_>) -> Result<Vec<Step>, Reason> {
    let mut steps = Vec::new();
    for (index, planned) in context.disks.iter().enumerate() {
        let (disk, sector_size, size) = (index, context.sector(index), context.size(index));
        if sector_size == planned.logical_block_size {
            continue;
        }
        if let Some(kept) = planned.keep.first() {
            let what = format!("formatting it to sectors of {sector_size} bytes would erase {}", kept.words());
            return Err(Reason::Keep { set: planned.set.clone(), disk: planned.device.clone(), what });
        }
        steps.push(FormatNamespace { disk, sector_size, size }.into());
    }
    Ok(steps)
}

/// Every image once, to all disks of all sets that use it; then the changes to each copy.
fn images(context: Context<'_>, steps: &mut Vec<Step>) -> Result<(), Reason> {
    let mut targets: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (name, set) in &context.layout.disks {
        if let Some(image) = &set.image {
            let want = context.order.images.get(image).and_then(|spec| spec.sector_size);
            for (index, disk) in context.of_set(name) {
                if let Some(want) = want.filter(|want| *want != context.sector(index)) {
                    let (set, disk, have) = (name.clone(), disk.device.clone(), context.sector(index));
                    return Err(Reason::SectorSize { set, disk, image: image.clone(), want, have });
                }
            }
            targets.entry(image).or_default().extend(context.of_set(name).iter().map(|(i, _)| *i));
        }
    }
    let verify = context.order.policies.verify;
    for (image, mut disks) in targets.into_iter().filter(|(_, disks)| !disks.is_empty()) {
        disks.sort_unstable();
        steps.push(Step::WriteImage(WriteImage { image: image.to_owned(), disks, verify }));
    }
    for (name, set) in context.layout.disks.iter().filter(|(_, set)| set.image.is_some()) {
        for (index, disk) in context.of_set(name) {
            change(context, name, set, index, disk, steps)?;
        }
        mirror::steps(context, name, set, steps);
    }
    Ok(())
}

/// Changes to one disk after its image.
fn change(
    context: Context<'_>,
    name: &str,
    set: &DiskSet,
    index: usize,
    disk: &PlannedDisk,
    steps: &mut Vec<Step>,
) -> Result<(), Reason> {
    steps.push(Step::RelocateBackupGpt(RelocateBackupGpt { disk: index }));
    if let Some(guids) = &set.guids {
        let value = |text: &String, what: &str| {
            if text == "new" { context.derive(disk, what) } else { text.to_ascii_lowercase() }
        };
        let partitions = guids
            .partitions
            .iter()
            .filter_map(|(number, text)| Some((number.parse().ok()?, value(text, &format!("partition {number}")))))
            .collect();
        let disk_guid = guids.disk.as_ref().map(|text| value(text, "disk"));
        steps.push(Step::SetGuids(SetGuids { disk: index, disk_guid, partitions, every: false }));
    }
    if set.mirror {
        steps.extend(mirror::guids(context, name, index, disk));
    }

    let seed = own_seed_label(context, name, index).map(seed_partition);
    let new: Vec<Partition> = set.add.iter().cloned().chain(seed).collect();
    fresh::clash(name, disk, &new, |partition| fresh::partition_guid(context, disk, partition))?;
    let mut added: Vec<(PlannedPartition, Option<PlannedFilesystem>)> = Vec::new();
    for partition in &set.add {
        let planned = PlannedPartition {
            number: partition.number,
            name: partition.name.clone(),
            type_guid: fresh::type_guid(context, partition)?,
            guid: fresh::partition_guid(context, disk, partition),
            start: None,
            size: partition.size.or(partition.min).map_or(LEAST, Size::bytes),
        };
        let on = &disk.identity.value;
        added.push((planned, fresh::filesystem(context, partition.filesystem.as_ref(), on, &partition.name)));
    }
    if let Some(label) = own_seed_label(context, name, index) {
        let planned = PlannedPartition {
            number: None,
            name: label.to_owned(),
            type_guid: fresh::type_guid(context, &seed_partition(label))?,
            guid: context.derive(disk, label),
            start: None,
            size: seed_room(context.order),
        };
        // No filesystem step: writing the seed makes the small vfat that holds it.
        added.push((planned, None));
    }

    let sizes: Vec<u64> = added.iter().map(|(partition, _)| partition.size).collect();
    let reserved = layout::reserve(&sizes, layout::alignment(context.optimal_io(index)));
    let leave = set.grow.as_ref().map_or(0, Grow::leave).saturating_add(reserved);
    let have = context.size(index);
    if leave >= have {
        return Err(Reason::TooSmall { set: name.to_owned(), disk: disk.device.clone(), need: leave, have });
    }
    if let Some(partition) = set.mirrored().or(set.grow.as_ref().map(Grow::partition)) {
        steps.push(Step::GrowPartition(GrowPartition { disk: index, partition, leave }));
    }
    // A mirror grows once, through its array.
    let grown = set.grow.as_ref().filter(|grow| grow.filesystem() && !set.mirror).map(Grow::partition);
    // Growing comes before adding: `last` is the last of the image's own partitions.
    if let Some(partition) = grown {
        steps.push(Step::GrowFilesystem(GrowFilesystem { disk: index, partition }));
    }
    for (partition, filesystem) in added {
        let on = Device::Partition { disk: index, name: partition.name.clone(), number: partition.number };
        steps.push(Step::AddPartition(AddPartition { disk: index, partition }));
        if let Some(filesystem) = filesystem {
            steps.push(Step::MakeFilesystem(MakeFilesystem { on, filesystem }));
        }
    }
    Ok(())
}

// ---- seed ----

/// The set that gets the seed: the named one, or the only candidate.
pub fn seed_set<'a>(order: &'a Order, layout: &'a Layout) -> Option<&'a str> {
    if let Some(set) = order.seed.as_ref().and_then(|seed| seed.set.as_deref()) {
        return Some(set);
    }
    system_set(layout)
}

/// The only set that gets an image or the tree's root.
pub fn system_set(layout: &Layout) -> Option<&str> {
    let is_root = |set: &DiskSet| set.partitions.iter().any(|partition| partition.mount.as_deref() == Some("/"));
    let below = layers::root(layout).and_then(|root| layers::set(layout, root));
    let holds_root = |name: &str| below == Some(name);
    let mut candidates =
        layout.disks.iter().filter(|(name, set)| set.image.is_some() || is_root(set) || holds_root(name));
    match (candidates.next(), candidates.next()) {
        (Some((name, _)), None) => Some(name),
        _ => None,
    }
}

/// The label of the seed partition on this disk, if it gets one.
pub fn own_seed_label(context: Context<'_>, set: &str, index: usize) -> Option<&'static str> {
    let seed = context.order.seed.as_ref()?;
    let label = seed.format.volume_label()?;
    let first = context.of_set(set).first().map(|(first, _)| *first);
    (seed_set(context.order, context.layout) == Some(set) && first == Some(index)).then_some(label)
}

/// Size of the seed's own partition in bytes.
pub fn seed_room(order: &Order) -> u64 {
    match order.seed.as_ref().and_then(|seed| seed.volume.as_ref()) {
        None => SEED_PARTITION,
        Some(volume) => (volume.bytes().len() as u64).next_multiple_of(1 << 20).max(VOLUME_PARTITION),
    }
}

pub fn seed_partition(label: &str) -> Partition {
    Partition::sized(label, "linux", SEED_PARTITION)
}

fn seed(context: Context<'_>, steps: &mut Vec<Step>) {
    let (Some(seed), Some(digest)) = (&context.order.seed, context.seed_digest) else { return };
    let Some(set) = seed_set(context.order, context.layout) else { return };
    let mounted = context.layout.tree.is_some() || partition_images::root(context.layout).is_some();
    let target = |disk: usize| match seed.format.place() {
        SeedPlace::OwnPartition => {
            let name = own_seed_label(context, set, disk).unwrap_or_default().to_owned();
            SeedTarget::Own { on: Device::Partition { disk, name, number: None } }
        }
        SeedPlace::IgnitionPartition => SeedTarget::Ignition { disk, partition: seed.partition },
        SeedPlace::RootFilesystem if mounted => SeedTarget::Tree,
        SeedPlace::RootFilesystem => SeedTarget::ImagePartition {
            disk,
            partition: seed.partition.unwrap_or(PartitionPick::Named(PickName::Root)),
        },
    };
    // A seed in the image goes into every copy, but a separate partition is made only once.
    let disks = context.of_set(set);
    let mirrored = context.layout.disks.get(set).is_some_and(|set| set.mirror);
    let once = seed.format.place() == SeedPlace::OwnPartition || mounted || mirrored;
    for (disk, _) in disks.into_iter().take(if once { 1 } else { usize::MAX }) {
        steps.push(Step::WriteSeed(WriteSeed { format: seed.format, target: target(disk), digest: digest.to_owned() }));
    }
}

// ---- boot ----

/// The set that firmware boots from: the named one, or the only candidate.
pub fn boot_set(layout: &Layout) -> Option<&str> {
    layout.boot.as_ref().map(|boot| boot.set.as_str()).or_else(|| system_set(layout))
}

/// The longest label that firmware menus can show.
const LONGEST_BOOT_LABEL: usize = 64;

/// Whether a character is visible. Invisible ones, such as Unicode controls and characters that change the direction or
/// joining of text, could make one entry look like another.
fn is_printable(c: char) -> bool {
    let invisible = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}');
    !c.is_control() && !invisible
}

pub fn is_boot_label(label: &str) -> bool {
    !label.trim().is_empty() && label.chars().count() <= LONGEST_BOOT_LABEL && label.chars().all(is_printable)
}

/// A label from an order's id, which may be longer.
fn boot_label(id: &str) -> String {
    id.chars().filter(|c| is_printable(*c)).take(LONGEST_BOOT_LABEL).collect()
}

fn boot(context: Context<'_>, steps: &mut Vec<Step>) {
    let order = context.order.policies.boot_order;
    let bootable = context.layout.tree.as_ref().is_none_or(|tree| tree.bootloader != Bootloader::None);
    if !context.uefi || !bootable || order == BootOrder::Keep {
        return;
    }
    let Some(set) = boot_set(context.layout) else { return };
    let disks: Vec<usize> = context.of_set(set).iter().map(|(i, _)| *i).collect();
    let label = context.layout.boot.as_ref().and_then(|boot| boot.label.clone());
    let label = label.unwrap_or_else(|| boot_label(&context.order.id));
    if !disks.is_empty() {
        steps.push(Step::BootEntry(BootEntry { disks, label, order }));
    }
}

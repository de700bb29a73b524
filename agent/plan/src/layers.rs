//! Layers above partitions and arrays: LUKS volumes and LVM groups, each built after the devices below it.

use super::fresh::{self, Made};
use super::refusal::Reason;
use super::steps::Context;
use super::{luks, lvm};
use burin_protocol::order::{Crypt, DeviceRef, Layout, VolumeGroup};
use burin_protocol::plan::steps::{CreateLuks, CreateTable, CreateVolume};
use burin_protocol::plan::{Device, Step, TreeNeed, disks_below, layers};
use burin_table::guid;
use std::collections::BTreeSet;

/// One thing to build.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer<'a> {
    Luks(&'a str, &'a Crypt),
    Group(&'a str, &'a VolumeGroup),
}

impl Layer<'_> {
    fn on(&self) -> &DeviceRef {
        match self {
            Self::Luks(_, crypt) => &crypt.on,
            Self::Group(_, group) => &group.on,
        }
    }

    /// Its location in the layout.
    pub fn place(&self) -> String {
        match self {
            Self::Luks(name, _) => format!("luks/{name}"),
            Self::Group(name, _) => format!("lvm/{name}"),
        }
    }
}

/// All layers of a layout, from the bottom up, or those that form a cycle.
pub fn order(layout: &Layout) -> Result<Vec<Layer<'_>>, Vec<Layer<'_>>> {
    let luks = layout.luks.iter().map(|(name, crypt)| Layer::Luks(name, crypt));
    let mut waiting: Vec<Layer<'_>> =
        luks.chain(layout.lvm.iter().map(|(name, group)| Layer::Group(name, group))).collect();
    let mut ordered: Vec<Layer<'_>> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |layer: &Layer<'_>| match layer.on() {
            DeviceRef::Partition(_) | DeviceRef::Disks(_) | DeviceRef::Raid(_) => true,
            // Missing names are reported elsewhere.
            DeviceRef::Luks(name) => {
                !layout.luks.contains_key(name)
                    || ordered.iter().any(|one| matches!(one, Layer::Luks(made, _) if made == name))
            }
            DeviceRef::Volume(name) => {
                let group = name.split('/').next().unwrap_or(name);
                !layout.lvm.contains_key(group)
                    || ordered.iter().any(|one| matches!(one, Layer::Group(made, _) if *made == group))
            }
        };
        let (ready, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_ready);
        if ready.is_empty() {
            return Err(rest);
        }
        ordered.extend(ready);
        waiting = rest;
    }
    Ok(ordered)
}

/// The disk set below a device of the layout.
pub fn set<'a>(layout: &'a Layout, mut reference: &'a DeviceRef) -> Option<&'a str> {
    // No chain is longer than this unless it is a cycle.
    for _ in 0..=layout.luks.len() + layout.lvm.len() + layout.raid.len() {
        reference = match reference {
            DeviceRef::Partition(_) | DeviceRef::Disks(_) => return reference.set(),
            DeviceRef::Raid(name) => &layout.raid.get(name)?.members,
            DeviceRef::Luks(name) => &layout.luks.get(name)?.on,
            DeviceRef::Volume(name) => &layout.lvm.get(name.split('/').next()?)?.on,
        };
    }
    None
}

/// The device that holds the root, if that is an array or a volume.
pub fn root(layout: &Layout) -> Option<&DeviceRef> {
    let is_root = |mount: &Option<String>| mount.as_deref() == Some("/");
    let raid = layout.raid.values().filter(|raid| is_root(&raid.mount)).map(|raid| &raid.members);
    let luks = layout.luks.values().filter(|crypt| is_root(&crypt.mount)).map(|crypt| &crypt.on);
    let lvm = layout.lvm.values().filter(|group| group.volumes.values().any(|one| is_root(&one.mount)));
    raid.chain(luks).chain(lvm.map(|group| &group.on)).next()
}

/// The steps that build them; filesystems on them are added to `made`.
pub fn steps(context: Context<'_>, steps: &mut Vec<Step>, made: &mut Vec<Made>) -> Result<(), Reason> {
    let ordered = order(context.layout).map_err(|circle| Reason::BadValue {
        at: circle.iter().map(Layer::place).collect::<Vec<_>>().join(", "),
        message: "lies upon itself".to_owned(),
    })?;
    for layer in ordered {
        match layer {
            Layer::Luks(name, crypt) => luks::steps(context, name, crypt, steps, made)?,
            Layer::Group(name, group) => lvm::steps(context, name, group, steps, made)?,
        }
    }
    Ok(())
}

/// The devices that a reference in the layout means.
pub fn devices(context: Context<'_>, reference: &DeviceRef) -> Vec<Device> {
    match reference {
        DeviceRef::Partition(path) => {
            let (set, name) = path.split_once('/').unwrap_or((path, ""));
            partitions(context, set, name)
        }
        DeviceRef::Disks(set) => context.of_set(set).into_iter().map(|(disk, _)| Device::Disk { disk }).collect(),
        DeviceRef::Raid(name) => vec![Device::Raid { name: name.clone() }],
        DeviceRef::Luks(name) => vec![Device::Luks { name: name.clone() }],
        DeviceRef::Volume(path) => {
            let (group, name) = path.split_once('/').unwrap_or((path, ""));
            vec![Device::Volume { group: group.to_owned(), name: name.to_owned() }]
        }
    }
}

/// The partition of this name on each disk of a set, with its number there, which depends on what is kept on each disk.
pub fn partitions(context: Context<'_>, set: &str, name: &str) -> Vec<Device> {
    let wanted = context.layout.disks.get(set).map(|set| set.partitions.as_slice()).unwrap_or_default();
    let number = |disk| {
        let mut numbered = wanted.iter().zip(fresh::numbers(wanted, disk));
        numbered.find(|(partition, _)| partition.name == name).map(|(_, number)| number)
    };
    let device = |(disk, planned)| Device::Partition { disk, name: name.to_owned(), number: number(planned) };
    context.of_set(set).into_iter().map(device).collect()
}

/// The size in bytes that a disk, or a device made by `steps`, has at least.
pub fn size(context: Context<'_>, steps: &[Step], device: &Device) -> u64 {
    if let Device::Disk { disk } = device {
        return context.size(*disk);
    }
    let found = steps.iter().find_map(|step| match (step, device) {
        (Step::CreateTable(CreateTable { disk, partitions, .. }), Device::Partition { disk: on, name, .. })
            if disk == on =>
        {
            partitions.iter().find(|one| one.name == *name).map(|one| one.size)
        }
        (Step::CreateRaid(raid), Device::Raid { name }) if raid.name == *name => {
            let sizes: Vec<u64> = raid.members.iter().map(|member| size(context, steps, member)).collect();
            raid.geometry_over(&sizes).map(|geometry| geometry.size)
        }
        (Step::CreateLuks(CreateLuks { name: made, size, .. }), Device::Luks { name }) if made == name => Some(*size),
        (Step::CreateVolume(CreateVolume { group: of, name: made, size, .. }), Device::Volume { group, name })
            if of == group && made == name =>
        {
            Some(*size)
        }
        _ => None,
    });
    found.unwrap_or(0)
}

/// The identities of the disks below these devices, as text from which identifiers are derived.
pub fn on_words(context: Context<'_>, steps: &[Step], devices: &[Device]) -> String {
    let disks: BTreeSet<usize> = devices.iter().flat_map(|device| disks_below(steps, device)).collect();
    let identities = disks.into_iter().filter_map(|disk| context.disks.get(disk));
    identities.map(|disk| disk.identity.value.as_str()).collect::<Vec<_>>().join(" ")
}

/// In LVM's notation: 32 letters and digits in groups.
pub fn lvm_uuid(parts: &[&str]) -> String {
    const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let halves = ["first half", "second half"].map(|half| guid::derived(&[parts, &[half]].concat()));
    let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().map_or('0', char::from);
    let letters: Vec<char> = halves.iter().flat_map(|half| half.as_bytes()).map(|byte| letter(*byte)).collect();
    let mut groups = Vec::new();
    let mut rest = letters.as_slice();
    for length in [6, 4, 4, 4, 4, 4, 6] {
        let (group, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        groups.push(group.iter().collect::<String>());
        rest = after;
    }
    groups.join("-")
}

/// What a tree on these devices must contain.
pub fn needs<'a>(steps: &[Step], mounts: impl Iterator<Item = (&'a Device, bool)>) -> Vec<TreeNeed> {
    let mut needs = BTreeSet::new();
    for (device, is_root) in mounts {
        for layer in layers(steps, device) {
            match layer {
                Device::Luks { name } => {
                    let in_tpm = created(steps, &name).is_some_and(luks::is_in_tpm);
                    needs.extend(match (in_tpm, is_root) {
                        (false, false) => [TreeNeed::Luks, TreeNeed::Luks],
                        (false, true) => [TreeNeed::Luks, TreeNeed::LuksRoot],
                        (true, false) => [TreeNeed::Luks, TreeNeed::LuksTpm],
                        (true, true) => [TreeNeed::LuksTpm, TreeNeed::LuksTpmRoot],
                    });
                }
                Device::Volume { group, name } => {
                    needs.insert(TreeNeed::Lvm);
                    if steps.iter().any(|step| is_thin(step, &group, &name)) {
                        needs.insert(TreeNeed::ThinVolumes);
                    }
                }
                Device::Disk { .. }
                | Device::Partition { .. }
                | Device::ImagePartition { .. }
                | Device::Raid { .. } => {}
            }
        }
    }
    needs.into_iter().collect()
}

fn is_thin(step: &Step, group: &str, name: &str) -> bool {
    use burin_protocol::plan::VolumeShape::Thin;
    matches!(step, Step::CreateVolume(made) if made.group == group && made.name == name && matches!(made.shape, Thin { .. }))
}

/// Words on the kernel command line with which a ramdisk opens the devices below the root: `cryptopts=` for
/// initramfs-tools (cryptsetup's README.initramfs), `rd.` for dracut (dracut.cmdline(7)). Each ignores the other's.
pub fn kernel_words(steps: &[Step], root: &Device) -> Vec<String> {
    let mut words = Vec::new();
    // Lower layers are opened first.
    for layer in layers(steps, root).into_iter().rev() {
        match layer {
            Device::Luks { name } => {
                let Some(made) = created(steps, &name) else { continue };
                let uuid = &made.uuid;
                words.push(format!("cryptopts=target={name},source=UUID={uuid},luks"));
                words.push(format!("rd.luks.name={uuid}={name}"));
                if luks::is_in_tpm(made) {
                    words.push(format!("rd.luks.options={uuid}=tpm2-device=auto"));
                }
            }
            Device::Volume { group, name } => words.push(format!("rd.lvm.lv={group}/{name}")),
            Device::Disk { .. } | Device::Partition { .. } | Device::ImagePartition { .. } | Device::Raid { .. } => {}
        }
    }
    words
}

fn created<'a>(steps: &'a [Step], name: &str) -> Option<&'a CreateLuks> {
    steps.iter().find_map(|step| match step {
        Step::CreateLuks(made) if made.name == name => Some(made),
        _ => None,
    })
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;

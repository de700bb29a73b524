//! What is built over partitions and arrays: LUKS volumes and LVM groups, each after what it lies on.

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

    /// Where it stands in its layout.
    pub fn place(&self) -> String {
        match self {
            Self::Luks(name, _) => format!("luks/{name}"),
            Self::Group(name, _) => format!("lvm/{name}"),
        }
    }
}

/// All of a layout, what is below first; or those that lie upon themselves.
pub fn order(layout: &Layout) -> Result<Vec<Layer<'_>>, Vec<Layer<'_>>> {
    let luks = layout.luks.iter().map(|(name, crypt)| Layer::Luks(name, crypt));
    let mut waiting: Vec<Layer<'_>> =
        luks.chain(layout.lvm.iter().map(|(name, group)| Layer::Group(name, group))).collect();
    let mut ordered: Vec<Layer<'_>> = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |layer: &Layer<'_>| match layer.on() {
            DeviceRef::Partition(_) | DeviceRef::Disks(_) | DeviceRef::Raid(_) => true,
            // What there is not at all, others say.
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

/// The disk set that a device of the layout is made of.
pub fn set<'a>(layout: &'a Layout, mut reference: &'a DeviceRef) -> Option<&'a str> {
    // Deeper than that nothing is that does not lie upon itself.
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

/// What holds the root, where that is an array or a volume.
pub fn root(layout: &Layout) -> Option<&DeviceRef> {
    let is_root = |mount: &Option<String>| mount.as_deref() == Some("/");
    let raid = layout.raid.values().filter(|raid| is_root(&raid.mount)).map(|raid| &raid.members);
    let luks = layout.luks.values().filter(|crypt| is_root(&crypt.mount)).map(|crypt| &crypt.on);
    let lvm = layout.lvm.values().filter(|group| group.volumes.values().any(|one| is_root(&one.mount)));
    raid.chain(luks).chain(lvm.map(|group| &group.on)).next()
}

/// The steps that build them; filesystems on them go to `made`.
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

/// The devices that a reference of the layout means.
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

/// The partition of this name on each disk of a set, with its number there: what is kept differs from disk to disk.
pub fn partitions(context: Context<'_>, set: &str, name: &str) -> Vec<Device> {
    let wanted = context.layout.disks.get(set).map(|set| set.partitions.as_slice()).unwrap_or_default();
    let number = |disk| {
        let mut numbered = wanted.iter().zip(fresh::numbers(wanted, disk));
        numbered.find(|(partition, _)| partition.name == name).map(|(_, number)| number)
    };
    let device = |(disk, planned)| Device::Partition { disk, name: name.to_owned(), number: number(planned) };
    context.of_set(set).into_iter().map(device).collect()
}

/// Bytes that a disk, or a device which `steps` make, offers at least.
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

/// The identities of the disks below these devices, in words, for what is derived from them.
pub fn on_words(context: Context<'_>, steps: &[Step], devices: &[Device]) -> String {
    let disks: BTreeSet<usize> = devices.iter().flat_map(|device| disks_below(steps, device)).collect();
    let identities = disks.into_iter().filter_map(|disk| context.disks.get(disk));
    identities.map(|disk| disk.identity.value.as_str()).collect::<Vec<_>>().join(" ")
}

/// As LVM writes them: 32 letters and digits in groups.
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

/// What a tree on these devices has to carry.
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

/// Words of a kernel command line by which a ramdisk opens what the root lies on: `cryptopts=` for initramfs-tools
/// (cryptsetup's README.initramfs), `rd.` for dracut (dracut.cmdline(7)). Each leaves the other's alone.
pub fn kernel_words(steps: &[Step], root: &Device) -> Vec<String> {
    let mut words = Vec::new();
    // What lies below is opened first.
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

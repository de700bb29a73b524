//! Steps of a fresh layout: table, arrays, filesystems, the tree and its boot loader.

use super::refusal::Reason;
use super::steps::{self, Context};
use super::{layers, luks, partition_images, raids, table};
use burin_protocol::order::{Bootloader, DiskSet, Filesystem, FsType, Partition, Size, Tree};
use burin_protocol::plan::steps::{
    CheckTree, CreateRaid, CreateTable, InstallBoot, MakeFilesystem, Mount, UnpackTree, Wipe, WriteCrypttab,
    WriteFstab, WriteMdadmConf,
};
use burin_protocol::plan::{
    ArrayEntry, Device, Fate, FstabEntry, Kept, PlannedDisk, PlannedFilesystem, PlannedPartition, SeedTarget, Step,
    TreeNeed, is_encrypted,
};
use burin_table::layout::Placed;
use burin_table::{gpt, layout, types};

/// A filesystem for the plan.
pub struct Made {
    on: Device,
    filesystem: PlannedFilesystem,
    mount: Option<String>,
    options: Vec<String>,
    is_esp: bool,
    /// One of several, on the disks of its set.
    several: bool,
}

impl Made {
    /// A filesystem on a device that exists only once.
    pub fn single(on: Device, filesystem: PlannedFilesystem, mount: Option<String>, options: Vec<String>) -> Self {
        Self { on, filesystem, mount, options, is_esp: false, several: false }
    }
}

pub fn steps(context: Context<'_>, steps: &mut Vec<Step>) -> Result<(), Reason> {
    let mut made = Vec::new();
    let bare = |name: &str, set: &DiskSet| set.wipe || context.layout.is_built_upon(name);
    for (name, _) in context.layout.disks.iter().filter(|(name, set)| bare(name, set)) {
        steps.extend(context.of_set(name).iter().map(|(index, _)| Step::Wipe(Wipe { disk: *index })));
    }
    for (name, set) in context.layout.disks.iter().filter(|(_, set)| !set.partitions.is_empty()) {
        for (index, disk) in context.of_set(name) {
            steps.push(Step::Wipe(Wipe { disk: index }));
            steps.push(create_table(context, name, set, index, disk)?);
            made.extend(partition_filesystems(context, name, set, index, disk));
        }
    }
    for (name, raid) in &context.layout.raid {
        let step = raids::step(context, name, raid, steps)?;
        let on = Device::Raid { name: name.clone() };
        if let Some(planned) = filesystem(context, raid.filesystem.as_ref(), &step.uuid, name) {
            let options = raid.filesystem.as_ref().map(|f| f.mount_options.clone()).unwrap_or_default();
            let mount = raid.mount.clone();
            made.push(Made::single(on, planned, mount, options));
        }
        steps.push(Step::CreateRaid(step));
    }
    layers::steps(context, steps, &mut made)?;
    for made in &made {
        steps.push(Step::MakeFilesystem(MakeFilesystem { on: made.on.clone(), filesystem: made.filesystem.clone() }));
    }
    if let Some(tree) = &context.layout.tree {
        grow_tree(context, tree, &made, steps)?;
    }
    let esps = made.iter().filter(|made| made.is_esp).map(|made| made.on.clone()).collect();
    partition_images::steps(context, esps, steps)
}

pub fn type_guid(context: Context<'_>, partition: &Partition) -> Result<String, Reason> {
    let found = types::guid(&partition.kind, context.architecture).map(|guid| guid.to_string());
    found.ok_or_else(|| Reason::Unsupported {
        what: format!(
            "the partition type `{}` on the architecture {}",
            partition.kind,
            context.architecture.unwrap_or("that the inventory does not name")
        ),
    })
}

pub fn partition_guid(context: Context<'_>, disk: &PlannedDisk, partition: &Partition) -> String {
    match &partition.guid {
        Some(guid) => guid.to_ascii_lowercase(),
        None => context.derive(disk, &format!("partition {}", partition.name)),
    }
}

pub fn filesystem(
    context: Context<'_>,
    wanted: Option<&Filesystem>,
    on: &str,
    what: &str,
) -> Option<PlannedFilesystem> {
    wanted.map(|wanted| PlannedFilesystem {
        kind: wanted.kind,
        label: wanted.label.clone(),
        uuid: context.filesystem_uuid(wanted.kind, wanted.uuid.as_deref(), on, what),
        options: wanted.options.clone(),
    })
}

fn create_table(
    context: Context<'_>,
    name: &str,
    set: &DiskSet,
    index: usize,
    disk: &PlannedDisk,
) -> Result<Step, Reason> {
    let mut wanted = set.partitions.clone();
    let mut places: Vec<usize> = (0..wanted.len()).collect();
    if let Some(label) = steps::own_seed_label(context, name, index) {
        // Nothing is placed behind the image of a root filesystem: the installed system may grow it.
        let root = wanted.iter().position(|one| one.image.is_some() && one.mount.is_some());
        places.insert(root.unwrap_or(wanted.len()), wanted.len());
        let size = Some(Size::from_bytes(steps::seed_room(context.order)));
        wanted.push(Partition { size, ..steps::seed_partition(label) });
    }
    let alignment = layout::alignment(context.optimal_io(index));
    let in_place: Vec<Partition> = places.iter().filter_map(|at| wanted.get(*at)).cloned().collect();
    let (keep, size) = (disk.keep.as_slice(), context.size(index));
    let placed = table::place(&in_place, size, context.sector(index), alignment, keep).map_err(|small| {
        Reason::TooSmall { set: name.to_owned(), disk: disk.device.clone(), need: small.need, have: small.have }
    })?;
    let mut placed: Vec<(usize, Placed)> = places.into_iter().zip(placed).collect();
    placed.sort_by_key(|(at, _)| *at);
    let numbers = given_numbers(&wanted, keep).map_err(|(index, number)| Reason::BadValue {
        at: format!("disk set `{name}`: partition {}", index + 1),
        message: match keep.iter().find(|one| one.number == number) {
            Some(kept) => format!("its number is that of {}, which is kept", kept.words()),
            None => format!("there is no number {number} for it: a table has {} of them", gpt::ENTRY_COUNT),
        },
    })?;
    clash(name, disk, &wanted, |partition| partition_guid(context, disk, partition))?;
    let partitions = wanted
        .iter()
        .zip(placed)
        .zip(numbers)
        .map(|((partition, (_, placed)), number)| {
            Ok(PlannedPartition {
                number: Some(number),
                name: partition.name.clone(),
                type_guid: type_guid(context, partition)?,
                guid: partition_guid(context, disk, partition),
                start: Some(placed.start),
                size: placed.size,
            })
        })
        .collect::<Result<_, Reason>>()?;
    Ok(Step::CreateTable(CreateTable { disk: index, guid: context.derive(disk, "disk"), partitions }))
}

/// Whether new partitions have the names of kept ones or get their GUIDs: a lookup would then find two.
pub fn clash(
    set: &str,
    disk: &PlannedDisk,
    new: &[Partition],
    guid: impl Fn(&Partition) -> String,
) -> Result<(), Reason> {
    for kept in &disk.keep {
        let same = |one: &&Partition| one.name == kept.name || guid(one).eq_ignore_ascii_case(&kept.guid);
        if let Some(new) = new.iter().find(same) {
            let what = format!("{} is kept, and the order makes another \"{}\"", kept.words(), new.name);
            return Err(Reason::Keep { set: set.to_owned(), disk: disk.device.clone(), what });
        }
    }
    Ok(())
}

fn given_numbers(partitions: &[Partition], kept: &[Kept]) -> Result<Vec<u32>, (usize, u32)> {
    let given: Vec<Option<u32>> = partitions.iter().map(|partition| partition.number).collect();
    let taken: Vec<u32> = kept.iter().map(|one| one.number).collect();
    layout::numbers(&given, &taken, gpt::ENTRY_COUNT)
}

/// The numbers of partitions for which this disk's table has already been made.
pub fn numbers(partitions: &[Partition], disk: &PlannedDisk) -> Vec<u32> {
    given_numbers(partitions, &disk.keep).unwrap_or_default()
}

fn partition_filesystems(
    context: Context<'_>,
    name: &str,
    set: &DiskSet,
    index: usize,
    disk: &PlannedDisk,
) -> Vec<Made> {
    let of_set = context.of_set(name);
    let is_first = of_set.first().is_some_and(|(first, _)| *first == index);
    set.partitions
        .iter()
        .zip(numbers(&set.partitions, disk))
        .filter_map(|(partition, number)| {
            let wanted = partition.filesystem.as_ref()?;
            let planned = filesystem(context, Some(wanted), &disk.identity.value, &partition.name)?;
            Some(Made {
                on: Device::Partition { disk: index, name: partition.name.clone(), number: Some(number) },
                filesystem: planned,
                mount: partition.mount.clone().filter(|_| is_first),
                options: wanted.mount_options.clone(),
                is_esp: partition.kind == "esp",
                several: of_set.len() > 1,
            })
        })
        .collect()
}

/// Mounts (parents first), the tree, fstab and the boot loader.
fn grow_tree(context: Context<'_>, tree: &Tree, made: &[Made], steps: &mut Vec<Step>) -> Result<(), Reason> {
    if context.uefi && tree.bootloader != Bootloader::None && !made.iter().any(|made| made.is_esp) {
        let what = "a tree that boots on a machine of UEFI without a partition of the type `esp`";
        return Err(Reason::Unsupported { what: what.to_owned() });
    }
    let bios = if context.uefi || tree.bootloader == Bootloader::None { Vec::new() } else { bios(context, tree)? };
    let mut mounts: Vec<&Made> =
        made.iter().filter(|made| made.mount.is_some() && made.filesystem.kind != FsType::Swap).collect();
    mounts.sort_by_key(|made| made.mount.as_deref().map(|at| (at.split('/').filter(|p| !p.is_empty()).count(), at)));
    for made in &mounts {
        steps.push(Step::Mount(Mount {
            on: made.on.clone(),
            at: made.mount.clone().unwrap_or_default(),
            kind: Some(made.filesystem.kind),
            options: made.options.clone(),
        }));
    }
    steps.push(Step::UnpackTree(UnpackTree { image: tree.image.clone(), verify: context.order.policies.verify }));
    let swaps = made.iter().filter(|made| made.filesystem.kind == FsType::Swap);
    let used = mounts.iter().copied().chain(swaps).map(|made| (&made.on, made.mount.as_deref() == Some("/")));
    let mut needs = layers::needs(steps, used);
    if context.disks.iter().any(|disk| disk.fate == Fate::Overwritten && !disk.paths.is_empty()) {
        needs.push(TreeNeed::Multipath);
    }
    if !needs.is_empty() {
        steps.push(Step::CheckTree(CheckTree { needs, target: SeedTarget::Tree }));
    }

    let mut entries: Vec<FstabEntry> = mounts.iter().map(|made| fstab(made)).collect();
    entries.extend(made.iter().filter(|made| made.filesystem.kind == FsType::Swap).map(fstab));
    let root = mounts.iter().find(|made| made.mount.as_deref() == Some("/"));
    steps.push(Step::WriteFstab(WriteFstab { entries }));
    let arrays: Vec<ArrayEntry> = steps.iter().filter_map(array).collect();
    if !arrays.is_empty() {
        steps.push(Step::WriteMdadmConf(WriteMdadmConf { arrays, target: SeedTarget::Tree }));
    }
    let entries = luks::crypttab(steps);
    if !entries.is_empty() {
        steps.push(Step::WriteCrypttab(WriteCrypttab { entries }));
    }
    if let (Some(root), true) = (root, tree.bootloader != Bootloader::None) {
        let boot = mounts.iter().find(|made| made.mount.as_deref() == Some("/boot")).unwrap_or(root);
        if tree.bootloader == Bootloader::Grub && is_encrypted(steps, &boot.on) {
            let what =
                "GRUB with /boot on LUKS, which it cannot open (a partition or volume for /boot, or systemd-boot)";
            return Err(Reason::Unsupported { what: what.to_owned() });
        }
        let thin = layers::needs(steps, std::iter::once((&boot.on, false))).contains(&TreeNeed::ThinVolumes);
        if tree.bootloader == Bootloader::Grub && thin {
            let what = "GRUB with /boot on a thin volume, which it cannot read (a partition or plain volume for /boot)";
            return Err(Reason::Unsupported { what: what.to_owned() });
        }
        let mut cmdline = layers::kernel_words(steps, &root.on);
        cmdline.extend(tree.cmdline.iter().cloned());
        steps.push(Step::InstallBoot(InstallBoot {
            bootloader: tree.bootloader,
            // A machine that boots by BIOS does not read ESPs, so nothing is installed there.
            esps: made.iter().filter(|made| made.is_esp && bios.is_empty()).map(|made| made.on.clone()).collect(),
            root_uuid: Some(root.filesystem.uuid.clone()),
            cmdline,
            bios,
        }));
    }
    Ok(())
}

/// The partitions for GRUB's core image on a machine that boots by BIOS: one on each disk that has one.
fn bios(context: Context<'_>, tree: &Tree) -> Result<Vec<Device>, Reason> {
    let unsupported = |what: String| Err(Reason::Unsupported { what });
    if tree.bootloader == Bootloader::SystemdBoot {
        return unsupported("systemd-boot on a machine that was not started by UEFI firmware".to_owned());
    }
    let mut found = Vec::new();
    for (name, set) in &context.layout.disks {
        let is_place = |one: &&Partition| types::guid(&one.kind, None) == Some(types::BIOS_BOOT);
        let Some(place) = set.partitions.iter().find(is_place) else { continue };
        for (index, disk) in context.of_set(name) {
            let size = context.sector(index);
            if size != 512 {
                return unsupported(format!("booting by BIOS from {}, which has {size}-byte sectors,", disk.device));
            }
        }
        found.extend(layers::partitions(context, name, &place.name));
    }
    if found.is_empty() {
        return unsupported(
            "a tree that boots on a machine of BIOS without a partition of the type `bios-boot` (\"size\": \"1MiB\") for \
             GRUB on the disk that it starts from"
                .to_owned(),
        );
    }
    Ok(found)
}

fn array(step: &Step) -> Option<ArrayEntry> {
    let Step::CreateRaid(CreateRaid { name, uuid, metadata, .. }) = step else { return None };
    Some(ArrayEntry { name: name.clone(), uuid: uuid.clone(), metadata: metadata.clone() })
}

fn fstab(made: &Made) -> FstabEntry {
    let kind = made.filesystem.kind;
    let at = if kind == FsType::Swap { "none" } else { made.mount.as_deref().unwrap_or("none") };
    let mut options = made.options.clone();
    if options.is_empty() {
        options.push(if kind == FsType::Swap { "sw" } else { "defaults" }.to_owned());
        if made.is_esp {
            options.push("umask=0077".to_owned());
        }
    }
    // The machine must still boot without the disk that holds it.
    if made.several && !options.iter().any(|option| option == "nofail") {
        options.push("nofail".to_owned());
    }
    let pass = match kind {
        FsType::Xfs | FsType::Btrfs | FsType::Swap => 0,
        FsType::Ext4 | FsType::Vfat if at == "/" => 1,
        FsType::Ext4 | FsType::Vfat => 2,
    };
    FstabEntry { uuid: made.filesystem.uuid.clone(), at: at.to_owned(), kind, options, pass }
}

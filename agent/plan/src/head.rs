//! Checks, from the first bytes of an image, whether an order's steps can be done on it before anything is written.
//!
//! The changes are tried on a disk in memory, by the code that makes them later, so whatever passes here can be done.

mod error;
mod mirror;

pub use error::HeadError;

use super::{keep, seed};
use burin_protocol::order::{Order, PartitionPick, PickName};
use burin_protocol::plan::steps::{AddPartition, CreateRaid, GrowPartition, SetGuids, WriteSeed};
use burin_protocol::plan::{Device, Plan, PlannedDisk, PlannedPartition, SeedTarget, Step, Warning};
use burin_table::Rehearsal;
use burin_table::adjust::{self, Grow, TableChange, TableReceipt};
use burin_table::gpt::Fault;
use burin_table::guid;
use burin_table::head::{Head, HeadPartition, Purpose, TableKind};
use burin_table::layout::{self, NewPartition};
use std::path::Path;
use uuid::Uuid;

/// Partitions for Ignition's configuration: on Fedora CoreOS and RHEL CoreOS, and on Flatcar.
const IGNITION: [&str; 2] = ["boot", "OEM"];

/// Checks whether everything that the plan wants of the image `image` can be done on each of its disks, given its head.
/// `optimal_io` returns the optimal I/O size in bytes of a planned disk by index, 0 if unknown. Returns warnings about
/// things that do not stop the order.
pub fn check_head(
    order: &Order,
    plan: &Plan,
    image: &str,
    head: &Head,
    optimal_io: &dyn Fn(usize) -> u64,
) -> Result<Vec<Warning>, HeadError> {
    let mut warnings = Vec::new();
    let written = plan.steps.iter().find_map(|step| match step {
        Step::WriteImage(step) if step.image == image => Some(step.disks.as_slice()),
        _ => None,
    });
    let said = order.images.get(image).and_then(|spec| spec.sector_size);
    for &index in written.unwrap_or_default() {
        let (Some(disk), Some((size, sector))) = (plan.disks.get(index), plan.shape_of(index)) else { continue };
        let disk = &PlannedDisk { size, logical_block_size: sector, ..disk.clone() };
        let alignment = layout::alignment(optimal_io(index));
        let mut trial = Trial { head, disk, alignment, seeded: order.seed.is_some(), rehearsal: None };
        if let Some(warning) = trial.sectors(said)? {
            warnings.push(warning);
            continue;
        }
        let path = Path::new(&disk.device);
        trial.rehearsal = Rehearsal::new(path, disk.logical_block_size, disk.size, head.bytes());
        for step in &plan.steps {
            warnings.extend(trial.step(index, step, plan)?);
        }
    }
    Ok(warnings)
}

/// The new GUID of a partition in a copied table on this disk, if every copy gets its own.
pub fn copied_guid(plan: &Plan, disk: usize, number: u32) -> Option<Uuid> {
    let identity = &plan.disks.get(disk)?.identity.value;
    Some(guid::derived(&[&plan.order, identity, &format!("partition {number}")]))
}

/// Checks whether an image can be written to a partition: it must be a filesystem.
pub fn check_partition_head(device: &str, head: &Head) -> Result<(), HeadError> {
    let device = device.to_owned();
    match (head.table, head.filesystem) {
        (TableKind::Gpt | TableKind::Mbr, _) => Err(HeadError::WholeDisk { device }),
        (TableKind::None, None) => Err(HeadError::NoFilesystem { device }),
        (TableKind::None, Some(_)) => Ok(()),
    }
}

/// One disk that gets the image.
struct Trial<'a> {
    head: &'a Head,
    disk: &'a PlannedDisk,
    alignment: u64,
    seeded: bool,
    rehearsal: Option<Rehearsal>,
}

impl Trial<'_> {
    fn device(&self) -> String {
        self.disk.device.clone()
    }

    /// The order's sector size counts only if the image does not show one. Then it is a warning, since nothing can be
    /// checked.
    fn sectors(&self, said: Option<u32>) -> Result<Option<Warning>, HeadError> {
        let disk = self.disk.logical_block_size;
        match self.head.sector_size {
            Some(table) if table != disk => return Err(HeadError::SectorSize { device: self.device(), table, disk }),
            None if self.head.table == TableKind::Mbr && disk != 512 && said != Some(disk) => {
                return Err(HeadError::SectorSizeUnknown { device: self.device(), disk });
            }
            _ => {}
        }
        match self.head.fault {
            None => Ok(None),
            // Some boards keep their boot loader where the array usually is, and the array far behind it.
            Some(Fault::Length) => {
                let message = "the image's partition table lies behind its first MiB: it was not checked".to_owned();
                Ok(Some(Warning { code: "image.unchecked".to_owned(), message }))
            }
            Some(fault) => Err(HeadError::Damaged { device: self.device(), fault }),
        }
    }

    fn step(&self, index: usize, step: &Step, plan: &Plan) -> Result<Option<Warning>, HeadError> {
        match step {
            Step::KeepPartitions(step) if step.disk == index => self.keep()?,
            Step::RelocateBackupGpt(step) if step.disk == index && self.head.table == TableKind::Gpt => {
                self.change(&TableChange::default())?;
            }
            Step::SetGuids(SetGuids { disk, disk_guid, partitions, every }) if *disk == index => {
                self.table("`guids`")?;
                let mut change = TableChange { disk_guid: self.guid("disk", disk_guid.as_deref())?, ..<_>::default() };
                for (&number, text) in partitions {
                    self.number(number, "`guids`")?;
                    let guid = self.guid("guids", Some(text))?;
                    change.partition_guids.extend(guid.map(|guid| (number, guid)));
                }
                let others = self.head.partitions.iter().map(|one| one.number).filter(|_| *every);
                let others = others.filter(|number| !partitions.contains_key(number));
                let new = others.filter_map(|number| Some((number, copied_guid(plan, index, number)?)));
                change.partition_guids.extend(new);
                self.change(&change)?;
            }
            Step::GrowPartition(GrowPartition { disk, partition, leave }) if *disk == index => {
                let filesystem = |step: &Step| matches!(step, Step::GrowFilesystem(grow) if grow.disk == index);
                return self.grow(*partition, *leave, plan.steps.iter().any(filesystem));
            }
            Step::AddPartition(AddPartition { disk, partition }) if *disk == index => {
                self.table("`add`, or a seed's own partition,")?;
                // The image contains a partition for the seed, which is used.
                if self.own_seed(plan, index) == Some(partition.name.as_str()) && self.seed_volumes().next().is_some() {
                    return Ok(None);
                }
                let new = self.new_partition(partition)?;
                if let Some(taken) = self.head.partitions.iter().find(|one| one.guid == Some(new.guid)) {
                    let (number, guid) = (taken.number, new.guid);
                    return Err(HeadError::GuidTaken { device: self.device(), number, guid });
                }
                self.change(&TableChange { add: vec![new], ..TableChange::default() })?;
            }
            Step::CreateRaid(CreateRaid { members, .. }) => {
                for member in members {
                    match member {
                        Device::ImagePartition { disk, partition } if *disk == index => self.mirror(*partition)?,
                        _ => {}
                    }
                }
            }
            Step::WriteSeed(WriteSeed { target: SeedTarget::ImagePartition { disk, partition }, .. })
                if *disk == index =>
            {
                self.seed(*partition)?;
            }
            Step::WriteSeed(WriteSeed { target: SeedTarget::Ignition { disk, partition }, .. }) if *disk == index => {
                self.ignition(*partition)?;
            }
            Step::BootEntry(step) if step.disks.contains(&index) && !self.has_esp() => {
                return Err(HeadError::NoEsp { device: self.device() });
            }
            Step::WriteImage(step) if step.disks.contains(&index) && self.seeded => {
                self.second_seed(self.own_seed(plan, index))?;
            }
            _ => {}
        }
        Ok(None)
    }

    /// Kept partitions must not overlap anything of the image.
    fn keep(&self) -> Result<(), HeadError> {
        let refuse = |what: String| HeadError::Keep { device: self.device(), what };
        if self.head.fault.is_some() {
            let what = "the image's partition table is not in its first MiB: whether it leaves room is not known";
            return Err(refuse(what.to_owned()));
        }
        if self.head.table != TableKind::Gpt || self.head.filesystem.is_some() {
            return Err(refuse("the image has no GPT that kept partitions could be put into".to_owned()));
        }
        for kept in &self.disk.keep {
            for one in &self.head.partitions {
                let own = format!("partition {} of the image", one.number);
                if one.start < kept.end() && kept.start < one.end() {
                    return Err(refuse(format!("{own} lies where {} is kept", kept.words())));
                }
                if one.number == kept.number {
                    return Err(refuse(format!("{own} has the number of {}, which is kept", kept.words())));
                }
                if one.guid.is_some_and(|guid| kept.guid.parse() == Ok(guid)) {
                    return Err(refuse(format!("{own} has the GUID of {}, which is kept", kept.words())));
                }
            }
            // The image's backup table lies behind its partitions, and is removed when the table is fitted to the disk.
            if self.head.backup().is_some_and(|backup| backup.start < kept.end() && kept.start < backup.end) {
                return Err(refuse(format!("the image's backup table lies where {} is kept", kept.words())));
            }
        }
        // Until the order is done, the record of kept partitions lies there.
        let early = self.head.partitions.iter().find(|one| one.start < 1 << 20 && one.purpose != Purpose::BootLoader);
        match early {
            Some(one) => Err(refuse(format!("partition {} of the image begins in the first MiB", one.number))),
            None => Ok(()),
        }
    }

    fn has_esp(&self) -> bool {
        self.head.partitions.iter().any(|one| one.purpose == Purpose::Esp)
    }

    fn table(&self, wanted: &'static str) -> Result<(), HeadError> {
        if self.head.table == TableKind::None {
            return Err(HeadError::NoTable { device: self.device(), wanted, found: self.head.filesystem });
        }
        Ok(())
    }

    /// The partition, or `None` for a logical one: those are not in the head.
    fn number(&self, number: u32, wanted: &'static str) -> Result<Option<&HeadPartition>, HeadError> {
        match self.head.get(number) {
            None if number > 4 && self.head.has_logical() => Ok(None),
            None => Err(HeadError::NoPartition { device: self.device(), number, wanted }),
            some => Ok(some),
        }
    }

    /// The partition that is meant. `None`: only looking into the filesystems can tell.
    fn pick(&self, pick: PartitionPick, wanted: &'static str) -> Result<Option<&HeadPartition>, HeadError> {
        self.table(wanted)?;
        match pick {
            PartitionPick::Number(number) => self.number(number, wanted),
            PartitionPick::Named(PickName::Last) => Ok(self.head.last().filter(|one| one.purpose != Purpose::Extended)),
            PartitionPick::Named(PickName::Root) => match self.head.roots().as_slice() {
                _ if self.head.has_logical() => Ok(None),
                [] => Err(HeadError::NoRoot { device: self.device(), wanted }),
                [one] => Ok(Some(*one)),
                _ => Ok(None),
            },
        }
    }

    fn grow(&self, pick: PartitionPick, leave: u64, filesystem: bool) -> Result<Option<Warning>, HeadError> {
        let Some(target) = self.pick(pick, "`grow`")? else {
            let message = format!(
                "{}: which partition of the image `grow` means, and whether it can grow, is seen only when it is written",
                self.disk.device
            );
            return Ok(Some(Warning { code: "image.unchecked".to_owned(), message }));
        };
        // The contents of a member are left alone, with a warning, once it is seen.
        let member = target.purpose == Purpose::Member;
        let swap = target.purpose == Purpose::Swap;
        if (filesystem || swap)
            && !member
            && let Some(is) = no_system(target.purpose)
        {
            return Err(HeadError::NotGrowable { device: self.device(), number: target.number, is });
        }
        let number = target.number;
        let behind = self.head.partitions.iter().filter(|one| one.start >= target.end()).min_by_key(|one| one.start);
        if let (TableKind::Mbr, Some(behind)) = (self.head.table, behind) {
            return Err(HeadError::Blocked { device: self.device(), number, behind: behind.number });
        }
        let change = TableChange { grow: Some(Grow::Number(number)), leave, ..TableChange::default() };
        let Some(receipt) = self.change(&change)? else { return Ok(None) };
        let grown = receipt.changed.iter().any(|change| change.after.number == number);
        match behind {
            Some(behind) if !grown => Err(HeadError::Blocked { device: self.device(), number, behind: behind.number }),
            Some(behind) => {
                let message = format!(
                    "{}: partition {number} grows no further than partition {}, which lies behind it",
                    self.disk.device, behind.number
                );
                Ok(Some(Warning { code: "image.grow_limited".to_owned(), message }))
            }
            None => Ok(None),
        }
    }

    fn seed(&self, pick: PartitionPick) -> Result<(), HeadError> {
        let Some(target) = self.pick(pick, "the seed")? else { return Ok(()) };
        match no_system(target.purpose) {
            Some(is) => Err(HeadError::SeedPlace { device: self.device(), number: target.number, is }),
            None => Ok(()),
        }
    }

    /// Checks the partition by the names that these systems use.
    fn ignition(&self, pick: Option<PartitionPick>) -> Result<(), HeadError> {
        self.table("an Ignition seed")?;
        if let Some(pick) = pick {
            return self.pick(pick, "the seed").map(|_| ());
        }
        match self.head.partitions.iter().any(|one| IGNITION.contains(&one.name.as_str())) {
            true => Ok(()),
            false => Err(HeadError::NoIgnition { device: self.device() }),
        }
    }

    /// The name of the seed's partition on this disk, if it gets one of its own.
    fn own_seed<'p>(&self, plan: &'p Plan, index: usize) -> Option<&'p str> {
        plan.steps.iter().find_map(|step| match step {
            Step::WriteSeed(WriteSeed {
                target: SeedTarget::Own { on: Device::Partition { disk, name, .. } }, ..
            }) if *disk == index => Some(name.as_str()),
            _ => None,
        })
    }

    /// Partitions of the image that are named like a seed volume.
    fn seed_volumes(&self) -> impl Iterator<Item = &HeadPartition> {
        let seed = |one: &&HeadPartition| seed::labels().any(|label| one.name.eq_ignore_ascii_case(label));
        self.head.partitions.iter().filter(seed)
    }

    /// cloud-init reads the first volume that it finds, so it must be the order's. A volume with the name of the
    /// order's seed is reused.
    fn second_seed(&self, own: Option<&str>) -> Result<(), HeadError> {
        let is_own = |one: &HeadPartition| own.is_some_and(|own| one.name.eq_ignore_ascii_case(own));
        let mut ours = 0;
        for one in self.seed_volumes() {
            ours += u32::from(is_own(one));
            if !is_own(one) || ours > 1 {
                let (number, name) = (one.number, one.name.clone());
                return Err(HeadError::SecondSeed { device: self.device(), number, name });
            }
        }
        Ok(())
    }

    /// Tries a change on the disk in memory, where it stays for the next step.
    fn change(&self, change: &TableChange) -> Result<Option<TableReceipt>, HeadError> {
        let Some(rehearsal) = &self.rehearsal else { return Ok(None) };
        let sector = self.disk.logical_block_size;
        let keep = self.disk.keep.iter().filter_map(|kept| keep::entry(kept, sector)).collect();
        Ok(Some(adjust::adjust(rehearsal, &TableChange { keep, ..change.clone() }, self.alignment)?))
    }

    fn new_partition(&self, planned: &PlannedPartition) -> Result<NewPartition, HeadError> {
        let bad = || HeadError::NoGuid { device: self.device(), name: planned.name.clone() };
        Ok(NewPartition {
            number: planned.number,
            type_guid: planned.type_guid.parse().map_err(|_| bad())?,
            guid: planned.guid.parse().map_err(|_| bad())?,
            name: planned.name.clone(),
            attributes: 0,
            min: planned.size,
            max: Some(planned.size),
        })
    }

    fn guid(&self, name: &str, text: Option<&str>) -> Result<Option<Uuid>, HeadError> {
        let bad = |_| HeadError::NoGuid { device: self.device(), name: name.to_owned() };
        text.map(|text| text.parse().map_err(bad)).transpose()
    }
}

/// A description of the contents, if they cannot be a root filesystem or one that burin can grow.
fn no_system(purpose: Purpose) -> Option<&'static str> {
    match purpose {
        Purpose::Esp => Some("an EFI system partition"),
        Purpose::BootLoader => Some("a boot loader's"),
        Purpose::Swap => Some("swap"),
        Purpose::Member => Some("a member of an array, volume group or encrypted volume"),
        Purpose::Extended => Some("an extended partition"),
        Purpose::Root | Purpose::Other => None,
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

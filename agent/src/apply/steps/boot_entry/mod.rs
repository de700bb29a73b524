//! Makes the firmware's boot entry. The loader is looked up together with the other steps; the entry is made once the
//! disks are bootable.

use super::{ApplyError, BootEntry, Perform, Ramdisk, Work};
use crate::apply::bound::{Access, BoundDisk};
use crate::apply::{look, table};
use crate::error::Coded;
use crate::finalize::guid::{self, Arch};
use crate::finalize::look::WhichLoader;
use crate::finalize::table::Label;
use crate::finalize::uefi::entry::{self, Target};
use crate::finalize::uefi::load_option::{HardDrive, Signature};
use crate::finalize::uefi::variables::Variables;
use crate::protocol::order::{BootOrder, PartitionPick};
use std::path::PathBuf;
use uuid::Uuid;

/// An EFI system partition in an MBR.
const MBR_ESP: u8 = 0xef;

/// A loader on one disk, for the firmware.
#[derive(Debug, Clone)]
pub struct Found {
    device: String,
    target: Target,
    order: BootOrder,
}

impl Perform for BootEntry {
    fn able(&self, _: &Ramdisk<'_>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        if self.order == BootOrder::Keep || !work.paths.sys.join("firmware/efi").exists() {
            return Ok(());
        }
        // The last entry made comes first in the boot order, so they are made from the last disk to the first.
        for &index in self.disks.iter().rev() {
            work.add_found(look(self, work, index)?);
        }
        Ok(())
    }
}

fn look(step: &BootEntry, work: &Work, index: usize) -> Result<Found, ApplyError> {
    let (disk, planned) = (work.disks.disk(index)?, work.planned(index)?);
    let (esp, present) = esp(disk)?;

    let proven = table::open(work, disk, PartitionPick::Number(esp.number), Access::Read)?;
    let (node, mounts) = (proven.node().to_owned(), work.paths.mounts.clone());
    let found = look::ask(work, disk, vec![node.clone()], &WhichLoader { node, mounts })?;

    let guids = |partitions: &[crate::protocol::plan::ExistingPartition]| -> Vec<Uuid> {
        partitions.iter().filter_map(|old| old.guid.as_deref()?.parse().ok()).collect()
    };
    // Another disk, perhaps a preserved one, may have the same GUID: a clone.
    let elsewhere = work.inventory.disks.data.iter().filter(|other| other.path != planned.device);
    let elsewhere: Vec<Uuid> = elsewhere
        .flat_map(|other| &other.partitions)
        .filter_map(|partition| partition.uuid.as_deref()?.parse().ok())
        .collect();
    let stays = |old: &Uuid| elsewhere.contains(old) || present.contains(old);
    let gone = guids(&planned.existing.partitions).into_iter().filter(|old| !stays(old)).collect();
    let target = Target { label: step.label.clone(), esp, loader: found?.path, gone };
    Ok(Found { device: planned.device.clone(), target, order: step.order })
}

/// The EFI system partition in the firmware's notation, and the GUIDs of all partitions.
fn esp(disk: &BoundDisk) -> Result<(HardDrive, Vec<Uuid>), ApplyError> {
    let no_esp = || ApplyError::NoEsp { device: disk.name().to_owned() };
    match table::read(disk)? {
        Label::Gpt(gpt) => {
            let esp_type = guid::partition_type("esp", Arch::native());
            let partitions = gpt.partitions();
            let own =
                |one: &&crate::finalize::gpt::Partition| !disk.keep().iter().any(|kept| kept.number == one.number);
            let esp = partitions.iter().filter(own).find(|one| Some(one.type_guid) == esp_type).ok_or_else(no_esp)?;
            Ok((entry::hard_drive(esp), partitions.iter().map(|one| one.guid).collect()))
        }
        // UEFI 2.10, 5.2.1: such a disk is identified by the signature in its first sector.
        Label::Mbr(entries) => {
            let esp = entries.iter().find(|one| one.kind == MBR_ESP).ok_or_else(no_esp)?;
            let (first_lba, sectors) = (u64::from(esp.first_lba), u64::from(esp.sectors));
            let signature = Signature::Mbr(table::signature(disk)?);
            Ok((HardDrive { number: esp.number, first_lba, sectors, signature }, Vec::new()))
        }
    }
}

/// Makes the entries, and reads them back.
pub fn tell_firmware(work: &Work) -> Result<(), ApplyError> {
    let directory: PathBuf = work.paths.sys.join("firmware/efi/efivars");
    for Found { device, target, order } in work.found() {
        let installed = Variables::open(&directory).and_then(|variables| entry::install(&variables, &target, order));
        match installed {
            Ok(receipt) => {
                log::info!("boot order: {} (was {})", receipt.order_after.join(" "), receipt.order_before.join(" "));
                work.note("boot-entry", &device, &receipt);
            }
            // The system is complete and firmware finds \EFI\BOOT by itself: reported, but not a failure.
            Err(error) if found_by_default(&target.loader) => {
                log::warn!("no boot entry [{}]; firmware will look for \\EFI\\BOOT", error.code());
                work.anomaly(&device, &error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn found_by_default(loader: &str) -> bool {
    loader.to_ascii_uppercase().starts_with("\\EFI\\BOOT\\")
}

//! Installs GRUB for BIOS on every disk that has a partition for it. Core images are written and read back at once;
//! boot sectors are withheld with the other bootable parts and written last.

use super::{InstallReceipt, copy, uuid};
use crate::apply::bound::{Access, BoundDisk};
use crate::apply::tree::Tree;
use crate::apply::work::Work;
use crate::apply::{ApplyError, resolve, table};
use crate::finalize::bootloader::bios::{self, On};
use crate::finalize::bootloader::{BootError, System};
use crate::finalize::device::Sectors;
use crate::finalize::guid::Arch;
use crate::protocol::order::{Bootloader, FsType};
use crate::protocol::plan::steps::InstallBoot;
use crate::protocol::plan::{Device, Step, layers};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// GRUB on one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BiosReceipt {
    pub device: String,
    /// Start of the core image in sectors of 512 bytes.
    pub lba: u64,
    pub bytes: usize,
    /// SHA-256 of the core image, as read back.
    pub sha256: String,
}

pub fn install(step: &InstallBoot, work: &Work, mounts: &mut Tree) -> Result<InstallReceipt, ApplyError> {
    let tree = mounts.root()?;
    let filesystems: Vec<(String, String)> =
        mounts.places().filter_map(|(at, on)| Some((at.to_owned(), uuid(work, on)?))).collect();
    let root_uuid = step.root_uuid.clone().ok_or(ApplyError::NoRoot { at: "/".to_owned() })?;
    let (cmdline, arch) = (step.cmdline.as_slice(), Arch::native());
    let system = System { tree: &tree, filesystems: &filesystems, esp: None, root_uuid: &root_uuid, cmdline, arch };
    let holding = holding(mounts, bios::directory(system)?);
    let below = holding.as_ref().map(|on| layers(&work.plan.steps, on)).unwrap_or_default();
    let on = On {
        filesystem: kind(work, holding.as_ref()),
        array: below.iter().any(|one| matches!(one, Device::Raid { .. })),
        volume: below.iter().any(|one| matches!(one, Device::Volume { .. })),
    };
    let made = bios::prepare(system, on)?;
    for file in &made.tree {
        let digest = copy(&tree, file, &tree, "")?;
        mounts.copied(file.path(), digest);
    }
    let mut receipts = Vec::new();
    for on in &step.bios {
        receipts.push(onto(work, on, &made)?);
    }
    let (bootloader, kernel) = (Bootloader::Grub, made.kernel);
    Ok(InstallReceipt { bootloader, kernel, esps: Vec::new(), files: Vec::new(), bios: receipts })
}

/// The filesystem that contains a directory of the tree.
fn holding(mounts: &Tree, directory: &str) -> Option<Device> {
    let path = format!("/{directory}");
    let below =
        |at: &str| at == "/" || path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let places = mounts.places().filter(|(at, _)| below(at));
    places.max_by_key(|(at, _)| at.len()).map(|(_, on)| on.clone())
}

fn kind(work: &Work, on: Option<&Device>) -> FsType {
    let made = work.plan.steps.iter().find_map(|step| match step {
        Step::MakeFilesystem(made) if Some(&made.on) == on => Some(made.filesystem.kind),
        _ => None,
    });
    made.unwrap_or(FsType::Ext4)
}

fn onto(work: &Work, on: &Device, made: &bios::Installation) -> Result<BiosReceipt, ApplyError> {
    let index = on.disk().ok_or(ApplyError::NoDisk { index: usize::MAX })?;
    let disk = work.disks.disk(index)?;
    let device = disk.name().display().to_string();
    let (start, have) = place(work, disk, on)?;
    let lba = start / bios::SECTOR as u64;
    let core = bios::place(made.core.clone(), lba);
    if core.len() as u64 > have {
        return Err(BootError::CoreRoom { device, need: core.len(), have }.into());
    }
    let failed = |source| ApplyError::Open { device: disk.name().to_owned(), source };
    let bad = |source| ApplyError::Boot(BootError::BadGrub { path: "boot.img".to_owned(), source });
    table::with(disk, Access::Write, |sectors| {
        write(sectors, start, &core).map_err(failed)?;
        let mut first = vec![0; bios::SECTOR];
        sectors.read_at(0, &mut first).map_err(failed)?;
        let boot = bios::boot_sector(&made.boot, &first, lba).map_err(bad)?;
        write(sectors, 0, &boot).map_err(failed)?;
        // The first sector is read back once it is on the disk.
        let mut found = vec![0; core.len()];
        sectors.read_at(start, &mut found).map_err(failed)?;
        if found != core {
            return Err(BootError::BootSectors { device: device.clone() }.into());
        }
        Ok(())
    })?;
    let sha256 = crate::protocol::hex(Sha256::digest(&core));
    Ok(BiosReceipt { device, lba, bytes: core.len(), sha256 })
}

fn write(sectors: &dyn Sectors, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    sectors.write_at(offset, bytes)?;
    sectors.flush()
}

/// Start and length of the partition.
fn place(work: &Work, disk: &BoundDisk, on: &Device) -> Result<(u64, u64), ApplyError> {
    let number = resolve::number(work, on)?;
    let found = table::partitions(disk)?.into_iter().find(|one| one.number == number);
    let missing = || ApplyError::NoPartition { device: disk.name().to_owned(), wanted: "bios-boot".to_owned() };
    found.map(|one| (one.start, one.length)).ok_or_else(missing)
}

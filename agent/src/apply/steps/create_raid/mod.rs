//! Creates MD arrays with mdadm, and verifies every member's superblock.

use super::{ApplyError, CreateRaid, Perform, Ramdisk, Work};
use crate::apply::arrays::{Array, Member, MemberReceipt};
use crate::apply::bound::{Access, Part, Proven};
use crate::apply::tools::Tool;
use crate::apply::{resolve, system, table, wipe};
use crate::finalize::filesystem;
use crate::protocol::order::{Consistency, RaidLevel};
use crate::protocol::plan::raid::Geometry;
use crate::protocol::plan::{Device, words};
use crate::sys::blockdev;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::sync::Arc;

const MDADM: Tool = Tool { name: "mdadm", package: "mdadm" };
/// The home host that every machine accepts as its own: the installed system's name may change without making its
/// arrays foreign.
const HOME: &str = "any";
/// Offset of the superblock with metadata 1.2. On a whole disk, what precedes it is withheld until the order is done,
/// because the disk's unfinished mark is there.
const BEFORE_SUPERBLOCK: u64 = 4096;

/// An array according to its members' superblocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RaidReceipt {
    pub device: String,
    pub name: String,
    pub uuid: String,
    pub level: &'static str,
    pub metadata: String,
    /// Bytes; absent if the level has no chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u64>,
    /// Usable size in bytes.
    pub size: u64,
    pub members: Vec<MemberReceipt>,
    /// How the members are resynced after a power cut: `bitmap`, `resync` (the whole array), `ppl`, or `none` without
    /// redundancy.
    pub consistency: String,
    /// `pending`: the members are not known to be in sync yet. The installed system's kernel resyncs copies and parity
    /// in the background once the array is assembled; what is written to the array goes to all members at once. `none`:
    /// the level has no redundancy.
    pub resync: &'static str,
}

impl Perform for CreateRaid {
    fn able(&self, ramdisk: &Ramdisk<'_>) -> Result<(), ApplyError> {
        let on = |member: &Device| match member {
            Device::Partition { .. } => true,
            // With other versions the superblock would overlap the disk's unfinished mark, or the array's data would.
            Device::Disk { .. } => self.metadata == "1.2",
            // Other versions would overwrite existing contents.
            Device::ImagePartition { .. } => self.metadata == "1.0" && self.level == RaidLevel::Raid1,
            Device::Raid { .. } | Device::Luks { .. } | Device::Volume { .. } => false,
        };
        if !self.members.iter().all(on) {
            let what = "create-raid over anything but partitions and, with metadata 1.2, whole disks, or over an image with \
                        other metadata than 1.0";
            return Err(ApplyError::Unsupported { step: what.to_owned() });
        }
        ramdisk.program(MDADM)?;
        ramdisk.module(self.level.module())
    }

    fn perform(&self, work: &Work) -> Result<(), ApplyError> {
        let link = work.paths.dev.join("md").join(&self.name);
        let (mut members, mut open, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
        for device in &self.members {
            let (member, proven) = member(work, device)?;
            sizes.push(size(&proven)?);
            members.push(member);
            open.push(proven);
        }
        let small =
            || ApplyError::Array { array: link.clone(), what: format!("members of {sizes:?} bytes are too small") };
        let geometry = self.geometry_over(&sizes).ok_or_else(small)?;
        if self.is_over_image() {
            leaves_room(work, &members, &open, geometry)?;
        }
        let words = arguments(self, geometry);
        let mut all: Vec<&OsStr> = vec![OsStr::new("--create"), link.as_os_str()];
        all.extend(words.iter().map(OsStr::new));
        all.extend(open.iter().map(|proven| proven.node().as_os_str()));
        if !link.exists() {
            // A link that leads nowhere is left over from a run that was killed.
            let _ = fs::remove_file(&link);
        }
        let made = MDADM.run_with(&work.paths.root, &all, &link, &work.cancel);
        drop(open);

        // Even if mdadm was cancelled or failed: whatever is running by then will be stopped in any case.
        let array = match (Array::started(self.clone(), geometry, &link, &work.paths, members), made) {
            (Ok(array), made) => {
                let array = Arc::new(array);
                work.stack.push(array.clone());
                made?;
                array
            }
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        work.add_array(array.clone());
        array.freeze();
        let members = array.verify()?;
        let opened = array.open(Access::Read)?;
        let size = if self.is_over_image() { size(&opened)? } else { wipe::array(&opened)? };
        if size != geometry.size {
            return Err(array.wrong(format!("it offers {size} bytes, {} were planned", geometry.size)));
        }
        let receipt = RaidReceipt {
            device: array.device().display().to_string(),
            name: self.name.clone(),
            uuid: self.uuid.clone(),
            level: self.level.name(),
            metadata: self.metadata.clone(),
            chunk: self.chunk,
            size,
            resync: array.resync(&members),
            members,
            consistency: words::word(&self.consistency),
        };
        work.note("create-raid", &receipt.device, &receipt);
        Ok(())
    }
}

/// The image's contents must end before the array's metadata, on each member.
fn leaves_room(work: &Work, members: &[Member], open: &[Proven], geometry: Geometry) -> Result<(), ApplyError> {
    for (member, proven) in members.iter().zip(open) {
        let device = proven.device();
        let content = system::content(work, &member.disk, proven)?;
        let Some(kind) = content.filesystem() else {
            let is = content.kind.unwrap_or_else(|| "nothing that is known".to_owned());
            return Err(ApplyError::NotMirrored { what: format!("{device} holds {is}, and no ext4, xfs or btrfs") });
        };
        let (has, room) = (filesystem::size(proven.node(), kind)?.bytes(), geometry.component);
        if has > room {
            let what = format!("the filesystem on {device} has {has} bytes, the array {room}");
            return Err(ApplyError::NotMirrored { what });
        }
    }
    Ok(())
}

/// A member, opened.
fn member(work: &Work, device: &Device) -> Result<(Member, Proven), ApplyError> {
    let disk = work.disks.disk(device.disk().ok_or(ApplyError::NoDisk { index: usize::MAX })?)?.clone();
    let part = match device {
        Device::Disk { .. } => {
            table::let_go(&disk, BEFORE_SUPERBLOCK)?;
            Part::Whole
        }
        device => Part::Number(resolve::number(work, device)?),
    };
    let proven = disk.open(part, Access::Read)?;
    let name = proven.name().file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((Member { disk, part, name }, proven))
}

/// Bytes.
fn size(proven: &Proven) -> Result<u64, ApplyError> {
    let sized = File::open(proven.node()).and_then(blockdev::size);
    sized.map_err(|source| ApplyError::Open { device: proven.name().to_owned(), source })
}

fn arguments(wanted: &CreateRaid, geometry: Geometry) -> Vec<String> {
    const KIB: u64 = 1024;
    let mut words = vec![
        // The old contents of the members are meant to go.
        "--run".to_owned(),
        // All members are active from the start. Otherwise the last one of RAID 5 would start as a spare, and hold
        // nothing of what is written.
        "--force".to_owned(),
        "--quiet".to_owned(),
        "--config=none".to_owned(),
        format!("--level={}", wanted.level.name()),
        format!("--raid-devices={}", wanted.active().len()),
        format!("--metadata={}", wanted.metadata),
        format!("--uuid={}", wanted.uuid),
        format!("--name={}", wanted.name),
        format!("--homehost={HOME}"),
    ];
    if wanted.spares > 0 {
        words.push(format!("--spare-devices={}", wanted.spares));
    }
    words.extend(wanted.chunk.map(|bytes| format!("--chunk={}", bytes / KIB)));
    // Data offset and member size are the plan's, not the defaults of this mdadm version. With metadata 1.0 the offset,
    // and with RAID 0 the size, cannot be chosen.
    if geometry.data_offset > 0 {
        words.push(format!("--data-offset={}", geometry.data_offset / KIB));
    }
    if wanted.level.is_redundant() {
        words.push(format!("--size={}", geometry.component / KIB));
    }
    words.extend(match wanted.consistency {
        // A disk that was absent for a while gets what it missed, not everything.
        Consistency::Bitmap => Some("--bitmap=internal".to_owned()),
        Consistency::Resync => Some("--bitmap=none".to_owned()),
        Consistency::Ppl => Some("--consistency-policy=ppl".to_owned()),
        Consistency::None => None,
    });
    words
}

#[cfg(test)]
mod tests;

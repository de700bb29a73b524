//! The parts of an image that may hold a filesystem: partitions (logical ones too), logical volumes, or the whole
//! image.

use crate::disk::Disk;
use crate::lvm;
use crate::tree::bytes::{le16, le32};
use burin_image::ImageError;
use burin_table::head::{Head, HeadPartition, Purpose, TableKind};
use burin_table::{mbr, signature, types};
use uuid::Uuid;

/// Signatures and names of filesystems are within this many bytes.
const HEAD: usize = 0x1_2000;
/// Limit for logical partitions.
const MOST_LOGICAL: u32 = 60;

/// Something that may contain a filesystem. Sizes are in bytes.
#[derive(Debug, Clone)]
pub struct Volume {
    /// The partition's number; `None` for a logical volume and for an image without a table.
    pub number: Option<u32>,
    /// The partition's name, or `GROUP/VOLUME`.
    pub name: String,
    /// The type's name in orders; `None` if the type has no name.
    pub type_name: Option<String>,
    pub purpose: Purpose,
    pub guid: Option<Uuid>,
    pub start: u64,
    pub size: u64,
    /// libblkid's name.
    pub filesystem: Option<&'static str>,
    pub uuid: Option<String>,
    pub label: Option<String>,
    /// The group of which this volume is a member.
    pub group: Option<String>,
    pub disk: Disk,
}

impl Volume {
    /// The name in reports.
    pub fn called(&self) -> String {
        match self.number {
            Some(number) => format!("partition {number}"),
            None if self.name.is_empty() => "the image".to_owned(),
            None => format!("logical volume {}", self.name),
        }
    }
}

/// All volumes in the order of their positions; logical volumes last.
pub fn find(disk: &Disk, head: &Head) -> Result<Vec<Volume>, ImageError> {
    let mut found = Vec::new();
    if head.table == TableKind::None {
        found.push(volume(disk.clone(), None, String::new(), Purpose::Other, 0)?);
    }
    for partition in &head.partitions {
        if partition.purpose == Purpose::Extended {
            let sector = u64::from(head.sector_size.unwrap_or(512));
            logical(disk, partition, sector, &mut found)?;
            continue;
        }
        let part = disk.part(partition.start, partition.size);
        let number = Some(partition.number);
        let mut one = volume(part, number, partition.name.clone(), partition.purpose, partition.start)?;
        one.guid = partition.guid;
        one.type_name =
            partition.type_guid.map(|guid| types::name(guid).map_or_else(|| guid.to_string(), str::to_owned));
        found.push(one);
    }
    found.sort_by_key(|one| one.start);
    let members: Vec<usize> = (0..found.len())
        .filter(|index| found.get(*index).is_some_and(|one| one.filesystem == Some("LVM2_member")))
        .collect();
    let parts: Vec<Disk> = members.iter().filter_map(|index| found.get(*index)).map(|one| one.disk.clone()).collect();
    for group in lvm::groups(&parts)? {
        for (part, index) in members.iter().enumerate() {
            if group.members.contains(&part)
                && let Some(member) = found.get_mut(*index)
            {
                member.group = Some(group.name.clone());
            }
        }
        for (name, disk) in group.volumes {
            found.push(volume(disk, None, format!("{}/{name}", group.name), Purpose::Other, 0)?);
        }
    }
    Ok(found)
}

fn volume(disk: Disk, number: Option<u32>, name: String, purpose: Purpose, start: u64) -> Result<Volume, ImageError> {
    let head = disk.head(HEAD)?;
    let filesystem = signature::find(&head).map(|name| if name == "iso9660" { "iso9660" } else { name });
    let (uuid, label) = filesystem.map_or((None, None), |name| names(name, &head));
    let (type_name, guid, group, size) = (None, None, None, disk.len());
    Ok(Volume { number, name, type_name, purpose, guid, start, size, filesystem, uuid, label, group, disk })
}

/// Follows the chain of extended boot records.
fn logical(disk: &Disk, extended: &HeadPartition, sector: u64, found: &mut Vec<Volume>) -> Result<(), ImageError> {
    let mut at = extended.start;
    for number in 5..5 + MOST_LOGICAL {
        if at >= disk.len() {
            return Ok(());
        }
        let record = disk.part(at, 512).head(512)?;
        let mbr::Mbr::Plain(entries) = mbr::parse(&record) else { return Ok(()) };
        let Some(own) = entries.iter().find(|entry| !mbr::is_extended(entry)) else { return Ok(()) };
        let start = at + u64::from(own.first_lba) * sector;
        let part = disk.part(start, u64::from(own.sectors) * sector);
        let purpose = match own.kind {
            0x82 => Purpose::Swap,
            0x8e | 0xfd => Purpose::Member,
            _ => Purpose::Other,
        };
        found.push(volume(part, Some(number), String::new(), purpose, start)?);
        match entries.iter().find(|entry| mbr::is_extended(entry)) {
            Some(next) => at = extended.start + u64::from(next.first_lba) * sector,
            None => return Ok(()),
        }
    }
    Ok(())
}

/// UUID and label as libblkid gives them.
fn names(filesystem: &str, head: &[u8]) -> (Option<String>, Option<String>) {
    let uuid = |at: usize| {
        let bytes: [u8; 16] = head.get(at..at + 16)?.try_into().ok()?;
        Some(Uuid::from_bytes(bytes)).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string())
    };
    let text = |at: usize, len: usize| {
        let bytes = head.get(at..at + len)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(len);
        let text = String::from_utf8_lossy(bytes.get(..end)?).trim_end().to_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    match filesystem {
        "ext4" => (uuid(0x468), text(0x478, 16)),
        "xfs" => (uuid(32), text(108, 12)),
        "btrfs" => (uuid(0x1_0020), text(0x1_012b, 256)),
        "swap" => (uuid(0x40c), text(0x41c, 16)),
        "f2fs" => (uuid(1024 + 108), None),
        "crypto_LUKS" => (text(168, 40), None),
        "vfat" => {
            let (serial, label) = if le16(head, 22) == Some(0) { (67, 71) } else { (39, 43) };
            let serial = le32(head, serial).map(|serial| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff));
            (serial, text(label, 11).filter(|label| label != "NO NAME"))
        }
        _ => (None, None),
    }
}

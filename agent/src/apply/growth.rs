//! Whether a partition can grow: checked with the table before anything is written, or else right before it grows.

use super::bound::BoundDisk;
use super::work::Work;
use super::{ApplyError, system, table};
use crate::finalize::adjust::Grow;
use crate::finalize::device::Sectors;
use crate::finalize::filesystem::Content;
use crate::finalize::guid;
use crate::finalize::mbr::{self, Primary};
use crate::finalize::rootfs::RootError;
use crate::finalize::table::Label;
use crate::protocol::order::PartitionPick;
use std::path::Path;

/// Less than this is lost to alignment at the end of any disk.
const WORTHWHILE: u64 = 2 << 20;
/// Linux swap in an MBR.
const MBR_SWAP: u8 = 0x82;

/// Contents that may hide a root filesystem.
const AROUND: [&str; 2] = ["LVM2_member", "crypto_LUKS"];

/// The number of the partition that grows: if no root filesystem can be seen, the only partition that may contain it.
pub fn target(work: &Work, disk: &BoundDisk, pick: PartitionPick) -> Result<u32, ApplyError> {
    let unseen = match table::number(work, disk, pick) {
        Err(error @ ApplyError::Root(RootError::None { .. })) => error,
        found => return found,
    };
    let (candidates, _open) = table::candidates(work, disk)?;
    let contents = system::contents(work, disk, &candidates)?;
    let kind = |content: &Option<Content>| content.as_ref().and_then(|content| content.kind.clone());
    let around = |content: &Option<Content>| kind(content).is_some_and(|kind| AROUND.contains(&kind.as_str()));
    let mut found = candidates.iter().zip(&contents).filter(|(_, content)| around(content));
    match (found.next(), found.next()) {
        (Some((only, _)), None) => Ok(only.number),
        _ => Err(unseen),
    }
}

/// A partition, as far as needed here. Bytes.
struct Place {
    number: u32,
    start: u64,
    end: u64,
    swap: bool,
}

/// Refuses to grow swap, which may be the `last` partition of an image unintentionally, and a partition with another
/// one behind it while the free space is at the end of the disk, because it could not grow.
pub fn check(disk: &dyn Sectors, label: &Label, grow: Grow) -> Result<(), ApplyError> {
    let sector = u64::from(disk.sector_size());
    let places: Vec<Place> = match label {
        Label::Gpt(table) => {
            let swap = guid::partition_type("swap", guid::Arch::native());
            let place = |one: &crate::finalize::gpt::Partition| Place {
                number: one.number,
                start: one.first_lba.saturating_mul(sector),
                end: one.last_lba.saturating_add(1).saturating_mul(sector),
                swap: Some(one.type_guid) == swap,
            };
            table.partitions().iter().map(place).collect()
        }
        Label::Mbr(entries) => {
            let place = |one: &Primary| Place {
                number: one.number,
                start: u64::from(one.first_lba).saturating_mul(sector),
                end: (u64::from(one.first_lba) + u64::from(one.sectors)).saturating_mul(sector),
                swap: one.kind == MBR_SWAP,
            };
            entries.iter().filter(|one| !mbr::is_extended(one)).map(place).collect()
        }
    };
    judge(disk.path(), disk.size(), &places, grow)
}

fn judge(device: &Path, size: u64, places: &[Place], grow: Grow) -> Result<(), ApplyError> {
    let Some(last) = places.iter().max_by_key(|place| place.end) else { return Ok(()) };
    let target = match grow {
        Grow::Last => Some(last),
        Grow::Number(number) => places.iter().find(|place| place.number == number),
    };
    // A missing partition is reported elsewhere.
    let Some(target) = target else { return Ok(()) };
    if target.swap {
        return Err(ApplyError::GrowSwap { device: device.to_owned(), number: target.number });
    }
    let behind = places.iter().filter(|place| place.start >= target.end).min_by_key(|place| place.start);
    let Some(behind) = behind else { return Ok(()) };
    let gap = behind.start.saturating_sub(target.end);
    let free = size.saturating_sub(last.end);
    if gap < WORTHWHILE && free >= WORTHWHILE {
        let (number, by) = (target.number, behind.number);
        return Err(ApplyError::GrowBlocked { device: device.to_owned(), number, by, free });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded;

    const MIB: u64 = 1 << 20;

    fn code(size: u64, places: &[(u32, u64, u64, bool)], grow: Grow) -> Option<&'static str> {
        let place = |&(number, start, end, swap): &(u32, u64, u64, bool)| Place {
            number,
            start: start * MIB,
            end: end * MIB,
            swap,
        };
        let places: Vec<Place> = places.iter().map(place).collect();
        judge(Path::new("/dev/sda"), size * MIB, &places, grow).err().map(|error| error.code())
    }

    #[test]
    fn swap_is_never_grown_and_what_cannot_grow_is_said() {
        let swap_behind = [(1, 1, 100, false), (5, 100, 120, true)];
        assert_eq!(code(1000, &swap_behind, Grow::Last), Some("image.not_growable"));
        assert_eq!(code(1000, &swap_behind, Grow::Number(1)), Some("image.grow_blocked"));
        // No free space anywhere, or right behind it.
        assert_eq!(code(121, &swap_behind, Grow::Number(1)), None);
        assert_eq!(code(1000, &[(1, 1, 100, false), (5, 150, 170, true)], Grow::Number(1)), None);
        // As in a cloud image: the root is number 1 and comes last.
        assert_eq!(code(1000, &[(14, 1, 4, false), (15, 4, 128, false), (1, 128, 900, false)], Grow::Number(1)), None);
        assert_eq!(code(1000, &[], Grow::Last), None);
        assert_eq!(code(1000, &swap_behind, Grow::Number(9)), None);
    }
}

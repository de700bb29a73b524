//! Changes to an MBR: its last primary partition grows, and one more is added at the end of the disk. One sector, written
//! at once.

use super::Sectors;
use super::adjust::{Extent, Grow, PartitionChange, TableChange, TableReceipt, step};
use super::layout::{LayoutError, NewPartition};
use super::mbr::{self, Primary};
use super::table::{self, TableError};
use super::types;

/// Type bytes of an MBR.
const LINUX: u8 = 0x83;
const SWAP: u8 = 0x82;
const ESP: u8 = 0xef;

pub(super) fn adjust(
    disk: &dyn Sectors,
    entries: &[Primary],
    change: &TableChange,
    alignment: u64,
) -> Result<TableReceipt, TableError> {
    let device = || disk.path().to_owned();
    if change.disk_guid.is_some() || !change.partition_guids.is_empty() {
        return unsupported(disk, "setting GUIDs");
    }
    let sectors = disk.size() / u64::from(disk.sector_size());
    if let Some(entry) = entries.iter().find(|entry| end_of(entry) > sectors) {
        return Err(TableError::Impossible { device: device(), number: entry.number });
    }
    let step = step(disk, alignment);
    // The fields hold 32 bits of sectors.
    let end = (sectors / step * step).min(u64::from(u32::MAX) / step * step);
    let mut after = entries.to_vec();
    let grown = match change.grow {
        Some(grow) => {
            let leave = change.leave.div_ceil(u64::from(disk.sector_size()));
            Some(grow_last(disk, &mut after, grow, end.saturating_sub(leave) / step * step)?)
        }
        None => None,
    };
    for new in &change.add {
        add(disk, &mut after, new, end, step)?;
    }
    let mut writes = 0;
    if after != entries {
        let mut sector0 = table::sector_at(disk, 0)?;
        for entry in &after {
            match entries.iter().find(|old| old.number == entry.number) {
                Some(old) if old == entry => {}
                Some(_) => mbr::resize(&mut sector0, entry.number, entry.sectors),
                None => mbr::put(&mut sector0, entry),
            }
        }
        writes = table::write_changed(disk, &[(0, sector0.clone())])?;
        if table::sector_at(disk, 0)? != sector0 {
            return Err(TableError::ReadBack { device: device() });
        }
    }
    Ok(receipt(disk, entries, &after, (writes, grown)))
}

fn end_of(entry: &Primary) -> u64 {
    u64::from(entry.first_lba) + u64::from(entry.sectors)
}

fn unsupported<T>(disk: &dyn Sectors, what: &'static str) -> Result<T, TableError> {
    Err(TableError::Mbr { device: disk.path().to_owned(), what })
}

/// Up to `end`, in sectors; never smaller. Its number.
fn grow_last(disk: &dyn Sectors, entries: &mut [Primary], grow: Grow, end: u64) -> Result<u32, TableError> {
    let missing = || TableError::NoPartition { device: disk.path().to_owned(), number: 0 };
    let last = entries.iter_mut().max_by_key(|entry| end_of(entry)).ok_or_else(missing)?;
    if mbr::is_extended(last) {
        return unsupported(disk, "growing a logical partition");
    }
    if matches!(grow, Grow::Number(number) if number != last.number) {
        return unsupported(disk, "growing any but the last partition");
    }
    if end > end_of(last) {
        last.sectors = (end - u64::from(last.first_lba)) as u32;
    }
    Ok(last.number)
}

/// At the very end of what an MBR can reach, so that what is there can grow up to it. There is no GUID by which it could be
/// told from another one: what lies exactly there already is taken for it.
fn add(
    disk: &dyn Sectors,
    entries: &mut Vec<Primary>,
    new: &NewPartition,
    end: u64,
    step: u64,
) -> Result<(), TableError> {
    let layout = |source| TableError::Layout { device: disk.path().to_owned(), source };
    let kind = match new.type_guid {
        types::LINUX => LINUX,
        types::SWAP => SWAP,
        types::ESP => ESP,
        _ => return unsupported(disk, "adding a partition of this type"),
    };
    let sector = u64::from(disk.sector_size());
    let length = new.min.div_ceil(sector).next_multiple_of(step);
    let used = entries.iter().map(end_of).max().unwrap_or(step);
    let start = end.saturating_sub(length);
    let placed = u32::try_from(start).ok().zip(u32::try_from(length).ok());
    if let Some((first_lba, sectors)) = placed
        && entries.iter().any(|one| (one.kind, one.first_lba, one.sectors) == (kind, first_lba, sectors))
    {
        return Ok(());
    }
    let have = end.saturating_sub(used) * sector;
    let (Some((first_lba, sectors)), true) = (placed, start >= used) else {
        return Err(layout(LayoutError::DoesNotFit { need: length * sector, have }));
    };
    let free = |number: &u32| entries.iter().all(|entry| entry.number != *number);
    let number = match new.number {
        None => (1..=4).find(free),
        Some(number) => Some(number).filter(|number| (1..=4).contains(number) && free(number)),
    };
    let Some(number) = number else {
        return unsupported(disk, "adding a partition to four primary ones");
    };
    entries.push(Primary { number, kind, first_lba, sectors });
    entries.sort_by_key(|entry| entry.number);
    Ok(())
}

fn receipt(
    disk: &dyn Sectors,
    before: &[Primary],
    after: &[Primary],
    (writes, grown): (u32, Option<u32>),
) -> TableReceipt {
    let sector = u64::from(disk.sector_size());
    let extent = |entry: &Primary| Extent {
        number: entry.number,
        start: u64::from(entry.first_lba) * sector,
        length: u64::from(entry.sectors) * sector,
        guid: None,
    };
    let changed = after.iter().filter_map(|new| {
        let old = before.iter().find(|old| old.number == new.number);
        (old != Some(new)).then(|| PartitionChange { before: old.map(extent), after: extent(new) })
    });
    TableReceipt {
        device: disk.path().display().to_string(),
        label: "mbr".to_owned(),
        sector_size: disk.sector_size(),
        disk_bytes: disk.size(),
        disk_guid: None,
        restored: false,
        changed: changed.collect(),
        writes,
        grown,
        partitions: after.iter().map(extent).collect(),
    }
}

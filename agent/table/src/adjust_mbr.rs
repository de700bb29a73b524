//! Changes to an MBR: grows its last partition (a logical one together with its extended partition), or adds one at the
//! end of the disk. The first sector, with all primary partitions, is written at once, after the records of logical
//! ones.

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
    if let Some(entry) = entries.iter().find(|entry| entry.end() > sectors) {
        return Err(TableError::Impossible { device: device(), number: entry.number });
    }
    let step = step(disk, alignment);
    // The fields hold 32-bit sector numbers.
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
    let mut writes = records(disk, entries, &after)?;
    if after != entries {
        let mut sector0 = table::sector_at(disk, 0)?;
        for entry in after.iter().filter(|entry| !entry.is_logical()) {
            match entries.iter().find(|old| old.number == entry.number) {
                Some(old) if old == entry => {}
                Some(_) => mbr::resize(&mut sector0, entry.slot, entry.sectors),
                None => mbr::put(&mut sector0, entry),
            }
        }
        writes += store(disk, 0, sector0)?;
    }
    Ok(receipt(disk, entries, &after, (writes, grown)))
}

/// Updates the records of grown logical partitions: each has one of its own, and the preceding one covers both.
fn records(disk: &dyn Sectors, before: &[Primary], after: &[Primary]) -> Result<u32, TableError> {
    let at = |lba: u32| u64::from(lba) * u64::from(disk.sector_size());
    let Some(container) = after.iter().find(|entry| mbr::is_extended(entry)) else { return Ok(0) };
    let mut writes = 0;
    for entry in after.iter().filter(|entry| entry.is_logical() && !before.contains(entry)) {
        let mut record = table::sector_at(disk, at(entry.table_lba))?;
        mbr::resize(&mut record, entry.slot, entry.sectors);
        writes += store(disk, at(entry.table_lba), record)?;
        for other in after.iter().filter(|other| other.is_logical()) {
            let mut record = table::sector_at(disk, at(other.table_lba))?;
            if let Some(link) = mbr::link(&record, entry.table_lba, container.first_lba) {
                let length = entry.end().saturating_sub(u64::from(entry.table_lba));
                mbr::resize(&mut record, link.slot, u32::try_from(length).unwrap_or(u32::MAX));
                writes += store(disk, at(other.table_lba), record)?;
            }
        }
    }
    Ok(writes)
}

/// Writes one sector if it differs, flushed and read back.
fn store(disk: &dyn Sectors, offset: u64, bytes: Vec<u8>) -> Result<u32, TableError> {
    let writes = table::write_changed(disk, &[(offset, bytes.clone())])?;
    if table::sector_at(disk, offset)? != bytes {
        return Err(TableError::ReadBack { device: disk.path().to_owned() });
    }
    Ok(writes)
}

fn unsupported<T>(disk: &dyn Sectors, what: &'static str) -> Result<T, TableError> {
    Err(TableError::Mbr { device: disk.path().to_owned(), what })
}

/// Grows up to `end`, in sectors; never shrinks. Returns its number.
fn grow_last(disk: &dyn Sectors, entries: &mut [Primary], grow: Grow, end: u64) -> Result<u32, TableError> {
    let missing = |number| TableError::NoPartition { device: disk.path().to_owned(), number };
    let last = *mbr::last(entries).ok_or_else(|| missing(0))?;
    match grow {
        Grow::Number(number) if entries.iter().all(|entry| entry.number != number) => return Err(missing(number)),
        Grow::Number(number) if number != last.number => {
            return unsupported(disk, "growing any but the last partition");
        }
        Grow::Number(_) | Grow::Last => {}
    }
    for entry in entries.iter_mut() {
        let around = last.is_logical() && mbr::is_extended(entry);
        if (entry.number == last.number || around) && end > entry.end() {
            entry.sectors = (end - u64::from(entry.first_lba)) as u32;
        }
    }
    Ok(last.number)
}

/// Adds a partition at the very end of what an MBR can address, so that others can grow up to it. There is no GUID to
/// identify it: a partition that already lies exactly there is taken for it.
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
    let used = entries.iter().map(Primary::end).max().unwrap_or(step);
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
    entries.push(Primary { number, kind, first_lba, sectors, table_lba: 0, slot: number });
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
        // The extended partition is left out, because the kernel would see an overlap.
        partitions: after.iter().filter(|entry| !mbr::is_extended(entry)).map(extent).collect(),
    }
}

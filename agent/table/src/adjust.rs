//! Changes to the partition table of a just-written image, and fresh tables, each as one restartable commit.

use super::Sectors;
use super::adjust_mbr;
use super::gpt::{self, Partition};
use super::layout::{self, LayoutError, NewPartition, Space};
use super::table::{self, Label, Table, TableError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The partition that grows into the free space behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grow {
    Number(u32),
    /// The last one on the disk.
    Last,
}

/// The wanted changes; the backup table is moved to the end of the disk in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableChange {
    pub grow: Option<Grow>,
    /// Bytes that the growing partition leaves free before the end of the usable space.
    pub leave: u64,
    pub disk_guid: Option<Uuid>,
    /// Number, new GUID.
    pub partition_guids: Vec<(u32, Uuid)>,
    /// Added after existing partitions; at the end of the disk if a partition grows as well.
    pub add: Vec<NewPartition>,
    /// Partitions that were on the disk before this table, and are entered unchanged. They do not belong to the new
    /// contents: none of them grows, and new ones may be placed before them.
    pub keep: Vec<Partition>,
}

/// Changes to a partition table, for the receipt. Sizes and offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableReceipt {
    pub device: String,
    /// gpt or mbr.
    pub label: String,
    pub sector_size: u32,
    pub disk_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_guid: Option<String>,
    /// The primary table was damaged (by an interrupted earlier attempt) and restored from the backup.
    pub restored: bool,
    /// Partitions that were added or changed.
    pub changed: Vec<PartitionChange>,
    /// Zero: nothing had to be changed.
    pub writes: u32,
    /// The number of the partition that `grow` selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grown: Option<u32>,
    /// All partitions in their final state.
    pub partitions: Vec<Extent>,
}

/// The position of a partition, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Extent {
    pub number: u32,
    pub start: u64,
    pub length: u64,
    /// Partition GUID; `None` on an MBR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartitionChange {
    /// `None`: added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Extent>,
    pub after: Extent,
}

/// Fits the table to the disk and applies `change`, in one commit. Run again after an interruption, it completes; run
/// again after success, it writes nothing. `alignment` in bytes, from [`layout::alignment`].
pub fn adjust(disk: &dyn Sectors, change: &TableChange, alignment: u64) -> Result<TableReceipt, TableError> {
    let mut table = match table::read(disk)? {
        Label::Gpt(table) => table,
        Label::Mbr(_) if !change.keep.is_empty() => {
            return Err(TableError::Mbr { device: disk.path().to_owned(), what: "keeping a partition" });
        }
        Label::Mbr(entries) => return adjust_mbr::adjust(disk, &entries, change, alignment),
    };
    let before = table.partitions();
    let previous_backup = table.header.other_lba;
    keep(disk, &mut table, &change.keep)?;
    table.fit(disk)?;
    let taken = table.partitions();

    let (present, missing): (Vec<_>, Vec<_>) =
        change.add.iter().cloned().partition(|new| before.iter().any(|old| old.guid == new.guid));
    for new in &present {
        if before.iter().any(|old| old.guid == new.guid && old.type_guid != new.type_guid) {
            return Err(TableError::GuidTaken { device: disk.path().to_owned(), guid: new.guid });
        }
    }
    let originals: Vec<Partition> =
        before.iter().filter(|old| !present.iter().any(|new| new.guid == old.guid)).cloned().collect();
    let originals = originals.into_iter().filter(|old| !is_kept(change, old)).collect::<Vec<_>>();
    let target = change.grow.map(|grow| find(disk, &originals, grow)).transpose()?;

    let added = add(disk, &table, (&taken, &change.keep), &missing, target.is_some(), alignment)?;
    for partition in &added {
        table.array.put(partition);
    }
    if let Some(target) = &target {
        let leave = change.leave.div_ceil(u64::from(disk.sector_size()));
        grow(&mut table, target, step(disk, alignment), leave, &change.keep);
    }
    if let Some(guid) = change.disk_guid {
        table.header.disk_guid = guid;
    }
    for &(number, guid) in &change.partition_guids {
        find(disk, &before, Grow::Number(number))?;
        if table.partitions().iter().any(|other| other.number != number && other.guid == guid) || guid.is_nil() {
            return Err(TableError::GuidTaken { device: disk.path().to_owned(), guid });
        }
        table.array.set_guid(number, guid);
    }
    let writes = table.store(disk, Some(previous_backup))?;
    let mut receipt = receipt(disk, &before, &table, writes);
    receipt.grown = target.map(|partition| partition.number);
    Ok(receipt)
}

/// The current table; nothing is written. Of nested partitions, as in hybrid ISOs, the inner ones are returned, because
/// the kernel accepts no overlapping ones.
pub fn look(disk: &dyn Sectors) -> Result<TableReceipt, TableError> {
    let mut receipt = match table::read(disk)? {
        Label::Gpt(table) => receipt(disk, &table.partitions(), &table, 0),
        Label::Mbr(entries) => adjust_mbr::adjust(disk, &entries, &TableChange::default(), 1)?,
    };
    let all = receipt.partitions.clone();
    let end = |one: &Extent| one.start.saturating_add(one.length);
    let holds = |outer: &Extent, inner: &Extent| {
        outer.number != inner.number
            && outer.start < end(inner)
            && inner.start < end(outer)
            && outer.length > inner.length
    };
    receipt.partitions.retain(|outer| !all.iter().any(|inner| holds(outer, inner)));
    Ok(receipt)
}

/// Writes a new table over any existing one. The boot code in sector 0 is removed too.
pub fn write_fresh(
    disk: &dyn Sectors,
    disk_guid: Uuid,
    partitions: &[NewPartition],
    alignment: u64,
) -> Result<TableReceipt, TableError> {
    let mut table = Table::fresh(disk, disk_guid)?;
    for partition in add(disk, &table, (&[], &[]), partitions, false, alignment)? {
        table.array.put(&partition);
    }
    let writes = table.store_fresh(disk)?;
    Ok(receipt(disk, &[], &table, writes))
}

/// Like [`write_fresh`], for partitions with given positions.
pub fn write_exact(disk: &dyn Sectors, disk_guid: Uuid, partitions: &[Partition]) -> Result<TableReceipt, TableError> {
    let mut table = Table::fresh(disk, disk_guid)?;
    for partition in partitions {
        check_exact(&table, partition)
            .map_err(|source| TableError::Layout { device: disk.path().to_owned(), source })?;
        table.array.put(partition);
    }
    table.fit(disk)?;
    let writes = table.store_fresh(disk)?;
    Ok(receipt(disk, &[], &table, writes))
}

fn check_exact(table: &Table, new: &Partition) -> Result<(), LayoutError> {
    let (name, number) = (|| new.name.clone(), new.number);
    let others = table.partitions();
    if new.last_lba < new.first_lba {
        return Err(LayoutError::Size { name: name() });
    }
    if !gpt::name_fits(&new.name) {
        return Err(LayoutError::Name { name: name() });
    }
    if new.guid.is_nil() || new.type_guid.is_nil() {
        return Err(LayoutError::Nil { name: name() });
    }
    if number == 0 || number > table.array.entry_count() || others.iter().any(|other| other.number == number) {
        return Err(LayoutError::Number { name: name(), number });
    }
    if others.iter().any(|other| other.guid == new.guid) {
        return Err(LayoutError::Guid { name: name(), guid: new.guid });
    }
    Ok(())
}

/// Enters kept partitions into the table. Fails if another partition has the same number or GUID.
fn keep(disk: &dyn Sectors, table: &mut Table, kept: &[Partition]) -> Result<(), TableError> {
    for one in kept {
        let others = table.partitions();
        if others.contains(one) {
            continue;
        }
        check_exact(table, one).map_err(|source| TableError::Layout { device: disk.path().to_owned(), source })?;
        table.array.put(one);
    }
    Ok(())
}

fn is_kept(change: &TableChange, one: &Partition) -> bool {
    change.keep.iter().any(|kept| kept.number == one.number)
}

pub(super) fn step(disk: &dyn Sectors, alignment: u64) -> u64 {
    (alignment / u64::from(disk.sector_size())).max(1)
}

fn find(disk: &dyn Sectors, partitions: &[Partition], grow: Grow) -> Result<Partition, TableError> {
    let (found, number) = match grow {
        Grow::Number(number) => (partitions.iter().find(|partition| partition.number == number), number),
        Grow::Last => (partitions.iter().max_by_key(|partition| partition.last_lba), 0),
    };
    found.cloned().ok_or_else(|| TableError::NoPartition { device: disk.path().to_owned(), number })
}

fn add(
    disk: &dyn Sectors,
    table: &Table,
    (taken, kept): (&[Partition], &[Partition]),
    wanted: &[NewPartition],
    growing: bool,
    alignment: u64,
) -> Result<Vec<Partition>, TableError> {
    let layout_error = |source| TableError::Layout { device: disk.path().to_owned(), source };
    let own = taken.iter().filter(|one| !kept.iter().any(|kept| kept.number == one.number));
    let used = own.map(|partition| partition.last_lba + 1).max();
    let space = Space {
        start: used.unwrap_or(table.header.first_usable),
        end: table.header.last_usable + 1,
        sector_size: disk.sector_size(),
        alignment,
        numbers: table.array.entry_count(),
    };
    if growing && let Some(new) = wanted.iter().find(|new| new.max != Some(new.min)) {
        return Err(layout_error(LayoutError::BothGrow { name: new.name.clone() }));
    }
    let placed = around(space, kept).into_iter().map(|mut space| {
        if growing {
            // At the very end, so that the growing partition gets everything in between.
            let step = space.step();
            let need = layout::needed(wanted, step * u64::from(space.sector_size));
            space.start = space.start.max((space.end / step).saturating_sub(need) * step);
        }
        layout::place(space, taken, wanted)
    });
    let mut failed = None;
    for placed in placed {
        match placed {
            Ok(placed) => return Ok(placed),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(layout_error(failed.unwrap_or(LayoutError::DoesNotFit { need: 0, have: 0 })))
}

/// The parts of a space that are free between and behind kept partitions; all of it if there are none.
fn around(space: Space, kept: &[Partition]) -> Vec<Space> {
    let mut inside: Vec<&Partition> = kept.iter().filter(|one| one.last_lba >= space.start).collect();
    inside.sort_by_key(|one| one.first_lba);
    let (mut spaces, mut start) = (Vec::new(), space.start);
    for one in inside {
        spaces.push(Space { start, end: one.first_lba.max(start), ..space });
        start = start.max(one.last_lba + 1);
    }
    spaces.push(Space { start, ..space });
    spaces
}

/// Grows up to the next partition, or to `leave` sectors before the end of the usable space or before a kept partition,
/// on the grid; never shrinks.
fn grow(table: &mut Table, target: &Partition, step: u64, leave: u64, kept: &[Partition]) {
    let behind = |lba: &u64| *lba > target.last_lba;
    let next = table.partitions().iter().map(|other| other.first_lba).filter(behind).min();
    let usable = table.header.last_usable + 1;
    let usable = kept.iter().map(|kept| kept.first_lba).filter(behind).fold(usable, u64::min);
    let end = usable.saturating_sub(leave);
    let end = next.map_or(end, |next| next.min(end));
    let last = (end / step * step).saturating_sub(1);
    if last > target.last_lba {
        table.array.set_last_lba(target.number, last);
    }
}

fn receipt(disk: &dyn Sectors, before: &[Partition], table: &Table, writes: u32) -> TableReceipt {
    let sector = u64::from(disk.sector_size());
    let extent = |partition: &Partition| Extent {
        number: partition.number,
        start: partition.first_lba * sector,
        length: partition.sectors() * sector,
        guid: Some(partition.guid.to_string()),
    };
    let after = table.partitions();
    let changed = after.iter().filter_map(|new| {
        let old = before.iter().find(|old| old.number == new.number);
        (old != Some(new)).then(|| PartitionChange { before: old.map(extent), after: extent(new) })
    });
    TableReceipt {
        device: disk.path().display().to_string(),
        label: "gpt".to_owned(),
        sector_size: disk.sector_size(),
        disk_bytes: disk.size(),
        disk_guid: Some(table.header.disk_guid.to_string()),
        restored: table.from == table::Copy::Backup,
        changed: changed.collect(),
        writes,
        grown: None,
        partitions: after.iter().map(extent).collect(),
    }
}

//! The partition table on a disk: read either copy, change, write both so that one is valid at every instant.

use super::Sectors;
use super::gpt::{Array, Fault, Header, Partition};
use super::layout::{LayoutError, SECTOR_SIZES};
use super::mbr::{self, Mbr, Primary};
use burin_protocol::error::Coded;
use std::io;
use std::path::PathBuf;
use uuid::Uuid;

const REVISION: u32 = 0x0001_0000;

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("{device}: {action} the partition table failed")]
    Io { device: PathBuf, action: &'static str, source: io::Error },
    #[error("{device}: no partition table")]
    Missing { device: PathBuf },
    #[error("{device}: the partition table is damaged, and its backup cannot be used ({backup})")]
    Damaged { device: PathBuf, source: Fault, backup: Fault },
    #[error("{device}: the partition table was made for {table}-byte sectors; the disk has {disk}-byte sectors")]
    SectorSize { device: PathBuf, table: u32, disk: u32 },
    #[error("{device}: partition {number} reaches beyond the disk or overlaps another")]
    Impossible { device: PathBuf, number: u32 },
    #[error("{device}: the disk is too small for a partition table")]
    TooSmall { device: PathBuf },
    #[error("{device}: no partition {number}")]
    NoPartition { device: PathBuf, number: u32 },
    #[error("{device}: {what} is not supported on an MBR partition table")]
    Mbr { device: PathBuf, what: &'static str },
    #[error("{device}: partition GUID {guid} exists already, as something else")]
    GuidTaken { device: PathBuf, guid: Uuid },
    #[error("{device}: partitions cannot be placed")]
    Layout { device: PathBuf, source: LayoutError },
    #[error("{device}: the partition table read back differs from what was written")]
    ReadBack { device: PathBuf },
}

impl Coded for TableError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "finalize.table_io",
            Self::Missing { .. } => "finalize.table_missing",
            Self::Damaged { .. } => "finalize.table_damaged",
            Self::SectorSize { .. } => "finalize.sector_size",
            Self::Impossible { .. } => "finalize.table_impossible",
            Self::TooSmall { .. } => "finalize.disk_too_small",
            Self::NoPartition { .. } => "finalize.no_partition",
            Self::Mbr { .. } => "finalize.mbr_unsupported",
            Self::GuidTaken { .. } => "finalize.guid_taken",
            Self::Layout { .. } => "finalize.layout",
            Self::ReadBack { .. } => "finalize.table_readback",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::SectorSize { table, disk, .. } => format!(
                "use an image built for {disk}-byte sectors on this disk, or a disk with {table}-byte sectors; \
                 some NVMe drives can be formatted to either"
            ),
            Self::Missing { .. } => "use a whole-disk image with a GPT; this one has none (docs/images.md)".to_owned(),
            Self::Mbr { .. } => "use an image with a GPT (docs/images.md)".to_owned(),
            Self::ReadBack { .. } => "replace the disk: it does not keep what is written to it".to_owned(),
            _ => return None,
        })
    }
}

/// What a disk says its partitions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    Gpt(Table),
    /// Primary and logical partitions.
    Mbr(Vec<Primary>),
}

/// Which copy of the table was believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    Primary,
    /// The primary one is damaged.
    Backup,
}

/// A valid GPT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// In the form of the primary header, whichever copy it was read from.
    pub header: Header,
    pub array: Array,
    pub from: Copy,
}

/// Reads the partition table as the kernel does: a GPT counts if the MBR is protective (or hybrid, or blank), a plain MBR
/// hides whatever GPT lies behind it. The backup GPT is believed only where a damaged primary header is present: where
/// there is none at all (a withheld first MiB, a wiped disk) a backup is a leftover.
pub fn read(disk: &dyn Sectors) -> Result<Label, TableError> {
    let device = disk.path();
    let sector0 = sector_at(disk, 0)?;
    let mbr = mbr::parse(&sector0);
    if let Mbr::Plain(mut entries) = mbr {
        entries.extend(logical(disk, &entries)?);
        return Ok(Label::Mbr(entries));
    }
    let fault = match read_copy(disk, 1)? {
        Ok((header, array)) => return Ok(Label::Gpt(Table { header, array, from: Copy::Primary })),
        Err(fault) => fault,
    };
    if fault == Fault::Signature {
        if let Some(table) = other_sector_size(disk)? {
            return Err(TableError::SectorSize { device: device.to_owned(), table, disk: disk.sector_size() });
        }
        return Err(TableError::Missing { device: device.to_owned() });
    }
    let damaged = |backup| TableError::Damaged { device: device.to_owned(), source: fault, backup };
    let (mut header, array) = read_copy(disk, last_lba(disk)?)?.map_err(damaged)?;
    header.this_lba = 1;
    header.other_lba = last_lba(disk)?;
    // Where the primary array was, if its header still says so.
    let sector1 = sector_at(disk, u64::from(disk.sector_size()))?;
    header.array_lba = Header::parse(&sector1).map_or(2, |primary| primary.array_lba);
    if header.array_lba < 2
        || header.array_lba.saturating_add(header.array_sectors(disk.sector_size())) > header.first_usable
    {
        return Err(damaged(Fault::Geometry));
    }
    Ok(Label::Gpt(Table { header, array, from: Copy::Backup }))
}

/// More than anybody has; a chain that leads back to itself ends there.
const MOST_LOGICAL: u32 = 60;

/// The logical partitions, numbered as the kernel numbers them: along the chain, the used ones.
fn logical(disk: &dyn Sectors, entries: &[Primary]) -> Result<Vec<Primary>, TableError> {
    let Some(extended) = entries.iter().find(|entry| mbr::is_extended(entry)) else { return Ok(Vec::new()) };
    let sector = u64::from(disk.sector_size());
    let sectors = disk.size() / sector;
    let (mut found, mut next) = (Vec::new(), Some(extended.first_lba));
    for _ in 0..MOST_LOGICAL {
        let Some(lba) = next.filter(|&lba| lba != 0 && u64::from(lba) < sectors) else { break };
        let bytes = sector_at(disk, u64::from(lba) * sector)?;
        let Some(record) = mbr::extended(&bytes, lba, extended.first_lba) else { break };
        if let Some(partition) = record.partition {
            let number = 5 + u32::try_from(found.len()).unwrap_or(u32::MAX - 5);
            found.push(Primary { number, ..partition });
        }
        next = record.next.filter(|&other| other > lba);
    }
    Ok(found)
}

impl Table {
    /// An empty table for a whole disk.
    pub fn fresh(disk: &dyn Sectors, disk_guid: Uuid) -> Result<Self, TableError> {
        let array = Array::empty(disk.sector_size());
        let mut header = Header {
            revision: REVISION,
            this_lba: 1,
            other_lba: 0,
            first_usable: 0,
            last_usable: 0,
            disk_guid,
            array_lba: 2,
            entry_count: array.entry_count(),
            entry_size: 128,
            array_crc: 0,
            extra: Vec::new(),
        };
        header.first_usable = 2 + header.array_sectors(disk.sector_size());
        let mut table = Self { header, array, from: Copy::Primary };
        table.fit(disk)?;
        Ok(table)
    }

    pub fn partitions(&self) -> Vec<Partition> {
        self.array.partitions()
    }

    /// Makes the table end where the disk does. Fails if a partition reaches beyond that or overlaps another.
    pub fn fit(&mut self, disk: &dyn Sectors) -> Result<(), TableError> {
        let last = last_lba(disk)?;
        let reserved = self.header.array_sectors(disk.sector_size());
        let last_usable = last.checked_sub(reserved + 1).filter(|&lba| lba >= self.header.first_usable);
        let last_usable = last_usable.ok_or_else(|| TableError::TooSmall { device: disk.path().to_owned() })?;
        let mut partitions = self.partitions();
        partitions.sort_by_key(|partition| partition.first_lba);
        let mut free = self.header.first_usable;
        for partition in &partitions {
            if partition.first_lba < free || partition.last_lba > last_usable {
                return Err(TableError::Impossible { device: disk.path().to_owned(), number: partition.number });
            }
            free = partition.last_lba + 1;
        }
        self.header.last_usable = last_usable;
        self.header.other_lba = last;
        Ok(())
    }

    /// Writes both copies and the protective MBR; returns how many writes that took: none if all was there already.
    ///
    /// The copy that the table was read from is written last, so that at every instant one copy is valid, old or new.
    /// A superseded backup at `previous_backup` loses its header: it must not be taken for a table later.
    pub fn store(&self, disk: &dyn Sectors, previous_backup: Option<u64>) -> Result<u32, TableError> {
        let sector0 = sector_at(disk, 0)?;
        // A hybrid MBR was put there on purpose.
        let protective = (mbr::parse(&sector0) != Mbr::Hybrid).then(|| protected(disk, sector0));
        self.commit(disk, protective, previous_backup)
    }

    /// Like [`Table::store`], over whatever table and boot code there was.
    pub fn store_fresh(&self, disk: &dyn Sectors) -> Result<u32, TableError> {
        self.commit(disk, Some(protected(disk, vec![0; disk.sector_size() as usize])), None)
    }

    fn commit(
        &self,
        disk: &dyn Sectors,
        sector0: Option<Vec<u8>>,
        previous_backup: Option<u64>,
    ) -> Result<u32, TableError> {
        let sector_size = disk.sector_size();
        let sector = u64::from(sector_size);
        let mut primary = self.header.clone();
        primary.array_crc = self.array.crc();
        let mut backup = primary.clone();
        backup.this_lba = primary.other_lba;
        backup.other_lba = primary.this_lba;
        backup.array_lba = backup.this_lba.saturating_sub(primary.array_sectors(sector_size));

        let copy = |header: &Header| {
            vec![
                (header.array_lba * sector, self.array.bytes().to_vec()),
                (header.this_lba * sector, header.encode(sector_size)),
            ]
        };
        // The copy that was read is written last. The superseded backup goes while the old primary still says where it is,
        // so that a cut cannot make it unfindable.
        let mut writes = match self.from {
            Copy::Primary => {
                let stale = self.stale_backup(disk, previous_backup)?;
                vec![copy(&backup), stale.into_iter().collect(), copy(&primary)]
            }
            Copy::Backup => vec![copy(&primary), copy(&backup)],
        };
        // After both copies: until here, an old MBR table is whole.
        writes.push(sector0.into_iter().map(|bytes| (0, bytes)).collect());

        let mut count = 0;
        for group in &writes {
            count += write_changed(disk, group)?;
        }
        for (offset, bytes) in writes.iter().flatten() {
            if read_bytes(disk, *offset, bytes.len())? != *bytes {
                return Err(TableError::ReadBack { device: disk.path().to_owned() });
            }
        }
        Ok(count)
    }

    /// The write that erases the header of the previous backup, if it lies in nobody's partition.
    fn stale_backup(&self, disk: &dyn Sectors, lba: Option<u64>) -> Result<Option<(u64, Vec<u8>)>, TableError> {
        let Some(lba) = lba.filter(|&lba| lba > self.header.first_usable && lba < self.header.other_lba) else {
            return Ok(None);
        };
        let offset = lba * u64::from(disk.sector_size());
        let sector = sector_at(disk, offset)?;
        let ours = Header::parse(&sector).is_ok_and(|header| header.this_lba == lba && header.other_lba == 1);
        Ok(ours.then(|| (offset, vec![0; sector.len()])))
    }
}

fn protected(disk: &dyn Sectors, mut sector0: Vec<u8>) -> Vec<u8> {
    mbr::protect(&mut sector0, disk.size() / u64::from(disk.sector_size()));
    sector0
}

/// Writes what differs and flushes; returns the number of writes.
pub(crate) fn write_changed(disk: &dyn Sectors, group: &[(u64, Vec<u8>)]) -> Result<u32, TableError> {
    let mut count = 0;
    for (offset, bytes) in group {
        if read_bytes(disk, *offset, bytes.len())? != *bytes {
            disk.write_at(*offset, bytes).map_err(|source| error(disk, "writing", source))?;
            count += 1;
        }
    }
    if count > 0 {
        disk.flush().map_err(|source| error(disk, "flushing", source))?;
    }
    Ok(count)
}

pub(crate) fn read_bytes(disk: &dyn Sectors, offset: u64, length: usize) -> Result<Vec<u8>, TableError> {
    let mut bytes = vec![0; length];
    disk.read_at(offset, &mut bytes).map_err(|source| error(disk, "reading", source))?;
    Ok(bytes)
}

pub(crate) fn sector_at(disk: &dyn Sectors, offset: u64) -> Result<Vec<u8>, TableError> {
    read_bytes(disk, offset, disk.sector_size() as usize)
}

fn error(disk: &dyn Sectors, action: &'static str, source: io::Error) -> TableError {
    TableError::Io { device: disk.path().to_owned(), action, source }
}

pub(crate) fn last_lba(disk: &dyn Sectors) -> Result<u64, TableError> {
    let sectors = disk.size() / u64::from(disk.sector_size());
    // Room for the MBR, two headers and two arrays of the smallest kind.
    if sectors < 8 {
        return Err(TableError::TooSmall { device: disk.path().to_owned() });
    }
    Ok(sectors - 1)
}

/// The copy whose header is at `lba`. Outer error: the disk cannot be read; inner: what is there is no table.
fn read_copy(disk: &dyn Sectors, lba: u64) -> Result<Result<(Header, Array), Fault>, TableError> {
    let last = last_lba(disk)?;
    let sector = u64::from(disk.sector_size());
    let header = match Header::parse(&sector_at(disk, lba * sector)?) {
        Ok(header) => header,
        Err(fault) => return Ok(Err(fault)),
    };
    if header.this_lba != lba {
        return Ok(Err(Fault::Misplaced));
    }
    let length = header.array_sectors(disk.sector_size());
    let end = header.array_lba.checked_add(length);
    if header.array_lba < 2
        || end.is_none_or(|end| end > last + 1)
        || (header.array_lba..header.array_lba + length).contains(&lba)
    {
        return Ok(Err(Fault::Geometry));
    }
    let bytes = read_bytes(disk, header.array_lba * sector, (length * sector) as usize)?;
    Ok(Array::parse(&header, bytes).map(|array| (header, array)))
}

/// The sector size for which there is a valid header where LBA 1 would be.
fn other_sector_size(disk: &dyn Sectors) -> Result<Option<u32>, TableError> {
    for size in SECTOR_SIZES.into_iter().filter(|&size| size != disk.sector_size()) {
        let sector = read_bytes(disk, u64::from(size), size as usize)?;
        if Header::parse(&sector).is_ok_and(|header| header.this_lba == 1) {
            return Ok(Some(size));
        }
    }
    Ok(None)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

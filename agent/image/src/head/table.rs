//! The partition table in the first MiB: GPT (UEFI 2.10, 5.3), MBR, or both.

/// Which tables there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    Gpt,
    Mbr,
    /// A GPT, and an MBR that tells of partitions besides the protective one.
    Hybrid,
}

/// A partition table, as far as the first MiB has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadTable {
    pub kind: TableKind,
    /// Sector sizes in bytes of the disks that the table is for. A GPT says it by its place; an MBR does not, and is for
    /// 512 unless somebody stated otherwise.
    pub sectors: Vec<u32>,
    /// Of the GPT.
    pub guid: Option<[u8; 16]>,
    /// The sector of the backup header, as the GPT tells it.
    pub backup: Option<u64>,
    /// Of the MBR.
    pub disk_signature: u32,
    /// In the order of the table. Logical partitions of an MBR are not among them: they lie behind the first MiB.
    pub partitions: Vec<HeadPartition>,
    /// False where entries lie beyond the first MiB, or an extended partition holds more.
    pub complete: bool,
}

/// A partition. GUIDs are as they are on the disk; places are in sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadPartition {
    pub number: u32,
    pub start: u64,
    /// Behind the last sector.
    pub end: u64,
    /// Of a GPT.
    pub type_guid: Option<[u8; 16]>,
    pub guid: Option<[u8; 16]>,
    pub name: Option<String>,
    pub attributes: u64,
    /// Of an MBR.
    pub mbr_type: Option<u8>,
    pub active: bool,
}

/// Sector sizes that disks have.
const SECTORS: [u32; 2] = [512, 4096];
const MOST_ENTRIES: usize = 1024;

pub fn find(head: &[u8], stated: Option<u32>) -> Option<HeadTable> {
    let gpts: Vec<(u32, HeadTable)> =
        SECTORS.into_iter().filter_map(|sector| Some((sector, gpt(head, sector)?))).collect();
    let mbr = mbr(head, stated.unwrap_or(512));
    let sectors = gpts.iter().map(|(sector, _)| *sector).collect();
    // Of two headers the one counts that somebody stated, or the first.
    let gpt = gpts.into_iter().reduce(|first, second| if stated == Some(second.0) { second } else { first });
    match (gpt, mbr) {
        (Some((_, gpt)), mbr) => {
            let hybrid = mbr.as_ref().is_some_and(|mbr| !mbr.partitions.is_empty());
            let kind = if hybrid { TableKind::Hybrid } else { TableKind::Gpt };
            let disk_signature = mbr.map_or(0, |mbr| mbr.disk_signature);
            Some(HeadTable { kind, sectors, disk_signature, ..gpt })
        }
        (None, Some(mbr)) if !mbr.partitions.is_empty() => Some(mbr),
        _ => None,
    }
}

fn gpt(head: &[u8], sector: u32) -> Option<HeadTable> {
    let header = head.get(sector as usize..)?.get(..92)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let (count, size) = (u32_at(header, 80)? as usize, (u32_at(header, 84)? as usize).max(128));
    let start = usize::try_from(u64_at(header, 72)?.checked_mul(u64::from(sector))?).ok();
    let entries = start.and_then(|start| head.get(start..)).unwrap_or_default();
    let count = count.min(MOST_ENTRIES);
    let partitions = (1..).zip(entries.chunks_exact(size).take(count)).filter_map(|(number, entry)| {
        let type_guid: [u8; 16] = entry.get(..16)?.try_into().ok()?;
        let units = entry.get(56..128)?.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        (type_guid != [0; 16]).then_some(HeadPartition {
            number,
            start: u64_at(entry, 32)?,
            end: u64_at(entry, 40)?.saturating_add(1),
            type_guid: Some(type_guid),
            guid: entry.get(16..32)?.try_into().ok(),
            name: Some(String::from_utf16_lossy(&units)),
            attributes: u64_at(entry, 48)?,
            mbr_type: None,
            active: false,
        })
    });
    Some(HeadTable {
        kind: TableKind::Gpt,
        sectors: vec![sector],
        guid: header.get(56..72)?.try_into().ok(),
        backup: u64_at(header, 32),
        disk_signature: 0,
        partitions: partitions.collect(),
        complete: entries.len() / size >= count,
    })
}

fn mbr(head: &[u8], sector: u32) -> Option<HeadTable> {
    if head.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let entries = head.get(446..510)?.chunks_exact(16);
    // Boot code may stand where a table would be: only these two marks are ever in one.
    if entries.clone().any(|entry| !matches!(entry.first(), Some(0 | 0x80))) {
        return None;
    }
    let used = (1..).zip(entries).filter_map(|(number, entry)| {
        let (kind, start) = (*entry.get(4)?, u64::from(u32_at(entry, 8)?));
        let size = u64::from(u32_at(entry, 12)?);
        // 0xee protects a GPT: it is no partition.
        (!matches!(kind, 0 | 0xee) && size > 0).then_some(HeadPartition {
            number,
            start,
            end: start + size,
            type_guid: None,
            guid: None,
            name: None,
            attributes: 0,
            mbr_type: Some(kind),
            active: entry.first() == Some(&0x80),
        })
    });
    let partitions: Vec<_> = used.collect();
    let extended = partitions.iter().any(|partition| matches!(partition.mbr_type, Some(0x05 | 0x0f | 0x85)));
    let (guid, backup, disk_signature) = (None, None, u32_at(head, 440)?);
    Some(HeadTable {
        kind: TableKind::Mbr,
        sectors: vec![sector],
        guid,
        backup,
        disk_signature,
        partitions,
        complete: !extended,
    })
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..offset.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

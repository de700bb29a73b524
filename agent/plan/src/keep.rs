//! Partitions that are kept while their disk is overwritten: which they are, and whether that is possible.

use super::refusal::Reason;
use burin_protocol::order::{DiskSet, KeepPick, KeepProof};
use burin_protocol::plan::Kept;
use burin_table::gpt::{self, Partition};
use burin_table::layout::{Placed, Space};
use burin_table::types;
use hwinventory_types::Disk;
use uuid::Uuid;

/// Both ends of a disk are withheld while it is written, so kept partitions must begin after this.
const HEAD: u64 = 1 << 20;

/// The kept partitions on a disk of this set, by number.
pub fn of(name: &str, set: &DiskSet, disk: &Disk, architecture: Option<&str>) -> Result<Vec<Kept>, Reason> {
    let refuse = |what: String| Err(Reason::Keep { set: name.to_owned(), disk: disk.path.clone(), what });
    if set.keep.is_empty() {
        return Ok(Vec::new());
    }
    let found = match there(disk) {
        Ok(found) => found,
        Err(what) => return refuse(what.to_owned()),
    };
    let mut kept: Vec<Kept> = Vec::new();
    for pick in &set.keep {
        let matching = || found.iter().filter(|one| is_meant(pick, one, architecture));
        if matching().next().is_none() && !pick.optional {
            return refuse(format!("no partition of it {}", words(pick)));
        }
        for one in matching() {
            match kept.iter_mut().find(|other| other.number == one.number) {
                Some(known) if pick.proof == KeepProof::All => known.proof = KeepProof::All,
                Some(_) => {}
                None => kept.push(Kept { proof: pick.proof, ..one.clone() }),
            }
        }
    }
    kept.sort_by_key(|one| one.number);
    match misplaced(&kept, disk) {
        Some(what) => refuse(what),
        None => Ok(kept),
    }
}

/// Whether the disk has a record of partitions that an earlier order kept and this one would lose.
pub fn loses(disk: &Disk, kept: &[Kept]) -> bool {
    let recorded = disk.remembered.as_ref().filter(|remembered| remembered.recorded);
    let mut partitions = recorded.into_iter().flat_map(|remembered| &remembered.partitions);
    partitions.any(|one| !kept.iter().any(|kept| kept.number == one.number && kept.start == one.start))
}

/// The partitions in the disk's GPT, or those in its record.
fn there(disk: &Disk) -> Result<Vec<Kept>, &'static str> {
    if disk.signatures.is_none() {
        return Err("what is on it could not be read");
    }
    if disk.unfinished.is_some() {
        let remembered = disk.remembered.iter().flat_map(|remembered| &remembered.partitions);
        let kept = |one: &hwinventory_types::kept::KeptPartition| Kept {
            number: one.number,
            start: one.start,
            size: one.size,
            type_guid: one.type_guid.clone(),
            guid: one.guid.clone(),
            name: one.name.clone(),
            attributes: one.attributes,
            proof: KeepProof::All,
        };
        return Ok(remembered.map(kept).collect());
    }
    match disk.partition_table.as_deref() {
        Some("gpt") => {}
        None => return Ok(Vec::new()),
        Some(_) => return Err("its partition table is no GPT, and only a GPT's partitions are kept"),
    }
    let kept = |one: &hwinventory_types::Partition| {
        Some(Kept {
            number: u32::try_from(one.number).ok()?,
            start: one.start,
            size: one.size,
            type_guid: one.kind.clone()?,
            guid: one.uuid.clone()?,
            name: one.label.clone().unwrap_or_default(),
            attributes: one.flags.unwrap_or(0),
            proof: KeepProof::All,
        })
    };
    // A partition that the kernel knows but the table does not fully describe cannot be put into another table.
    let all: Option<Vec<Kept>> = disk.partitions.iter().map(kept).collect();
    all.ok_or("the kernel knows partitions of it that its table does not have")
}

fn is_meant(pick: &KeepPick, one: &Kept, architecture: Option<&str>) -> bool {
    let same_guid = |wanted: &str, found: &str| wanted.eq_ignore_ascii_case(found);
    let kind =
        |kind: &str| types::guid(kind, architecture).is_some_and(|guid| same_guid(&guid.to_string(), &one.type_guid));
    pick.name.as_ref().is_none_or(|name| *name == one.name)
        && pick.kind.as_deref().is_none_or(kind)
        && pick.guid.as_deref().is_none_or(|guid| same_guid(guid, &one.guid))
        && pick.number.is_none_or(|number| number == one.number)
}

fn words(pick: &KeepPick) -> String {
    let name = pick.name.as_ref().map(|name| format!("is called \"{name}\""));
    let kind = pick.kind.as_ref().map(|kind| format!("has the type {kind}"));
    let guid = pick.guid.as_ref().map(|guid| format!("has the GUID {guid}"));
    let number = pick.number.map(|number| format!("has the number {number}"));
    [name, kind, guid, number].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

/// Why one of them cannot be in a table for this disk.
fn misplaced(kept: &[Kept], disk: &Disk) -> Option<String> {
    let sector = disk.logical_block_size.and_then(|size| u32::try_from(size).ok()).unwrap_or(512);
    let Some(space) = Space::fresh(disk.size, sector, 1) else {
        return (!kept.is_empty()).then(|| format!("no GPT can be made for its {sector}-byte sectors"));
    };
    let bytes = u64::from(sector);
    for one in kept {
        let what = one.words();
        if one.start < HEAD {
            return Some(format!("{what} begins in the first MiB, which is written last"));
        }
        if one.size == 0 || !one.start.is_multiple_of(bytes) || !one.size.is_multiple_of(bytes) {
            return Some(format!("{what} was not made for its {sector}-byte sectors"));
        }
        if one.end() > space.end * bytes {
            return Some(format!("{what} ends at byte {}, where the backup of the new table goes", one.end()));
        }
        let good = |text: &str| Uuid::try_parse(text).is_ok_and(|guid| !guid.is_nil());
        if !(1..=gpt::ENTRY_COUNT).contains(&one.number) || !good(&one.guid) || !good(&one.type_guid) {
            return Some(format!("a table of {} entries cannot have {what}", gpt::ENTRY_COUNT));
        }
        if !gpt::name_fits(&one.name) {
            return Some(format!("no table can have the name of {what}"));
        }
        let mut others = kept.iter().filter(|other| other.number != one.number);
        if let Some(twin) = others.find(|other| other.guid.eq_ignore_ascii_case(&one.guid)) {
            return Some(format!("{what} and {} have one GUID", twin.words()));
        }
        if let Some(other) = kept.iter().find(|other| other.number != one.number && overlap(one, other)) {
            return Some(format!("{what} and {} overlap", other.words()));
        }
    }
    None
}

fn overlap(one: &Kept, other: &Kept) -> bool {
    one.start < other.end() && other.start < one.end()
}

/// The partition as a table entry. `None` if its GUIDs are invalid.
pub fn entry(kept: &Kept, sector: u32) -> Option<Partition> {
    let sector = u64::from(sector.max(1));
    Some(Partition {
        number: kept.number,
        type_guid: kept.type_guid.parse().ok()?,
        guid: kept.guid.parse().ok()?,
        first_lba: kept.start / sector,
        last_lba: (kept.end() / sector).checked_sub(1)?,
        attributes: kept.attributes,
        name: kept.name.clone(),
    })
}

/// The free space between kept partitions, from the start of the disk.
pub fn gaps(space: Space, kept: &[Kept]) -> Vec<Space> {
    let sector = u64::from(space.sector_size);
    let mut taken: Vec<Placed> = kept.iter().map(|one| Placed { start: one.start, size: one.size }).collect();
    taken.sort_by_key(|one| one.start);
    let (mut gaps, mut start) = (Vec::new(), space.start);
    for one in taken {
        gaps.push(Space { start, end: one.start / sector, ..space });
        start = (one.start + one.size).div_ceil(sector);
    }
    gaps.push(Space { start, ..space });
    gaps.retain(|gap| gap.start < gap.end);
    gaps
}

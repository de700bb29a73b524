//! Places partitions: pure arithmetic over sizes and free space. Planner and apply both use it, so that what is planned
//! can be placed.

use super::gpt::{self, Partition};
use std::collections::BTreeSet;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// A device that claims a larger optimal I/O size than this is misreporting it.
const MAX_ALIGNMENT: u64 = 64 * MIB;
/// Sector sizes that a table may have been made for.
pub const SECTOR_SIZES: [u32; 4] = [512, 1024, 2048, 4096];

/// A partition to make. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Its number; by default the next free one.
    pub number: Option<u32>,
    pub type_guid: Uuid,
    /// Its identity: a table that already has it is not given it twice. See [`super::guid::derived`].
    pub guid: Uuid,
    pub name: String,
    pub attributes: u64,
    /// Rounded up to the alignment.
    pub min: u64,
    /// Equal to `min` for a fixed size; none takes what is left, shared equally with others that grow.
    pub max: Option<u64>,
}

/// Why partitions cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("the partitions need {need} bytes; {have} are free")]
    DoesNotFit { need: u64, have: u64 },
    #[error("partition \"{name}\": the minimum size is zero or larger than the maximum")]
    Size { name: String },
    #[error("partition \"{name}\": a name has at most 36 UTF-16 units")]
    Name { name: String },
    #[error("partition \"{name}\": number {number} is taken or outside the table")]
    Number { name: String, number: u32 },
    #[error("partition \"{name}\": GUID {guid} is used twice")]
    Guid { name: String, guid: Uuid },
    #[error("partition \"{name}\": its size must be fixed while an existing partition grows")]
    BothGrow { name: String },
    #[error("partition \"{name}\": the nil GUID stands for an unused entry")]
    Nil { name: String },
}

/// Partition alignment in bytes: 1 MiB, or a multiple of it that the disk's optimal I/O size (such as a RAID volume's
/// stripe) divides. 0 where the disk does not say.
pub fn alignment(optimal_io_size: u64) -> u64 {
    if optimal_io_size == 0 || MIB.is_multiple_of(optimal_io_size) {
        return MIB;
    }
    // Some bridges report nonsense such as 65535 sectors; nobody gains from such an alignment.
    let common = (MIB / greatest_common_divisor(MIB, optimal_io_size)).checked_mul(optimal_io_size);
    common.filter(|&common| common <= MAX_ALIGNMENT).unwrap_or(MIB)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// What partitions of these sizes take at most when they are added behind each other at the end of a disk. Bytes.
///
/// A partition that grows and leaves so much free ends where they can begin: both ends lie on the grid of `alignment`.
pub fn reserve(sizes: &[u64], alignment: u64) -> u64 {
    let grid = alignment.max(1);
    let whole = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(round_up((*size).max(1), grid)));
    // One MiB more for each was promised before alignments differed: plans of ordinary disks stay as they were.
    let promised = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size).saturating_add(MIB));
    whole.max(promised)
}

pub(crate) fn round_up(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

/// Free space and its grid, in sectors. `end` is exclusive.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    pub start: u64,
    pub end: u64,
    pub sector_size: u32,
    /// Bytes.
    pub alignment: u64,
    /// Highest partition number.
    pub numbers: u32,
}

impl Space {
    /// All that a fresh GPT of 128 entries leaves of a disk of `size` bytes. `None`: the disk has no room for one, or no
    /// sectors of a size that a table can have.
    pub fn fresh(size: u64, sector_size: u32, alignment: u64) -> Option<Self> {
        if !SECTOR_SIZES.contains(&sector_size) {
            return None;
        }
        let sector = u64::from(sector_size);
        let array = gpt::array_sectors(gpt::ENTRY_COUNT, sector_size);
        // The protective MBR, the header and its array; the other array and header at the end.
        let (start, end) = (2 + array, (size / sector).checked_sub(1 + array)?);
        (start < end).then_some(Self { start, end, sector_size, alignment, numbers: gpt::ENTRY_COUNT })
    }

    /// Sectors per step of the grid.
    pub fn step(&self) -> u64 {
        (self.alignment / u64::from(self.sector_size)).max(1)
    }

    /// Bytes per step of the grid.
    pub fn step_bytes(&self) -> u64 {
        self.step().saturating_mul(u64::from(self.sector_size))
    }

    /// The first step of the grid, and how many there are.
    fn grid(&self) -> (u64, u64) {
        let first = self.start.div_ceil(self.step());
        (first, (self.end / self.step()).saturating_sub(first))
    }
}

/// How large a partition is to be. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension {
    /// Rounded up to the grid.
    pub min: u64,
    /// Equal to `min` for a fixed size; none takes what is left.
    pub max: Option<u64>,
    /// Its share of what is left, beside the others'. 0: it stays at `min`.
    pub weight: u32,
}

/// The partitions do not fit. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSmall {
    pub need: u64,
    pub have: u64,
}

/// A place on the disk, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub start: u64,
    pub size: u64,
}

/// Where partitions of these sizes go, one behind the other from the start of `space`.
pub fn places(space: Space, wanted: &[Extension]) -> Result<Vec<Placed>, TooSmall> {
    let step = space.step_bytes();
    let (first, free) = space.grid();
    let mut next = first;
    Ok(share(wanted, free, step)?
        .into_iter()
        .map(|units| {
            let placed = Placed { start: next * step, size: units * step };
            next += units;
            placed
        })
        .collect())
}

/// Places `wanted` in order from the start of `space`. `taken` are the partitions that the table already has.
pub fn place(space: Space, taken: &[Partition], wanted: &[NewPartition]) -> Result<Vec<Partition>, LayoutError> {
    check(wanted, taken)?;
    let extensions: Vec<Extension> =
        wanted.iter().map(|new| Extension { min: new.min, max: new.max, weight: 1 }).collect();
    let placed =
        places(space, &extensions).map_err(|TooSmall { need, have }| LayoutError::DoesNotFit { need, have })?;
    let numbers = number(wanted, taken, space.numbers)?;

    let sector = u64::from(space.sector_size);
    let partition = |((new, placed), number): ((&NewPartition, Placed), u32)| Partition {
        number,
        type_guid: new.type_guid,
        guid: new.guid,
        first_lba: placed.start / sector,
        last_lba: (placed.start + placed.size) / sector - 1,
        attributes: new.attributes,
        name: new.name.clone(),
    };
    Ok(wanted.iter().zip(placed).zip(numbers).map(partition).collect())
}

/// What `wanted` needs at least, in grid steps of `step_bytes`.
pub fn needed(wanted: &[NewPartition], step_bytes: u64) -> u64 {
    wanted.iter().fold(0, |sum, new| sum.saturating_add(new.min.div_ceil(step_bytes)))
}

fn check(wanted: &[NewPartition], taken: &[Partition]) -> Result<(), LayoutError> {
    let mut guids: BTreeSet<Uuid> = taken.iter().map(|partition| partition.guid).collect();
    for new in wanted {
        let name = || new.name.clone();
        if new.min == 0 || new.max.is_some_and(|max| max < new.min) {
            return Err(LayoutError::Size { name: name() });
        }
        if !gpt::name_fits(&new.name) {
            return Err(LayoutError::Name { name: name() });
        }
        if new.guid.is_nil() || new.type_guid.is_nil() {
            return Err(LayoutError::Nil { name: name() });
        }
        if !guids.insert(new.guid) {
            return Err(LayoutError::Guid { name: name(), guid: new.guid });
        }
    }
    Ok(())
}

/// Grid steps per partition: the least of each, then what is left by weight, none beyond its largest. What one cannot
/// take, the others get.
fn share(wanted: &[Extension], free: u64, step_bytes: u64) -> Result<Vec<u64>, TooSmall> {
    let mut units: Vec<u64> = wanted.iter().map(|one| one.min.max(1).div_ceil(step_bytes)).collect();
    let need = units.iter().fold(0u64, |sum, units| sum.saturating_add(*units));
    let Some(mut left) = free.checked_sub(need) else {
        let bytes = |steps: u64| steps.saturating_mul(step_bytes);
        return Err(TooSmall { need: bytes(need), have: bytes(free) });
    };
    let room = |one: &Extension, units: u64| one.max.map_or(u64::MAX, |max| (max / step_bytes).saturating_sub(units));
    loop {
        let growing: Vec<(usize, u64, u64)> = wanted
            .iter()
            .zip(&units)
            .enumerate()
            .map(|(index, (one, units))| (index, room(one, *units), u64::from(one.weight)))
            .filter(|(_, room, weight)| *room > 0 && *weight > 0)
            .collect();
        let weights: u64 = growing.iter().map(|(_, _, weight)| *weight).sum();
        if weights == 0 || left == 0 {
            return Ok(units);
        }
        let round = left;
        for (index, room, weight) in &growing {
            // At least one step each, so that every round ends with less.
            let part = u64::try_from(u128::from(round) * u128::from(*weight) / u128::from(weights)).unwrap_or(round);
            let part = part.max(1).min(*room).min(left);
            if let Some(units) = units.get_mut(*index) {
                *units += part;
                left -= part;
            }
        }
    }
}

/// Given numbers stay; the others get the lowest that are free, in their order. Fails with the number that is taken,
/// given twice, or outside of `1..=highest`.
pub fn numbers(given: &[Option<u32>], taken: &[u32], highest: u32) -> Result<Vec<u32>, (usize, u32)> {
    let mut used: BTreeSet<u32> = taken.iter().copied().collect();
    for (index, number) in given.iter().enumerate() {
        if let Some(number) = *number
            && (number == 0 || number > highest || !used.insert(number))
        {
            return Err((index, number));
        }
    }
    let mut free = (1..=highest).filter(|number| !used.contains(number));
    let one = |(index, number): (usize, &Option<u32>)| {
        number.or_else(|| free.next()).ok_or((index, highest.saturating_add(1)))
    };
    given.iter().enumerate().map(one).collect()
}

fn number(wanted: &[NewPartition], taken: &[Partition], highest: u32) -> Result<Vec<u32>, LayoutError> {
    let given: Vec<Option<u32>> = wanted.iter().map(|new| new.number).collect();
    let taken: Vec<u32> = taken.iter().map(|partition| partition.number).collect();
    numbers(&given, &taken, highest).map_err(|(index, number)| {
        let name = wanted.get(index).map(|new| new.name.clone()).unwrap_or_default();
        LayoutError::Number { name, number }
    })
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;

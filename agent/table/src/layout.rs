//! Where partitions go: pure arithmetic over sizes and free space.

use super::gpt::{self, Partition};
use std::collections::BTreeSet;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
/// A device that claims a larger optimal I/O size than this is misreporting it.
const MAX_ALIGNMENT: u64 = 64 * MIB;

/// A partition to make. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Its number; the next free one if unset.
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
    #[error("partition \"{name}\": the smallest size is zero or above the largest")]
    Size { name: String },
    #[error("partition \"{name}\": a name holds at most 36 UTF-16 units")]
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

/// Partition alignment in bytes: 1 MiB, or the device's optimal I/O size where that is a credible larger or odd figure.
pub fn alignment(optimal_io_size: u64) -> u64 {
    if optimal_io_size == 0 || !optimal_io_size.is_multiple_of(4096) {
        return MIB;
    }
    let common = MIB / greatest_common_divisor(MIB, optimal_io_size) * optimal_io_size;
    if common <= MAX_ALIGNMENT { common } else { MIB }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
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
    /// Sectors per step of the grid.
    pub fn step(&self) -> u64 {
        (self.alignment / u64::from(self.sector_size)).max(1)
    }
}

/// Places `wanted` in order from the start of `space`. `taken` are the partitions that the table already has.
pub fn place(space: Space, taken: &[Partition], wanted: &[NewPartition]) -> Result<Vec<Partition>, LayoutError> {
    check(wanted, taken)?;
    let step = space.step();
    let first = space.start.div_ceil(step);
    let free = (space.end / step).saturating_sub(first);
    let units = share(wanted, free, step * u64::from(space.sector_size))?;
    let numbers = number(wanted, taken, space.numbers)?;

    let mut next = first;
    let mut placed = Vec::with_capacity(wanted.len());
    for ((new, units), number) in wanted.iter().zip(units).zip(numbers) {
        placed.push(Partition {
            number,
            type_guid: new.type_guid,
            guid: new.guid,
            first_lba: next * step,
            last_lba: (next + units) * step - 1,
            attributes: new.attributes,
            name: new.name.clone(),
        });
        next += units;
    }
    Ok(placed)
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

/// Grid steps per partition: the minimum each, then what is left in equal shares up to each one's maximum.
fn share(wanted: &[NewPartition], free: u64, step_bytes: u64) -> Result<Vec<u64>, LayoutError> {
    let need = needed(wanted, step_bytes);
    let Some(mut left) = free.checked_sub(need) else {
        let bytes = |steps: u64| steps.saturating_mul(step_bytes);
        return Err(LayoutError::DoesNotFit { need: bytes(need), have: bytes(free) });
    };
    let limit = |new: &NewPartition| new.max.map_or(u64::MAX, |max| max / step_bytes);
    let mut units: Vec<u64> = wanted.iter().map(|new| new.min.div_ceil(step_bytes)).collect();
    loop {
        let growing = wanted.iter().zip(&units).filter(|(new, units)| **units < limit(new)).count() as u64;
        if growing == 0 || left == 0 {
            return Ok(units);
        }
        let each = (left / growing).max(1);
        for (new, units) in wanted.iter().zip(&mut units) {
            let more = each.min(limit(new).saturating_sub(*units)).min(left);
            *units += more;
            left -= more;
        }
    }
}

fn number(wanted: &[NewPartition], taken: &[Partition], highest: u32) -> Result<Vec<u32>, LayoutError> {
    let mut used: BTreeSet<u32> = taken.iter().map(|partition| partition.number).collect();
    for new in wanted {
        if let Some(number) = new.number
            && (number == 0 || number > highest || !used.insert(number))
        {
            return Err(LayoutError::Number { name: new.name.clone(), number });
        }
    }
    // Past what is there, so that numbers follow the order on the disk.
    let mut next = taken.iter().map(|partition| partition.number).max().unwrap_or(0);
    let mut numbers = Vec::with_capacity(wanted.len());
    for new in wanted {
        let number = match new.number {
            Some(number) => number,
            None => {
                next += 1;
                while used.contains(&next) {
                    next += 1;
                }
                if next > highest {
                    return Err(LayoutError::Number { name: new.name.clone(), number: next });
                }
                used.insert(next);
                next
            }
        };
        numbers.push(number);
    }
    Ok(numbers)
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;

//! Where the partitions of a fresh GPT go (UEFI 2.10, section 5.3): all arithmetic, in bytes.

use burin_protocol::order::{Partition, Size};

/// 128 entries of 128 bytes, the smallest table that UEFI allows.
const ENTRIES: u64 = 128 * 128;
const MIB: u64 = 1 << 20;

/// Start and size of each partition in their order, all aligned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    pub start: u64,
    pub size: u64,
}

/// The partitions do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSmall {
    pub need: u64,
    pub have: u64,
}

/// One MiB, or a multiple of it that the disk's optimal I/O size (such as a RAID volume's stripe) divides.
pub fn alignment(optimal_io_size: Option<u64>) -> u64 {
    match optimal_io_size.unwrap_or(0) {
        0 => MIB,
        size if MIB.is_multiple_of(size) => MIB,
        // Some disks report nonsense such as 0xffff blocks; beyond 64 MiB nobody gains from alignment.
        size => lcm(MIB, size).filter(|both| *both <= 64 * MIB).unwrap_or(MIB),
    }
}

fn lcm(a: u64, b: u64) -> Option<u64> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).checked_mul(b)
}

fn round_up(value: u64, to: u64) -> u64 {
    value.checked_next_multiple_of(to).unwrap_or(u64::MAX)
}

/// Places the partitions on a disk of `disk_size` bytes.
pub fn place(partitions: &[Partition], disk_size: u64, block: u64, alignment: u64) -> Result<Vec<Placed>, TooSmall> {
    // Protective MBR, header and entries at the start; entries and header at the end.
    let head = round_up(2 * block + ENTRIES, alignment);
    let tail = disk_size.saturating_sub(ENTRIES.next_multiple_of(block) + block) / alignment * alignment;
    let have = tail.saturating_sub(head);

    let least = |partition: &Partition| {
        let bytes = partition.size.or(partition.min).map_or(alignment, Size::bytes);
        round_up(bytes.max(1), alignment)
    };
    let mut sizes: Vec<u64> = partitions.iter().map(least).collect();
    let need = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
    if need > have {
        return Err(TooSmall { need, have });
    }
    share(partitions, &mut sizes, have - need, alignment);

    let mut start = head;
    Ok(sizes
        .into_iter()
        .map(|size| {
            let placed = Placed { start, size };
            start += size;
            placed
        })
        .collect())
}

/// Gives `free` bytes to the growing partitions by weight, none beyond its `max`. What one cannot take, the others get.
fn share(partitions: &[Partition], sizes: &mut [u64], free: u64, alignment: u64) {
    let mut free = free / alignment;
    let room = |partition: &Partition, size: u64| match (partition.size, partition.max) {
        (Some(_), _) => 0,
        (None, Some(max)) => (max.bytes() / alignment).saturating_sub(size / alignment),
        (None, None) => u64::MAX,
    };
    loop {
        let growing: Vec<(usize, u64, u64)> = partitions
            .iter()
            .zip(sizes.iter())
            .enumerate()
            .map(|(i, (partition, size))| (i, room(partition, *size), u64::from(partition.weight.unwrap_or(1))))
            .filter(|(_, room, weight)| *room > 0 && *weight > 0)
            .collect();
        let weights: u64 = growing.iter().map(|(_, _, weight)| *weight).sum();
        if weights == 0 || free == 0 {
            return;
        }
        let round = free;
        for (i, room, weight) in &growing {
            // The largest share is rounded up by at least one unit, so that every round ends with less.
            let part = u64::try_from(u128::from(round) * u128::from(*weight) / u128::from(weights)).unwrap_or(round);
            let part = part.max(1).min(*room).min(free);
            if let Some(size) = sizes.get_mut(*i) {
                *size += part * alignment;
                free -= part;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn partitions(list: serde_json::Value) -> Vec<Partition> {
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn fixed_and_growing_partitions_fill_the_disk() {
        let list = partitions(json!([
            {"name": "esp", "type": "esp", "size": "512MiB"},
            {"name": "root", "type": "root", "min": "10GiB", "max": "20GiB"},
            {"name": "data", "type": "linux"}
        ]));
        for block in [512, 4096] {
            let placed = place(&list, 100 << 30, block, MIB).unwrap();
            assert_eq!(placed[0], Placed { start: MIB, size: 512 * MIB });
            assert_eq!(placed[1].size, 20 << 30);
            assert_eq!(placed[2].start, placed[1].start + placed[1].size);
            let end = placed[2].start + placed[2].size;
            assert_eq!(end, (100 << 30) - MIB, "one aligned unit is left for the backup table");
        }
    }

    #[test]
    fn what_does_not_fit_says_by_how_much() {
        let list = partitions(json!([{"name": "a", "type": "linux", "size": "2GiB"}]));
        let have = (1 << 30) - 2 * MIB;
        assert_eq!(place(&list, 1 << 30, 512, MIB), Err(TooSmall { need: 2 << 30, have }));
        assert!(place(&list, 0, 512, MIB).is_err());
    }

    #[test]
    fn alignment_follows_the_disk_within_reason() {
        assert_eq!(alignment(None), MIB);
        assert_eq!(alignment(Some(65536)), MIB);
        assert_eq!(alignment(Some(3 * 65536)), 3 * MIB);
        assert_eq!(alignment(Some(33_553_920)), MIB, "0xffff blocks of 512 bytes");
    }

    proptest! {
        #[test]
        fn partitions_never_overlap_nor_leave_the_disk(
            size in 0u64..=(1 << 45),
            block in prop::sample::select(vec![512u64, 4096]),
            optimal in prop::option::of(prop::sample::select(vec![4096u64, 131_072, 196_608, 1 << 21, 33_553_920])),
            specs in prop::collection::vec(
                (prop::option::of(1u64..1 << 36), prop::option::of(1u64..1 << 34), prop::option::of(1u64..1 << 38), 0u32..5),
                0..12,
            ),
        ) {
            let list: Vec<Partition> = specs.iter().enumerate().map(|(i, (fixed, min, max, weight))| {
                let mut value = json!({"name": format!("p{i}"), "type": "linux"});
                match fixed {
                    Some(bytes) => value["size"] = json!(format!("{bytes}B")),
                    None => {
                        if let Some(min) = min { value["min"] = json!(format!("{min}B")); }
                        if let Some(max) = max { value["max"] = json!(format!("{}B", max.max(&min.unwrap_or(0)))); }
                        value["weight"] = json!(weight);
                    }
                }
                serde_json::from_value(value).unwrap()
            }).collect();
            let alignment = alignment(optimal);
            if let Ok(placed) = place(&list, size, block, alignment) {
                let mut end = 2 * block + ENTRIES;
                for (placed, partition) in placed.iter().zip(&list) {
                    prop_assert!(placed.start >= end && placed.start.is_multiple_of(alignment));
                    prop_assert!(placed.size.is_multiple_of(block));
                    if let Some(fixed) = partition.size { prop_assert!(placed.size >= fixed.bytes()); }
                    if let Some(min) = partition.min { prop_assert!(placed.size >= min.bytes()); }
                    end = placed.start + placed.size;
                }
                prop_assert!(end + ENTRIES + block <= size);
            }
        }
    }
}

//! Where the partitions of a fresh GPT go: the order's words for `burin_table`'s arithmetic.

use burin_protocol::order::{Partition, Size};
use burin_table::layout::{self, Extension, Placed, Space, TooSmall};

/// Start and size of each partition in their order, on a disk of `disk_size` bytes with sectors of `block` bytes.
pub fn place(partitions: &[Partition], disk_size: u64, block: u32, alignment: u64) -> Result<Vec<Placed>, TooSmall> {
    let wanted: Vec<Extension> = partitions.iter().map(|partition| extension(partition, alignment)).collect();
    match Space::fresh(disk_size, block, alignment) {
        Some(space) => layout::places(space, &wanted),
        None => Err(TooSmall { need: wanted.iter().fold(0, |sum, one| sum.saturating_add(one.min)), have: 0 }),
    }
}

fn extension(partition: &Partition, alignment: u64) -> Extension {
    let least = partition.size.or(partition.min).map_or(alignment, Size::bytes);
    Extension {
        min: least,
        max: partition.size.or(partition.max).map(Size::bytes),
        weight: if partition.size.is_some() { 0 } else { partition.weight.unwrap_or(1) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const ENTRIES: u64 = 128 * 128;

    use burin_table::layout::alignment;
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

    proptest! {
        #[test]
        fn partitions_never_overlap_nor_leave_the_disk(
            size in 0u64..=(1 << 45),
            block in prop::sample::select(vec![512u32, 4096]),
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
            let alignment = alignment(optimal.unwrap_or(0));
            if let Ok(placed) = place(&list, size, block, alignment) {
                let mut end = 2 * u64::from(block) + ENTRIES;
                for (placed, partition) in placed.iter().zip(&list) {
                    prop_assert!(placed.start >= end && placed.start.is_multiple_of(alignment));
                    prop_assert!(placed.size.is_multiple_of(block.into()));
                    if let Some(fixed) = partition.size { prop_assert!(placed.size >= fixed.bytes()); }
                    if let Some(min) = partition.min { prop_assert!(placed.size >= min.bytes()); }
                    end = placed.start + placed.size;
                }
                prop_assert!(end + ENTRIES + u64::from(block) <= size);
            }
        }
    }
}

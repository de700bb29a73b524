//! Places the partitions of a fresh GPT: converts the order's sizes for the arithmetic of `burin_table`.

use super::keep;
use burin_protocol::order::{Partition, Size};
use burin_protocol::plan::Kept;
use burin_table::layout::{self, Extension, Placed, Space, TooSmall};

/// Start and size of each partition, in order, on a disk of `disk_size` bytes with sectors of `block` bytes.
///
/// Kept partitions can divide the space. All new ones go into the largest gap if they fit there; otherwise each goes
/// into the first gap, from the start of the disk, that has room for it.
pub fn place(
    partitions: &[Partition],
    disk_size: u64,
    block: u32,
    alignment: u64,
    kept: &[Kept],
) -> Result<Vec<Placed>, TooSmall> {
    let wanted: Vec<Extension> = partitions.iter().map(|partition| extension(partition, alignment)).collect();
    let gaps = Space::fresh(disk_size, block, alignment).map(|space| keep::gaps(space, kept)).unwrap_or_default();
    // The first of several equal ones.
    let Some(largest) = gaps.iter().rev().max_by_key(|gap| gap.end - gap.start) else {
        return Err(TooSmall { need: wanted.iter().fold(0, |sum, one| sum.saturating_add(one.min)), have: 0 });
    };
    let together = layout::places(*largest, &wanted);
    if gaps.len() == 1 || together.is_ok() {
        return together;
    }
    scattered(&gaps, &wanted).or(together)
}

fn scattered(gaps: &[Space], wanted: &[Extension]) -> Result<Vec<Placed>, TooSmall> {
    let mut filled: Vec<(Space, Vec<(usize, Extension)>)> = gaps.iter().map(|gap| (*gap, Vec::new())).collect();
    let places = |gap: &Space, of: &[(usize, Extension)]| {
        layout::places(*gap, &of.iter().map(|(_, one)| *one).collect::<Vec<_>>())
    };
    for one in wanted.iter().copied().enumerate() {
        let has_room = |(gap, of): &&mut (Space, Vec<(usize, Extension)>)| {
            let with: Vec<_> = of.iter().copied().chain([one]).collect();
            places(gap, &with).is_ok()
        };
        let (_, of) = filled.iter_mut().find(has_room).ok_or(TooSmall { need: one.1.min, have: 0 })?;
        of.push(one);
    }
    let mut placed = Vec::new();
    for (gap, of) in &filled {
        placed.extend(of.iter().map(|(index, _)| *index).zip(places(gap, of)?));
    }
    placed.sort_by_key(|(index, _)| *index);
    Ok(placed.into_iter().map(|(_, place)| place).collect())
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
            let placed = place(&list, 100 << 30, block, MIB, &[]).unwrap();
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
        assert_eq!(place(&list, 1 << 30, 512, MIB, &[]), Err(TooSmall { need: 2 << 30, have }));
        assert!(place(&list, 0, 512, MIB, &[]).is_err());
    }

    fn kept(number: u32, start: u64, size: u64) -> Kept {
        serde_json::from_value(json!({
            "number": number, "start": start, "size": size, "type_guid": "", "guid": "", "name": "", "attributes": 0
        }))
        .unwrap()
    }

    #[test]
    fn kept_partitions_are_gone_around() {
        let list = partitions(json!([
            {"name": "esp", "type": "esp", "size": "512MiB"}, {"name": "root", "type": "root", "min": "10GiB"}
        ]));
        let start = |kept: &[Kept]| -> Vec<u64> {
            place(&list, 100 << 30, 512, MIB, kept).unwrap().iter().map(|placed| placed.start / MIB).collect()
        };
        // Behind them, in front of them, and where only the second gap is large enough for one of them.
        assert_eq!(start(&[kept(3, MIB, 40 << 30)]), [1 + 40960, 1 + 40960 + 512]);
        let placed = place(&list, 100 << 30, 512, MIB, &[kept(3, 60 << 30, 39 << 30)]).unwrap();
        assert_eq!((placed[0].start, placed[1].start + placed[1].size), (MIB, 60 << 30));
        assert_eq!(start(&[kept(3, 600 * MIB, 89 << 30)]), [1, 600 + 89 * 1024]);
        let small = place(&list, 100 << 30, 512, MIB, &[kept(3, 2 << 30, 95 << 30)]);
        assert!(small.is_err(), "{small:?}");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_never_touched(
            starts in prop::collection::vec((1u64..90_000, 1u64..30_000), 0..4),
            sizes in prop::collection::vec(1u64..20_000, 1..6),
        ) {
            let mut all: Vec<Kept> = Vec::new();
            for (number, (start, size)) in (1..).zip(&starts) {
                let one = kept(number, start * MIB, size * MIB);
                if all.iter().all(|other| other.end() <= one.start || one.end() <= other.start) && one.end() < 99 << 30 {
                    all.push(one);
                }
            }
            let list = partitions(json!(sizes.iter().enumerate().map(|(i, size)| {
                json!({"name": format!("p{i}"), "type": "linux", "min": format!("{size}MiB")})
            }).collect::<Vec<_>>()));
            if let Ok(placed) = place(&list, 100 << 30, 512, MIB, &all) {
                prop_assert_eq!(placed.len(), list.len());
                let all = all.iter().map(|one| Placed { start: one.start, size: one.size }).chain(placed);
                let mut all: Vec<Placed> = all.collect();
                all.sort_by_key(|one| one.start);
                prop_assert!(all.windows(2).all(|two| two[0].start + two[0].size <= two[1].start), "{all:?}");
            }
        }

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
            if let Ok(placed) = place(&list, size, block, alignment, &[]) {
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

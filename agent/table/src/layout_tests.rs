use super::*;
use proptest::prelude::*;

fn new(name: &str, min: u64, max: Option<u64>) -> NewPartition {
    NewPartition {
        number: None,
        type_guid: crate::guid::LINUX_GENERIC,
        guid: crate::guid::derived(&["layout", name]),
        name: name.to_owned(),
        attributes: 0,
        min,
        max,
    }
}

fn space(mib: u64, sector_size: u32) -> Space {
    let sector = u64::from(sector_size);
    Space { start: 34, end: mib * MIB / sector - 33, sector_size, alignment: MIB, numbers: 128 }
}

#[test]
fn alignment_follows_credible_devices_only() {
    for (optimal, expected) in [
        (0, MIB),
        (512, MIB),
        (4096, MIB),
        (65536, MIB),
        (MIB, MIB),
        (3 << 16, 3 * MIB),
        (4 * MIB, 4 * MIB),
        // What some USB and SAS bridges claim: 65535 sectors.
        (33_553_920, MIB),
        (1 << 30, MIB),
        (u64::MAX, MIB),
    ] {
        assert_eq!(alignment(optimal), expected, "{optimal}");
    }
}

#[test]
fn what_is_left_goes_to_those_that_grow_up_to_their_maximum() {
    let wanted = [
        new("esp", 100 * MIB, Some(100 * MIB)),
        new("root", 10 * MIB, None),
        new("swap", 10 * MIB, Some(50 * MIB)),
        new("home", 10 * MIB, None),
    ];
    let placed = place(space(1024, 512), &[], &wanted).expect("fits");
    let sizes: Vec<u64> = placed.iter().map(|partition| partition.sectors() / 2048).collect();
    // 1022 MiB between the first and the last MiB.
    assert_eq!(sizes, [100, 436, 50, 436]);
    assert_eq!(placed.iter().map(|partition| partition.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn numbers_are_kept_and_free_ones_follow() {
    let mut wanted = vec![new("a", MIB, Some(MIB)), new("b", MIB, Some(MIB)), new("c", MIB, Some(MIB))];
    wanted[0].number = Some(14);
    wanted[2].number = Some(1);
    let placed = place(space(64, 512), &[], &wanted).expect("fits");
    assert_eq!(placed.iter().map(|partition| partition.number).collect::<Vec<_>>(), [14, 2, 1]);
    wanted[1].number = Some(14);
    let error = place(space(64, 512), &[], &wanted).expect_err("14 twice");
    assert_eq!(error, LayoutError::Number { name: "b".to_owned(), number: 14 });
    wanted[1].number = Some(129);
    assert!(matches!(place(space(64, 512), &[], &wanted), Err(LayoutError::Number { number: 129, .. })));
}

#[test]
fn impossible_wishes_are_named() {
    let place = |wanted: &[NewPartition]| place(space(64, 512), &[], wanted).expect_err("impossible");
    assert_eq!(place(&[new("a", 70 * MIB, None)]), LayoutError::DoesNotFit { need: 70 * MIB, have: 62 * MIB });
    assert!(matches!(place(&[new("a", 0, None)]), LayoutError::Size { .. }));
    assert!(matches!(place(&[new("a", 2, Some(1))]), LayoutError::Size { .. }));
    assert!(matches!(place(&[new(&"n".repeat(37), 1, None)]), LayoutError::Name { .. }));
    assert!(matches!(place(&[new("a", 1, None), new("a", 1, None)]), LayoutError::Guid { .. }));
    assert!(matches!(place(&[new("a", u64::MAX, None), new("b", u64::MAX, None)]), LayoutError::DoesNotFit { .. }));
}

proptest! {
    /// Placed partitions are aligned, in order, apart, inside, and no smaller than asked.
    #[test]
    fn placements_are_sound(
        sizes in proptest::collection::vec((1u64..200 * MIB, proptest::option::of(0u64..300 * MIB)), 0..12),
        disk in 16u64..4096,
        sector in prop_oneof![Just(512u32), Just(4096)],
        alignment in prop_oneof![Just(MIB), Just(3 * MIB), Just(64 * MIB)],
    ) {
        let wanted: Vec<NewPartition> = sizes.iter().enumerate()
            .map(|(index, &(min, more))| new(&format!("p{index}"), min, more.map(|more| min + more)))
            .collect();
        let space = Space { alignment, ..space(disk, sector) };
        if let Ok(placed) = place(space, &[], &wanted) {
            let mut free = space.start;
            for (new, partition) in wanted.iter().zip(&placed) {
                prop_assert!(partition.first_lba >= free);
                prop_assert!(partition.first_lba.is_multiple_of(space.step()));
                let bytes = partition.sectors() * u64::from(sector);
                prop_assert!(bytes >= new.min);
                prop_assert!(new.max.is_none_or(|max| bytes < max + alignment));
                free = partition.last_lba + 1;
            }
            prop_assert!(free <= space.end || placed.is_empty());
        } else {
            prop_assert!(needed(&wanted, alignment) * alignment + 2 * alignment > (space.end - space.start) * u64::from(sector));
        }
    }
}

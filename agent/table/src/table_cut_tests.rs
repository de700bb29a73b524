//! Power cuts at any write, and noise where a table would be.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Power is cut after any write, with any subset of unflushed sectors lost: what is left reads as the old or the new
    /// table, and a re-run ends with the same bytes as a run that was not cut.
    #[test]
    fn a_cut_leaves_the_old_or_the_new_table(
        sector in prop_oneof![Just(512u32), Just(4096)],
        cut in 1u32..8,
        kept in proptest::collection::vec(any::<bool>(), 1..64),
        second_cut in proptest::option::of(1u32..8),
        guids in any::<bool>(),
        add in any::<bool>(),
    ) {
        let change = TableChange {
            leave: 0,
            grow: Some(Grow::Last),
            disk_guid: guids.then(|| guid::derived(&["new disk"])),
            partition_guids: if guids { vec![(1, guid::derived(&["new root"]))] } else { Vec::new() },
            add: if add { vec![fixed("data", 3, 20)] } else { Vec::new() },
            keep: Vec::new(),
        };
        let uncut = image_on(16, sector, &debian());
        adjust::adjust(&uncut, &change, MIB).expect("uncut");
        let new = gpt_of(&uncut);

        let mut disk = image_on(16, sector, &debian());
        let old = gpt_of(&disk);
        let mut keep = kept.iter().copied().cycle();
        for cut in [Some(cut), second_cut].into_iter().flatten() {
            disk.writes_left.set(cut);
            let _ = adjust::adjust(&disk, &change, MIB);
            disk = disk.power_cut(|| keep.next().unwrap_or(true));
            let left = gpt_of(&disk);
            prop_assert!(left.array == old.array || left.array == new.array);
            prop_assert!([old.header.disk_guid, new.header.disk_guid].contains(&left.header.disk_guid));
        }
        adjust::adjust(&disk, &change, MIB).expect("re-run");
        prop_assert!(*disk.bytes.borrow() == *uncut.bytes.borrow());
    }

    /// Any bytes where a table would be: an answer, never a panic.
    #[test]
    fn noise_never_panics(
        noise in proptest::collection::vec(any::<u8>(), 4096),
        at in 0usize..8192,
        valid_crc in any::<bool>(),
    ) {
        let disk = image_on(10, 512, &debian());
        {
            let mut bytes = disk.bytes.borrow_mut();
            bytes[at..at + noise.len()].copy_from_slice(&noise);
            if valid_crc {
                // Get past the checksums with nonsense behind them.
                bytes[512..520].copy_from_slice(gpt::SIGNATURE);
                bytes[524..528].copy_from_slice(&92u32.to_le_bytes());
                bytes[528..532].fill(0);
                let crc = crc32fast::hash(&bytes[512..512 + 92]);
                bytes[528..532].copy_from_slice(&crc.to_le_bytes());
            }
        }
        let _ = adjust::adjust(&disk, &grow_last(), MIB);
    }
}

//! Tables that are grown, added to and repaired: what stays, what changes, and what is refused.

use super::*;
use crate::adjust::{self, Grow, TableChange, TableReceipt};
use crate::fault_disk::FaultDisk;
use crate::gpt;
use crate::guid;
use crate::layout::NewPartition;

#[path = "table_cut_tests.rs"]
mod cuts;

const MIB: u64 = 1 << 20;
/// How long the image was that lies on a longer disk.
const IMAGE: u64 = 10 * MIB;

fn new(name: &str, min: u64, max: Option<u64>, number: Option<u32>) -> NewPartition {
    NewPartition {
        number,
        type_guid: guid::LINUX_GENERIC,
        guid: guid::derived(&["test", name]),
        name: name.to_owned(),
        attributes: 1 << 60,
        min,
        max,
    }
}

fn fixed(name: &str, mib: u64, number: u32) -> NewPartition {
    new(name, mib * MIB, Some(mib * MIB), Some(number))
}

/// An image as Debian's cloud images are numbered, on a disk that is larger than the image was.
fn image_on(disk_mib: u64, sector: u32, partitions: &[NewPartition]) -> FaultDisk {
    let image = FaultDisk::new(IMAGE, sector);
    adjust::write_fresh(&image, guid::derived(&["disk"]), partitions, MIB).expect("fresh table");
    // Attributes, unknown bytes and boot code must survive.
    let mut bytes = image.bytes.into_inner();
    bytes[..440].fill(0x5a);
    bytes.resize((disk_mib * MIB) as usize, 0);
    FaultDisk::of(bytes, sector)
}

fn debian() -> Vec<NewPartition> {
    // On the disk in this order: 14, 15, 1.
    vec![fixed("bios", 1, 14), fixed("esp", 2, 15), fixed("root", 4, 1)]
}

fn gpt_of(disk: &FaultDisk) -> Table {
    match read(disk).expect("a valid table") {
        Label::Gpt(table) => table,
        other => panic!("not a GPT: {other:?}"),
    }
}

fn grow_last() -> TableChange {
    TableChange { grow: Some(Grow::Last), ..TableChange::default() }
}

#[test]
fn sparse_numbers_guids_attributes_and_boot_code_survive_a_grow() {
    for sector in [512, 4096] {
        let disk = image_on(64, sector, &debian());
        let before = gpt_of(&disk);
        let receipt = adjust::adjust(&disk, &grow_last(), MIB).expect("adjust");
        let after = gpt_of(&disk);
        assert_eq!(receipt.grown, Some(1));
        assert_eq!(receipt.changed.len(), 1);
        let numbers: Vec<u32> = after.partitions().iter().map(|partition| partition.number).collect();
        assert_eq!(numbers, [1, 14, 15]);
        for old in before.partitions().iter().filter(|old| old.number != 1) {
            assert_eq!(after.array.get(old.number).as_ref(), Some(old));
        }
        let (old, root) = (before.array.get(1).expect("root"), after.array.get(1).expect("root"));
        assert_eq!(root, Partition { last_lba: root.last_lba, ..old });
        // 64 MiB less the last one, which the backup table is in.
        assert_eq!((root.last_lba + 1) * u64::from(sector), 63 * MIB);
        assert_eq!(after.header.disk_guid, before.header.disk_guid);
        assert_eq!(after.header.other_lba, 64 * MIB / u64::from(sector) - 1);
        let bytes = disk.bytes.borrow();
        assert!(bytes[..440].iter().all(|&byte| byte == 0x5a), "boot code");
        let covered = u32::from_le_bytes(bytes[446 + 12..446 + 16].try_into().expect("4 bytes"));
        assert_eq!(u64::from(covered), 64 * MIB / u64::from(sector) - 1, "protective MBR");
        // The backup where the image ended is no table any more.
        let stale = IMAGE as usize - sector as usize;
        assert_ne!(&bytes[stale..stale + 8], gpt::SIGNATURE);
    }
}

#[test]
fn a_second_run_writes_nothing() {
    let disk = image_on(64, 512, &debian());
    let change = TableChange {
        add: vec![new("data", 3 * MIB, Some(3 * MIB), None)],
        disk_guid: Some(guid::derived(&["new disk"])),
        partition_guids: vec![(15, guid::derived(&["new esp"]))],
        ..grow_last()
    };
    let first = adjust::adjust(&disk, &change, MIB).expect("adjust");
    assert!(first.writes > 0);
    let written = disk.writes.get();
    let second = adjust::adjust(&disk, &change, MIB).expect("again");
    assert_eq!(disk.writes.get(), written);
    assert_eq!(second, TableReceipt { writes: 0, changed: Vec::new(), ..first });
}

#[test]
fn an_added_partition_lies_at_the_end_and_the_root_grows_up_to_it() {
    let disk = image_on(64, 512, &debian());
    let change = TableChange { add: vec![new("data", 3 * MIB, Some(3 * MIB), None)], ..grow_last() };
    adjust::adjust(&disk, &change, MIB).expect("adjust");
    let table = gpt_of(&disk);
    let (root, data) =
        (table.array.get(1).expect("root"), table.array.get(2).expect("data, under the lowest free number"));
    assert_eq!((root.last_lba + 1, data.last_lba + 1), (60 * 2048, 63 * 2048));
    assert_eq!(data.first_lba, root.last_lba + 1);
}

#[test]
fn growing_a_partition_in_the_middle_stops_at_its_neighbour() {
    let disk = image_on(64, 512, &debian());
    let change = TableChange { grow: Some(Grow::Number(15)), ..TableChange::default() };
    let before = gpt_of(&disk).partitions();
    let receipt = adjust::adjust(&disk, &change, MIB).expect("adjust");
    assert_eq!(gpt_of(&disk).partitions(), before);
    assert!(receipt.changed.is_empty());
    let missing = TableChange { grow: Some(Grow::Number(7)), ..TableChange::default() };
    let error = adjust::adjust(&disk, &missing, MIB).expect_err("no such partition");
    assert_eq!(error.code(), "finalize.no_partition");
}

#[test]
fn an_image_for_the_other_sector_size_is_named() {
    for (made, disk) in [(512, 4096), (4096, 512)] {
        let bytes = image_on(64, made, &debian()).bytes.into_inner();
        let error = read(&FaultDisk::of(bytes, disk)).expect_err("wrong sector size");
        assert_eq!(error.code(), "finalize.sector_size");
        assert!(matches!(error, TableError::SectorSize { table, disk: d, .. } if table == made && d == disk));
    }
}

#[test]
fn a_withheld_first_mebibyte_is_no_table_whatever_the_backup_says() {
    let disk = image_on(10, 512, &debian());
    disk.bytes.borrow_mut()[..MIB as usize].fill(0);
    assert_eq!(read(&disk).expect_err("nothing there").code(), "finalize.table_missing");
}

#[test]
fn a_damaged_primary_is_restored_from_the_backup() {
    // A byte of an entry, of the header's fields, and of its checksum.
    for offset in [1024 + 40, 512 + 72, 512 + 16] {
        let disk = image_on(64, 512, &debian());
        adjust::adjust(&disk, &grow_last(), MIB).expect("adjust");
        let good = disk.bytes.borrow().clone();
        disk.bytes.borrow_mut()[offset] ^= 0x10;
        let receipt = adjust::adjust(&disk, &grow_last(), MIB).expect("restore");
        assert!(receipt.restored);
        assert!(*disk.bytes.borrow() == good, "offset {offset}");
    }
}

#[test]
fn both_copies_damaged_is_an_error() {
    let disk = image_on(10, 512, &debian());
    let last = disk.bytes.borrow().len() - 512;
    disk.bytes.borrow_mut()[1024] ^= 1;
    disk.bytes.borrow_mut()[last + 40] ^= 1;
    assert_eq!(read(&disk).expect_err("damaged").code(), "finalize.table_damaged");
}

#[test]
fn a_disk_smaller_than_its_image_is_refused_before_any_write() {
    let whole = image_on(10, 512, &debian()).bytes.into_inner();
    let disk = FaultDisk::of(whole[..6 * MIB as usize].to_vec(), 512);
    let error = adjust::adjust(&disk, &grow_last(), MIB).expect_err("too small");
    assert_eq!(error.code(), "finalize.table_impossible");
    assert_eq!(disk.writes.get(), 0);
}

#[test]
fn a_disk_that_does_not_keep_writes_is_caught() {
    let mut disk = image_on(64, 512, &debian());
    disk.deaf = true;
    let error = adjust::adjust(&disk, &grow_last(), MIB).expect_err("nothing was kept");
    assert_eq!(error.code(), "finalize.table_readback");
}

#[test]
fn a_hybrid_mbr_stays() {
    let disk = image_on(64, 512, &debian());
    disk.bytes.borrow_mut()[462 + 4] = 0x0c;
    disk.bytes.borrow_mut()[462 + 12] = 9;
    let sector0 = disk.bytes.borrow()[..512].to_vec();
    adjust::adjust(&disk, &grow_last(), MIB).expect("adjust");
    assert_eq!(disk.bytes.borrow()[..512], sector0);
}

#[test]
fn the_last_primary_partition_of_an_mbr_grows() {
    let disk = FaultDisk::new(64 * MIB, 512);
    {
        let mut bytes = disk.bytes.borrow_mut();
        bytes[..440].fill(0x5a);
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        // One partition of 8 MiB at 1 MiB, active; another of 4 MiB behind it.
        bytes[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 0, 0]);
        bytes[462..478].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 0x48, 0, 0, 0, 0x20, 0, 0]);
    }
    let receipt = adjust::adjust(&disk, &grow_last(), MIB).expect("adjust");
    assert_eq!((receipt.label.as_str(), receipt.grown, receipt.writes), ("mbr", Some(2), 1));
    assert_eq!(receipt.partitions[1].length, 55 * MIB);
    assert_eq!(receipt.changed[0].before.as_ref().map(|extent| extent.length), Some(4 * MIB));
    assert_eq!(disk.bytes.borrow()[446], 0x80);
    assert_eq!(adjust::adjust(&disk, &grow_last(), MIB).expect("again").writes, 0);
    for change in [
        TableChange { grow: Some(Grow::Number(1)), ..TableChange::default() },
        TableChange { disk_guid: Some(guid::ESP), ..TableChange::default() },
    ] {
        assert_eq!(adjust::adjust(&disk, &change, MIB).expect_err("refused").code(), "finalize.mbr_unsupported");
    }
}

#[test]
fn an_mbr_gets_one_partition_more_at_its_end() {
    let two = || {
        let disk = FaultDisk::new(64 * MIB, 512);
        {
            let mut bytes = disk.bytes.borrow_mut();
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            bytes[446..462].copy_from_slice(&[0x80, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 0x40, 0, 0]);
            bytes[478..494].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 0x48, 0, 0, 0, 0x20, 0, 0]);
        }
        disk
    };
    let new = |min, type_guid| NewPartition {
        number: None,
        type_guid,
        guid: guid::derived(&["x"]),
        name: "config-2".to_owned(),
        attributes: 0,
        min,
        max: Some(min),
    };
    let add = |min| TableChange { add: vec![new(min, crate::types::LINUX)], ..TableChange::default() };
    let disk = two();
    // The last one grows up to where the new one will begin.
    let grow = TableChange { leave: 8 * MIB, ..grow_last() };
    assert_eq!(adjust::adjust(&disk, &grow, MIB).expect("grows").partitions[1].length, 47 * MIB);
    let receipt = adjust::adjust(&disk, &add(8 * MIB - 512), MIB).expect("adds");
    let added: Vec<(u32, u64, u64)> =
        receipt.partitions.iter().map(|one| (one.number, one.start / MIB, one.length / MIB)).collect();
    assert_eq!(added, [(1, 1, 8), (2, 56, 8), (3, 9, 47)], "the free slot, at the end");
    assert_eq!((receipt.writes, receipt.changed.len(), receipt.changed[0].before.is_none()), (1, 1, true));
    assert_eq!(disk.bytes.borrow()[466], 0x83);
    assert_eq!(adjust::adjust(&disk, &add(8 * MIB - 512), MIB).expect("again").writes, 0);
    let refused = |disk: &FaultDisk, change: &TableChange| {
        let before = disk.bytes.borrow().clone();
        let code = adjust::adjust(disk, change, MIB).expect_err("refused").code();
        assert!(*disk.bytes.borrow() == before);
        code
    };
    assert_eq!(refused(&disk, &add(MIB)), "finalize.layout", "no room");
    assert_eq!(refused(&two(), &add(60 * MIB)), "finalize.layout");
    let other = TableChange { add: vec![new(MIB, guid::derived(&["type"]))], ..TableChange::default() };
    assert_eq!(refused(&two(), &other), "finalize.mbr_unsupported");
    let full = two();
    for slot in [462, 494] {
        full.bytes.borrow_mut()[slot..slot + 16]
            .copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 0x78, 0, 0, 1, 0, 0, 0]);
    }
    assert_eq!(refused(&full, &add(MIB)), "finalize.mbr_unsupported", "four are all that there are");
}

/// The `gpt` crate reads what we write: an independent reading of the specification.
#[test]
fn another_implementation_reads_the_same() {
    for (sector, block) in [(512, ::gpt::disk::LogicalBlockSize::Lb512), (4096, ::gpt::disk::LogicalBlockSize::Lb4096)]
    {
        let disk = image_on(64, sector, &debian());
        adjust::adjust(&disk, &grow_last(), MIB).expect("adjust");
        let ours = gpt_of(&disk);
        let bytes = std::io::Cursor::new(disk.bytes.borrow().clone());
        let theirs = ::gpt::GptConfig::new()
            .writable(false)
            .logical_block_size(block)
            .open_from_device(bytes)
            .expect("the gpt crate accepts it");
        assert_eq!(theirs.primary_header().map(|header| header.backup_lba).ok(), Some(ours.header.other_lba));
        assert_eq!(
            theirs.backup_header().map(|header| header.disk_guid.to_string()).ok(),
            Some(ours.header.disk_guid.to_string())
        );
        assert_eq!(theirs.partitions().len(), 3);
        for (number, theirs) in theirs.partitions() {
            let ours = ours.array.get(*number).expect("same number");
            assert_eq!(theirs.part_guid.to_string(), ours.guid.to_string());
            assert_eq!(
                (theirs.first_lba, theirs.last_lba, theirs.flags),
                (ours.first_lba, ours.last_lba, ours.attributes)
            );
            assert_eq!(theirs.name, ours.name);
        }
    }
}

/// A kept partition in front of the end of the disk, one behind the other, and a table that grows and gets one more.
#[test]
fn what_is_kept_comes_into_the_table_as_it_was_and_nothing_goes_there() {
    let kept = |disk: &FaultDisk, number: u32, start: u64, size: u64| {
        let sector = u64::from(disk.sector);
        Partition {
            number,
            type_guid: guid::LINUX_GENERIC,
            guid: guid::derived(&["kept", &number.to_string()]),
            first_lba: start * MIB / sector,
            last_lba: (start + size) * MIB / sector - 1,
            attributes: 1 << 59,
            name: "kept".to_owned(),
        }
    };
    for sector in [512, 4096] {
        let disk = image_on(100, sector, &debian());
        let keep = vec![kept(&disk, 5, 40, 20), kept(&disk, 2, 80, 19)];
        let change = TableChange { keep: keep.clone(), ..TableChange::default() };
        let receipt = adjust::adjust(&disk, &change, MIB).expect("both fit");
        assert_eq!(receipt.partitions.len(), 5);
        assert_eq!(adjust::adjust(&disk, &change, MIB).expect("again").writes, 0);
        let grow = TableChange { grow: Some(Grow::Last), leave: 9 * MIB, ..change.clone() };
        let grown = adjust::adjust(&disk, &grow, MIB).expect("grows");
        let of = |receipt: &TableReceipt, number: u32| {
            let one = receipt.partitions.iter().find(|one| one.number == number).expect("there");
            (one.start / MIB, (one.start + one.length) / MIB)
        };
        assert_eq!((grown.grown, of(&grown, 1)), (Some(1), (4, 31)), "not the kept one, which ends last");
        // One more behind it, and one that has room only between the kept ones.
        let add = |name: &str, mib: u64| TableChange {
            add: vec![new(name, mib * MIB, Some(mib * MIB), None)],
            ..change.clone()
        };
        assert_eq!(of(&adjust::adjust(&disk, &add("more", 8), MIB).expect("fits"), 3), (31, 39));
        assert_eq!(of(&adjust::adjust(&disk, &add("large", 18), MIB).expect("fits"), 4), (60, 78));
        assert!(matches!(adjust::adjust(&disk, &add("huge", 25), MIB), Err(TableError::Layout { .. })));
        let table = gpt_of(&disk);
        assert!(keep.iter().all(|one| table.partitions().contains(one)));
    }
    let disk = image_on(100, 512, &debian());
    let refused = |one: Partition| {
        let change = TableChange { keep: vec![one], ..TableChange::default() };
        adjust::adjust(&disk, &change, MIB).expect_err("refused").code()
    };
    assert_eq!(refused(kept(&disk, 1, 40, 20)), "finalize.layout", "its number");
    assert_eq!(refused(kept(&disk, 5, 5, 20)), "finalize.table_impossible", "its place");
    assert_eq!(refused(kept(&disk, 5, 99, 1)), "finalize.table_impossible", "the end of the disk");
    assert_eq!(
        refused(Partition { guid: guid::derived(&["test", "root"]), ..kept(&disk, 5, 40, 20) }),
        "finalize.layout"
    );
}

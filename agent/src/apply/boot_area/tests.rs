use super::*;
use crate::finalize::adjust::{self, TableChange};
use crate::finalize::fault_disk::FaultDisk;
use crate::finalize::guid;
use crate::finalize::layout::NewPartition;
use crate::finalize::table::{self, Label};
use std::path::Path;
use uuid::Uuid;

const MIB: u64 = 1 << 20;
const ORDER: &str = "order-7";

fn new(name: &str, size: u64) -> NewPartition {
    let guid = guid::derived(&[name]);
    let (name, type_guid) = (name.to_owned(), guid::LINUX_GENERIC);
    NewPartition { number: None, type_guid, guid, name, attributes: 0, min: size, max: Some(size) }
}

/// Whether firmware could find anything to start: a boot signature or a GPT header.
fn boots(disk: &FaultDisk) -> bool {
    let bytes = disk.bytes.borrow();
    let sector = disk.sector as usize;
    let gpt = |at: usize| bytes[at..].starts_with(b"EFI PART");
    bytes[510..512] == [0x55, 0xaa] || gpt(sector) || gpt(bytes.len() - sector)
}

fn shadowed<'a>(disk: &'a FaultDisk, area: &'a BootArea) -> Shadowed<'a> {
    Shadowed { disk, area }
}

#[test]
fn a_table_that_is_made_and_changed_is_nowhere_on_the_disk_before_it_is_committed() {
    for sector in [512, 4096] {
        let disk = FaultDisk::new(64 * MIB, sector);
        let area = BootArea::new(64 * MIB, sector);
        area.withhold_nothing(&disk, ORDER).unwrap();
        let over = shadowed(&disk, &area);
        adjust::write_fresh(&over, Uuid::from_u128(7), &[new("a", 8 * MIB), new("b", 8 * MIB)], MIB).unwrap();
        let change = TableChange { add: vec![new("c", 4 * MIB)], ..TableChange::default() };
        let receipt = adjust::adjust(&over, &change, MIB).unwrap();
        area.release(&disk, &receipt.partitions).unwrap();
        assert_eq!(receipt.partitions.len(), 3);
        assert!(!boots(&disk));
        assert!(matches!(table::read(&disk), Err(table::TableError::Missing { .. })));
        let sector0 = disk.bytes.borrow()[..512].to_vec();
        assert_eq!(hwinventory::model::unfinished::parse(&sector0), Some(ORDER.to_owned()));

        let committed = area.commit(&disk, ORDER).unwrap().unwrap();
        assert!(boots(&disk) && committed.head_bytes == MIB && committed.tail_bytes == MIB);
        let Label::Gpt(gpt) = table::read(&disk).unwrap() else { panic!("no GPT") };
        assert_eq!(gpt.partitions().len(), 3);
        assert_eq!(area.commit(&disk, ORDER).unwrap(), None);
    }
}

#[test]
fn both_ends_of_an_image_leave_the_disk_and_come_back_as_they_were() {
    let bytes: Vec<u8> = (0..8 * MIB).map(|at| (at / 7 % 251) as u8).collect();
    let disk = FaultDisk::of(bytes.clone(), 512);
    let area = BootArea::new(8 * MIB, 512);
    area.withhold_present(&disk, ORDER).unwrap();
    assert!(disk.bytes.borrow()[512..MIB as usize].iter().all(|byte| *byte == 0));
    assert!(disk.bytes.borrow()[7 * MIB as usize..].iter().all(|byte| *byte == 0));
    assert_eq!(disk.bytes.borrow()[MIB as usize..7 * MIB as usize], bytes[MIB as usize..7 * MIB as usize]);
    // Reads through the shadow see the image's bytes, also across the borders.
    let mut seen = vec![0; 8 * MIB as usize];
    shadowed(&disk, &area).read_at(0, &mut seen).unwrap();
    assert!(seen == bytes);
    area.commit(&disk, ORDER).unwrap();
    assert!(*disk.bytes.borrow() == bytes);
}

#[test]
fn what_lies_in_partitions_is_on_the_disk_for_the_kernel_to_find() {
    let size = 8 * MIB + 512 * 1024;
    let bytes: Vec<u8> = (0..size).map(|at| (at / 5 % 253) as u8).collect();
    let disk = FaultDisk::of(bytes.clone(), 512);
    let area = BootArea::new(size, 512);
    area.withhold_present(&disk, ORDER).unwrap();
    let extent = |start: u64, length: u64| Extent { number: 1, start, length, guid: None };
    // A partition as old tools make it: from sector 63, and almost to the end of the disk.
    area.release(&disk, &[extent(63 * 512, size - 63 * 512 - 33 * 512)]).unwrap();
    assert!(disk.bytes.borrow()[63 * 512..(size - 33 * 512) as usize] == bytes[63 * 512..(size - 33 * 512) as usize]);
    assert!(disk.bytes.borrow()[512..63 * 512].iter().all(|byte| *byte == 0));
    assert!(disk.bytes.borrow()[(size - 33 * 512) as usize..].iter().all(|byte| *byte == 0));
    // The commit does not overwrite what is written there now.
    disk.write_at(64 * 512, &[9; 512]).unwrap();
    area.commit(&disk, ORDER).unwrap();
    assert_eq!(disk.bytes.borrow()[64 * 512..65 * 512], [9; 512]);
    assert!(disk.bytes.borrow()[..63 * 512] == bytes[..63 * 512]);
}

#[test]
fn a_hybrid_partition_from_the_first_sector_lets_nothing_go() {
    let disk = FaultDisk::of(vec![7; 8 * MIB as usize], 512);
    let area = BootArea::new(8 * MIB, 512);
    area.withhold_present(&disk, ORDER).unwrap();
    area.release(&disk, &[Extent { number: 1, start: 0, length: 8 * MIB, guid: None }]).unwrap();
    assert!(disk.bytes.borrow()[512..MIB as usize].iter().all(|byte| *byte == 0));
    assert!(disk.bytes.borrow()[7 * MIB as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_cut_at_any_write_of_the_commit_leaves_all_of_it_or_no_boot_sector() {
    let mut whole = 0;
    for writes in 0..12 {
        for seed in 0..8u32 {
            let mut disk = FaultDisk::new(8 * MIB, 512);
            let area = BootArea::new(8 * MIB, 512);
            area.withhold_nothing(&disk, ORDER).unwrap();
            adjust::write_fresh(&shadowed(&disk, &area), Uuid::from_u128(7), &[new("a", 4 * MIB)], MIB).unwrap();
            disk.writes_left = std::cell::Cell::new(writes);
            let committed = area.commit(&disk, ORDER).is_ok();
            let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
            let disk = disk.power_cut(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state & 1 == 1
            });
            let first = disk.bytes.borrow()[510..512] == [0x55, 0xaa];
            // The first sector is written once everything else is on the disk and flushed.
            if first {
                whole += 1;
                assert!(matches!(table::read(&disk), Ok(Label::Gpt(_))), "{writes} writes");
            } else {
                assert!(!committed);
            }
        }
    }
    assert!(whole > 0);
}

#[test]
fn what_cannot_be_kept_or_fits_nowhere_is_an_error() {
    let mut disk = FaultDisk::new(8 * MIB, 512);
    disk.deaf = true;
    let area = BootArea::new(8 * MIB, 512);
    assert!(matches!(area.withhold_nothing(&disk, ORDER), Err(AreaError::ReadBack { .. })));
    let area = BootArea::new(8 * MIB, 512);
    let lengths = area.withhold(&FaultDisk::new(8 * MIB, 512), vec![0; 100], Vec::new(), ORDER);
    assert!(matches!(lengths, Err(AreaError::Lengths { .. })));
    assert_eq!(BootArea::new(MIB + 4096, 512).lengths(), (MIB as usize, 4096));
}

#[test]
fn either_end_counts_as_far_as_the_image_reaches() {
    let committed = |head_bytes, tail_bytes| Committed {
        device: "/dev/sda".to_owned(),
        head_bytes,
        tail_bytes,
        sha256: String::new(),
        whole: (head_bytes, tail_bytes),
    };
    let usual = committed(MIB, MIB);
    assert_eq!(usual.of_image(512, 100 * MIB), 512);
    assert_eq!(usual.of_image(10 * MIB, 100 * MIB), MIB);
    assert_eq!(usual.of_image(100 * MIB - 512, 100 * MIB), 2 * MIB - 512);
    assert_eq!(usual.of_image(100 * MIB, 100 * MIB), 2 * MIB);
    // Head and tail meet.
    assert_eq!(committed(MIB, MIB / 2).of_image(3 * MIB / 2, 3 * MIB / 2), 3 * MIB / 2);
}

/// At every moment the old table, the record, or the new table says where a kept partition is.
#[test]
fn what_is_kept_is_remembered_until_the_new_table_says_so() {
    use crate::finalize::gpt::Partition;
    use hwinventory::model::kept;
    let partition = |number| Partition {
        number,
        type_guid: guid::LINUX_GENERIC,
        guid: guid::derived(&["kept"]),
        first_lba: 20 * 2048,
        last_lba: 24 * 2048 - 1,
        attributes: 0,
        name: "kept".to_owned(),
    };
    let entry = kept::KeptPartition { number: 9, start: 20 * MIB, size: 4 * MIB, ..Default::default() };
    let bytes = kept::encode(&kept::Record { generation: 1, partitions: vec![entry] }).unwrap();
    let record = KeptRecord { place: kept::PLACES[0], bytes, stale: Vec::new() };
    let range = || std::iter::once(20 * MIB..24 * MIB);
    let knows = |disk: &FaultDisk| {
        let bytes = disk.bytes.borrow();
        let slot = |place: u64| &bytes[place as usize..place as usize + kept::SLOT];
        let recorded = kept::newest([slot(kept::PLACES[0]), slot(kept::PLACES[1])]).is_some();
        let has = |lba: usize| {
            let header = crate::finalize::gpt::Header::parse(&bytes[lba * 512..(lba + 1) * 512]);
            header.is_ok_and(|header| {
                let array = bytes[header.array_lba as usize * 512..][..128 * 128].to_vec();
                let array = crate::finalize::gpt::Array::parse(&header, array);
                array.is_ok_and(|array| array.get(9) == Some(partition(9)))
            })
        };
        (recorded, has(1) || has(bytes.len() / 512 - 1))
    };
    let (mut begun, mut ended) = (0, 0);
    for writes in 0..40 {
        for seed in 0..4u32 {
            let mut disk = FaultDisk::new(25 * MIB, 512);
            disk.bytes.borrow_mut()[20 * MIB as usize..24 * MIB as usize].fill(0x77);
            adjust::write_exact(&disk, Uuid::from_u128(1), &[partition(9)]).unwrap();
            disk.writes_left = std::cell::Cell::new(writes);
            let area = BootArea::keeping(25 * MIB, 512, KeptRanges::new(range(), None));
            area.remember(record.clone());
            assert_eq!(area.lengths(), (MIB as usize, MIB as usize));
            let go = || {
                area.mark(&disk, ORDER).ok()?;
                area.withhold_nothing(&disk, ORDER).ok()?;
                let over = shadowed(&disk, &area);
                let keep = vec![partition(9)];
                adjust::write_exact(&over, Uuid::from_u128(7), &[]).ok()?;
                let change = TableChange { keep, add: vec![new("a", 4 * MIB)], ..TableChange::default() };
                let receipt = adjust::adjust(&over, &change, MIB).ok()?;
                area.release(&disk, &receipt.partitions).ok()?;
                area.commit(&disk, ORDER).ok()?
            };
            let done = go().is_some();
            let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
            let disk = disk.power_cut(|| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state & 1 == 1
            });
            let (recorded, told) = knows(&disk);
            assert!(recorded || told, "{writes} writes");
            assert!(disk.bytes.borrow()[20 * MIB as usize..24 * MIB as usize].iter().all(|byte| *byte == 0x77));
            begun += u32::from(recorded && !told);
            if done {
                ended += 1;
                assert!(!recorded && told, "the record goes with the end of the order");
            }
        }
    }
    assert!(begun > 0 && ended > 0, "{begun} {ended}");
    // A partition that extends into the last MiB: withholding begins behind it.
    let area = BootArea::keeping(25 * MIB, 512, KeptRanges::new(std::iter::once(20 * MIB..25 * MIB - 40 * 512), None));
    assert_eq!(area.lengths(), (MIB as usize, 40 * 512));
}

#[test]
fn other_sectors_are_for_ends_that_are_on_the_disk() {
    let (device, area) = (Path::new("/dev/nvme0n1"), BootArea::new(8 * MIB + 512, 512));
    assert_eq!(area.lengths(), (MIB as usize, MIB as usize));
    area.reshape(device, 8 * MIB, 4096).unwrap();
    let disk = FaultDisk::new(8 * MIB, 4096);
    area.withhold_nothing(&disk, ORDER).unwrap();
    assert!(matches!(area.reshape(device, 8 * MIB, 512), Err(AreaError::Lengths { .. })));
    area.commit(&disk, ORDER).unwrap();
    area.reshape(device, 8 * MIB, 512).unwrap();
}

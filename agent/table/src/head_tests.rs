use super::*;
use crate::adjust;
use crate::fault_disk::FaultDisk;
use crate::guid;
use crate::layout::NewPartition;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn part(name: &str, kind: &str, number: u32) -> NewPartition {
    NewPartition {
        number: Some(number),
        type_guid: types::guid(kind, Some("x86_64")).expect("a type"),
        guid: guid::derived(&["head", name]),
        name: name.to_owned(),
        attributes: 0,
        min: 2 * MIB,
        max: Some(2 * MIB),
    }
}

fn image(sector: u32) -> Vec<u8> {
    let disk = FaultDisk::new(16 * MIB, sector);
    let parts =
        [part("bios", "bios-boot", 14), part("esp", "esp", 15), part("rootfs", "root", 1), part("s", "swap", 2)];
    adjust::write_fresh(&disk, guid::derived(&["disk"]), &parts, MIB).expect("a table");
    disk.bytes.into_inner()
}

#[test]
fn a_gpt_is_read_whatever_sectors_it_was_made_for() {
    for sector in [512, 4096] {
        let head = Head::parse(image(sector)[..MIB as usize].to_vec());
        assert_eq!((head.table, head.sector_size, head.fault), (TableKind::Gpt, Some(sector), None));
        assert_eq!(head.partitions.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 2, 14, 15]);
        assert_eq!(head.get(15).map(|one| (one.purpose, one.start, one.size)), Some((Purpose::Esp, 3 * MIB, 2 * MIB)));
        assert_eq!(head.last().map(|one| one.purpose), Some(Purpose::Swap));
        assert_eq!(head.roots().iter().map(|one| one.number).collect::<Vec<_>>(), [1]);
        assert_eq!(head.reach(), Some(9 * MIB));
        assert!(!head.boot_code && head.filesystem.is_none());
    }
}

#[test]
fn a_gpt_that_is_damaged_or_cut_off_says_so() {
    let good = image(512);
    let mut broken = good[..MIB as usize].to_vec();
    broken[1024] ^= 1;
    assert_eq!(Head::parse(broken).fault, Some(Fault::ArrayCrc));
    let short = Head::parse(good[..2048].to_vec());
    assert_eq!((short.table, short.fault), (TableKind::Gpt, Some(Fault::Length)));
}

fn mbr_image(first_lba: u32) -> Vec<u8> {
    let mut bytes = vec![0; MIB as usize];
    bytes[..16].fill(0x90);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (at, kind, first, sectors) in [(446, 0xefu8, first_lba, 2048u32), (462, 0x82, first_lba + 2048, 4096)] {
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    bytes
}

#[test]
fn an_mbr_shows_its_sector_size_where_a_filesystem_starts() {
    let plain = Head::parse(mbr_image(2048));
    assert_eq!((plain.table, plain.sector_size, plain.boot_code), (TableKind::Mbr, None, true));
    assert_eq!(plain.partitions.iter().map(|one| one.purpose).collect::<Vec<_>>(), [Purpose::Esp, Purpose::Swap]);
    for sector in [512usize, 4096] {
        let mut bytes = mbr_image(63);
        bytes[63 * sector + 82..63 * sector + 90].copy_from_slice(b"FAT32   ");
        let head = Head::parse(bytes);
        assert_eq!(head.sector_size, Some(sector as u32));
        assert_eq!(head.get(1).map(|one| one.start), Some(63 * sector as u64));
    }
}

#[test]
fn a_filesystem_alone_is_no_table_and_nothing_is_unknown() {
    let mut ext4 = vec![0; MIB as usize];
    ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
    let head = Head::parse(ext4);
    assert_eq!((head.table, head.filesystem), (TableKind::None, Some("ext4")));

    // The code of a FAT boot sector, where an MBR would have its entries.
    let mut fat = mbr_image(7);
    fat[82..90].copy_from_slice(b"FAT32   ");
    assert_eq!(Head::parse(fat).table, TableKind::None);

    // A hybrid ISO is both.
    let mut iso = mbr_image(64);
    iso[32_769..32_774].copy_from_slice(b"CD001");
    let head = Head::parse(iso);
    assert_eq!((head.table, head.filesystem), (TableKind::Mbr, Some("iso9660")));

    for nothing in [vec![0; MIB as usize], Vec::new(), b"not an image, but an error page".repeat(100)] {
        let head = Head::parse(nothing);
        assert_eq!((head.table, head.filesystem, head.boot_code), (TableKind::None, None, false));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes are parsed, and every partition of a valid table is where the table says.
    #[test]
    fn noise_never_panics(
        mut bytes in prop::collection::vec(any::<u8>(), 0..9000),
        sector in prop::sample::select(vec![0usize, 512, 1024, 2048, 4096]),
        signed in any::<bool>(),
        flips in prop::collection::vec((0usize..20_000, any::<u8>()), 0..4),
        real in any::<bool>(),
    ) {
        if real {
            bytes = image(if sector == 4096 { 4096 } else { 512 })[..(64 << 10)].to_vec();
        }
        if let Some(slot) = bytes.get_mut(sector..sector + 8) && sector > 0 { slot.copy_from_slice(gpt::SIGNATURE); }
        if let Some(slot) = bytes.get_mut(510..512) && signed { slot.copy_from_slice(&[0x55, 0xaa]); }
        for (at, byte) in flips {
            if let Some(slot) = bytes.get_mut(at) { *slot ^= byte; }
        }
        let head = Head::parse(bytes);
        head.roots();
        head.reach();
        prop_assert!(head.partitions.is_empty() || head.table != TableKind::None);
    }
}

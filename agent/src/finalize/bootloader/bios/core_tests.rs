//! Compares core images with those of GRUB's own program, if this host has it.

use super::super::resolve;
use super::*;
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

const DIRECTORY: &str = "/usr/lib/grub/i386-pc";
const CONFIG: &str = "search.fs_uuid 0123-4567 root\nset prefix=($root)/boot/grub\n";

fn part(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(DIRECTORY).join(name)).unwrap()
}

fn lacks() -> bool {
    let lacks = !Path::new(DIRECTORY).join("kernel.img").exists();
    if lacks {
        burin_skip::skip!("no grub-pc-bin here");
    }
    lacks
}

fn ours(wanted: &[&str]) -> Vec<u8> {
    let dependencies = String::from_utf8(part("moddep.lst")).unwrap();
    let modules: Vec<Vec<u8>> =
        resolve(&dependencies, wanted).iter().map(|name| part(&format!("{name}.mod"))).collect();
    build(Parts {
        diskboot: &part("diskboot.img"),
        decompressor: &part("lzma_decompress.img"),
        kernel: &part("kernel.img"),
        modules: &modules,
        config: CONFIG,
        prefix: "/boot/grub",
    })
    .unwrap()
}

/// What the decompressor would put into memory, by the lengths stored in it.
fn unpacked(core: &[u8]) -> Vec<u8> {
    let decompressor = part("lzma_decompress.img").len();
    let stage = &core[SECTOR..];
    let number = |at: usize| u32::from_le_bytes(stage[at..at + 4].try_into().unwrap()) as usize;
    let packed = &stage[decompressor..decompressor + number(COMPRESSED_SIZE)];
    let mut options = LzmaOptions::new_preset(6).unwrap();
    options.dict_size(1 << 16).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let mut filters = Filters::new();
    filters.lzma1(&options);
    let mut stream = Stream::new_raw_decoder(&filters).unwrap();
    let mut plain = Vec::with_capacity(number(UNCOMPRESSED_SIZE));
    stream.process_vec(packed, &mut plain, Action::Run).unwrap();
    assert_eq!(plain.len(), number(UNCOMPRESSED_SIZE));
    plain
}

#[test]
fn it_unpacks_to_the_bytes_of_grub_mkimage() {
    if lacks() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (config, core) = (directory.path().join("config"), directory.path().join("core.img"));
    std::fs::write(&config, CONFIG).unwrap();
    for wanted in [
        vec!["biosdisk", "part_gpt", "ext2", "search_fs_uuid"],
        vec!["biosdisk", "part_gpt", "btrfs", "search_fs_uuid", "mdraid09", "mdraid1x"],
        vec!["biosdisk", "part_gpt", "xfs", "search_fs_uuid"],
    ] {
        let made = Command::new("grub-mkimage")
            .args(["-O", "i386-pc", "-d", DIRECTORY, "-p", "/boot/grub", "-c"])
            .args([&config, Path::new("-o"), &core])
            .args(&wanted)
            .status();
        let Ok(true) = made.map(|status| status.success()) else { return burin_skip::skip!("no grub-common here") };
        let (theirs, ours) = (std::fs::read(&core).unwrap(), ours(&wanted));
        assert!(unpacked(&theirs) == unpacked(&ours), "{wanted:?}");
        // The decompressor except for two lengths, and diskboot.img except for its list.
        let decompressor = SECTOR..SECTOR + part("lzma_decompress.img").len();
        let same = |at: usize| theirs[at] == ours[at];
        let lengths = SECTOR + COMPRESSED_SIZE..SECTOR + UNCOMPRESSED_SIZE + 4;
        assert!((0..BLOCK).chain(decompressor).filter(|at| !lengths.contains(at)).all(same));
        assert!(ours.len() < theirs.len() + 2048, "{} {}", ours.len(), theirs.len());
    }
}

#[test]
fn the_place_on_the_disk_is_written_into_both_sectors() {
    if lacks() {
        return;
    }
    let core = ours(&["biosdisk", "part_gpt", "ext2", "search_fs_uuid"]);
    let placed = place(core.clone(), 2048);
    assert_eq!(placed[BLOCK..BLOCK + 8], 2049u64.to_le_bytes());
    assert_eq!(placed[BLOCK + 8..BLOCK + 10], ((core.len() / SECTOR - 1) as u16).to_le_bytes());
    assert_eq!(placed[BLOCK + 10..SECTOR], SEGMENT.to_le_bytes());
    assert!(placed[SECTOR..] == core[SECTOR..] && placed[BLOCK - 12..BLOCK] == [0; 12], "the list ends");
    let mut old = [0; SECTOR];
    old[440..510].fill(9);
    let sector = boot_sector(&part("boot.img"), &old, 2048).unwrap();
    assert_eq!(sector[KERNEL_SECTOR..KERNEL_SECTOR + 8], 2048u64.to_le_bytes());
    assert_eq!((sector[BOOT_DRIVE], &sector[DRIVE_CHECK..DRIVE_CHECK + 2]), (0xff, &[0x90, 0x90][..]));
    assert!(sector[440..510] == old[440..510] && sector[510..] == [0x55, 0xaa]);
}

#[test]
fn what_is_no_part_of_grub_is_refused() {
    let sector = [0; SECTOR];
    let parts = |kernel: &'static [u8]| Parts {
        diskboot: &sector,
        decompressor: &[0; 100],
        kernel,
        modules: &[],
        config: "",
        prefix: "",
    };
    assert!(matches!(build(parts(b"no ELF")), Err(Fault::Part(_))));
    assert!(matches!(build(Parts { diskboot: &[0; 511], ..parts(b"") }), Err(Fault::Part(_))));
    assert!(matches!(build(Parts { decompressor: &[0; 5000], ..parts(b"") }), Err(Fault::Part(_))));
    assert!(boot_sector(&[0; SECTOR], &sector, 1).is_err() && boot_sector(&[0; 100], &sector, 1).is_err());
    if lacks() {
        return;
    }
    let (kernel, noise) = (part("kernel.img"), noise(1 << 20));
    let large = build(Parts {
        diskboot: &sector,
        decompressor: &[0; 100],
        kernel: &kernel,
        modules: std::slice::from_ref(&noise),
        config: "",
        prefix: "",
    });
    assert!(matches!(large, Err(Fault::TooLarge { .. })));
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_read(mut elf in proptest::collection::vec(any::<u8>(), 0..400), headed in any::<bool>(), table in 0u8..200, count in 0u8..8) {
        if headed && elf.len() > 52 {
            elf[..6].copy_from_slice(b"\x7fELF\x01\x01");
            elf[16..20].copy_from_slice(&[2, 0, 3, 0]);
            elf[32..36].copy_from_slice(&[table, 0, 0, 0]);
            elf[46..50].copy_from_slice(&[40, 0, count, 0]);
        }
        let _ = kernel(&elf);
        let _ = boot_sector(&elf, &elf, 7);
        let _ = place(elf, u64::from(table));
    }
}

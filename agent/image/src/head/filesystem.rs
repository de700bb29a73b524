//! Detects images that consist of a single filesystem, by their magic numbers in the first MiB.

/// A filesystem without a partition table around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    pub name: &'static str,
    /// Its smallest unit in bytes, if that limits the sector size of disks.
    pub block: Option<u32>,
    /// Its size in bytes, if the superblock contains it.
    pub size: Option<u64>,
}

type Find = fn(&[u8]) -> Option<Option<u32>>;

/// Name, and the function that finds it and its block size.
const TABLE: &[(&str, Find)] = &[
    ("ntfs", |head| at(head, 3, b"NTFS    ").then(|| u16_le(head, 11))),
    ("exfat", |head| at(head, 3, b"EXFAT   ").then(|| Some(1 << head.get(108)?.clamp(&9, &12)))),
    ("vfat", |head| fat(head).then(|| u16_le(head, 11))),
    ("bitlocker", |head| at(head, 3, b"-FVE-FS-").then(|| u16_le(head, 11))),
    ("xfs", |head| at(head, 0, b"XFSB").then(|| u16_be(head, 102))),
    ("squashfs", |head| (at(head, 0, b"hsqs") || at(head, 0, b"sqsh")).then_some(None)),
    ("luks", |head| at(head, 0, b"LUKS\xba\xbe").then_some(None)),
    ("cramfs", |head| at(head, 0, &[0x45, 0x3d, 0xcd, 0x28]).then_some(None)),
    ("romfs", |head| at(head, 0, b"-rom1fs-").then_some(None)),
    ("ext", |head| at(head, 1080, &[0x53, 0xef]).then(|| 1024u32.checked_shl(u32_le(head, 1048)?.min(6)))),
    ("btrfs", |head| at(head, 0x1_0040, b"_BHRfS_M").then(|| u32_le(head, 0x1_0090))),
    ("f2fs", |head| at(head, 1024, &[0x10, 0x20, 0xf5, 0xf2]).then_some(Some(4096))),
    ("erofs", |head| at(head, 1024, &[0xe2, 0xe1, 0xf5, 0xe0]).then_some(None)),
    ("swap", |head| at(head, 4086, b"SWAPSPACE2").then_some(Some(4096))),
    ("lvm", |head| (0..4).any(|sector| at(head, sector * 512, b"LABELONE")).then_some(None)),
    ("bcachefs", |head| at(head, 4096 + 24, &BCACHEFS).then_some(None)),
    ("jfs", |head| at(head, 0x8000, b"JFS1").then_some(Some(4096))),
    ("nilfs2", |head| at(head, 1024 + 6, &[0x34, 0x34]).then_some(None)),
    ("reiserfs", |head| at(head, 0x1_0034, b"ReIsEr").then_some(None)),
    ("zfs", |head| at(head, 0x2_0000, &ZFS_UBERBLOCK).then_some(None)),
    ("ufs2", |head| at(head, 0x1_0000 + 1372, &[0x19, 0x01, 0x54, 0x19]).then_some(None)),
    ("apfs", |head| at(head, 32, b"NXSB").then_some(Some(4096))),
    ("hfsplus", |head| (at(head, 1024, b"H+\0\x04") || at(head, 1024, b"HX\0\x05")).then_some(None)),
];

const BCACHEFS: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];
const ZFS_UBERBLOCK: [u8; 8] = [0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0];

/// The filesystem at the start of `head`.
pub fn find(head: &[u8]) -> Option<Filesystem> {
    TABLE.iter().find_map(|&(name, find)| {
        // An impossible size is ignored: the magic number decides.
        let block = find(head)?.filter(|block| (512..=65536).contains(block));
        Some(Filesystem { name, block, size: size(name, head, block) })
    })
}

/// Size of the filesystem in bytes.
fn size(name: &str, head: &[u8], block: Option<u32>) -> Option<u64> {
    let block = u64::from(block.unwrap_or(0));
    match name {
        // With 64-bit block numbers the high half is in another field (INCOMPAT_64BIT, 0x80).
        "ext" => {
            let high = if u32_le(head, 1024 + 0x60)? & 0x80 != 0 { u32_le(head, 1024 + 0x150)? } else { 0 };
            (u64::from(high) << 32 | u64::from(u32_le(head, 1024 + 4)?)).checked_mul(block)
        }
        "xfs" => {
            let blocks = u64::from_be_bytes(head.get(8..16)?.try_into().ok()?);
            let bytes = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
            blocks.checked_mul(u64::from(bytes))
        }
        "vfat" => {
            let sectors = u16_le(head, 19).filter(|sectors| *sectors > 0).or_else(|| u32_le(head, 32))?;
            u64::from(sectors).checked_mul(block)
        }
        "ntfs" => u64::from_le_bytes(head.get(40..48)?.try_into().ok()?).checked_mul(block),
        "squashfs" => Some(u64::from_le_bytes(head.get(40..48)?.try_into().ok()?)),
        _ => None,
    }
}

/// FAT has no magic number: the jump, plausible sizes and one of its names must be in their places (Microsoft's FAT
/// specification, "Boot Sector and BPB").
fn fat(head: &[u8]) -> bool {
    let jump = matches!(head, [0xeb, _, 0x90, ..] | [0xe9, ..]);
    let sector = u16_le(head, 11).is_some_and(|bytes| matches!(bytes, 512 | 1024 | 2048 | 4096));
    let cluster = head.get(13).is_some_and(|sectors| sectors.is_power_of_two());
    let fats = head.get(16).is_some_and(|fats| matches!(fats, 1 | 2));
    let named =
        [b"FAT12   ", b"FAT16   ", b"FAT     "].iter().any(|name| at(head, 54, *name)) || at(head, 82, b"FAT32   ");
    jump && sector && cluster && fats && named
}

fn at(head: &[u8], offset: usize, magic: &[u8]) -> bool {
    head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
}

fn u16_le(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)))
}

fn u16_be(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(head.get(at..at + 2)?.try_into().ok()?)))
}

fn u32_le(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?))
}

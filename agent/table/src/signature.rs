//! Detects filesystems and volumes by their magic numbers in the first bytes. For hints and early refusals only: the
//! contents of disks are probed with libblkid.

/// Name (libblkid's), offset, bytes.
const SIGNATURES: &[(&str, usize, &[u8])] = &[
    // Before ext: squashfs and erofs images may be padded with anything.
    ("squashfs", 0, b"hsqs"),
    ("erofs", 1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    ("xfs", 0, b"XFSB"),
    ("btrfs", 65_600, b"_BHRfS_M"),
    ("f2fs", 1024, &[0x10, 0x20, 0xf5, 0xf2]),
    ("ext4", 1080, &[0x53, 0xef]),
    ("iso9660", 32_769, b"CD001"),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("vfat", 82, b"FAT32   "),
    ("vfat", 54, b"FAT16   "),
    ("vfat", 54, b"FAT12   "),
    ("swap", 4086, b"SWAPSPACE2"),
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    ("LVM2_member", 512, b"LABELONE"),
    ("linux_raid_member", 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("linux_raid_member", 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("bcache", 4120, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]),
];

/// What starts here.
pub fn find(bytes: &[u8]) -> Option<&'static str> {
    let there = |(_, offset, magic): &&(&str, usize, &[u8])| {
        bytes.get(*offset..offset + magic.len()).is_some_and(|found| found == *magic)
    };
    SIGNATURES.iter().find(there).map(|(name, _, _)| *name)
}

//! Reads from a superblock which volume group, pool, array or multi-device filesystem a device is a member of, where
//! libblkid does not tell. Whoever erases one member should know about the others.

use super::bytes::{ascii, hex, le32, le64, slice, u8_at};
use crate::model::Group;
use std::io;

/// Where most superblocks are that keep off the first sectors.
const USUAL: u64 = 4096;
/// Metadata of a volume group larger than this is not read: real ones have some KiB.
const MOST_LVM_TEXT: u64 = 1 << 20;

/// `kind` is libblkid's name, `size` the device's in bytes; `read` fills a buffer from an offset on, or fails.
pub fn read(
    kind: &str,
    size: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<Option<Group>> {
    let mut bytes = |at: u64, length: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        read(at, &mut bytes)?;
        Ok(bytes)
    };
    match kind {
        "btrfs" => Ok(btrfs(&bytes(65_536, 4096)?)),
        "bcachefs" => Ok(bcachefs(&bytes(USUAL, 512)?)),
        "bcache" => Ok(bcache(&bytes(USUAL, 512)?)),
        "stratis" => Ok(stratis(&bytes(512, 512)?)),
        "isw_raid_member" => {
            for sector in [512, 4096] {
                let Some(at) = size.checked_sub(2 * sector) else { continue };
                if let Some(group) = imsm(&bytes(at, 512)?) {
                    return Ok(Some(group));
                }
            }
            Ok(None)
        }
        "LVM2_member" => lvm(&mut bytes),
        _ => Ok(None),
    }
}

/// `struct btrfs_super_block` (fs/btrfs/accessors.h).
fn btrfs(block: &[u8]) -> Option<Group> {
    (slice(block, 0x40, 8)? == b"_BHRfS_M").then_some(())?;
    let name = slice(block, 0x12b, 256)?.split(|&byte| byte == 0).next().and_then(ascii);
    Some(Group { uuid: uuid(slice(block, 0x20, 16)?), name, devices: le64(block, 0x88) })
}

/// `struct bch_sb` (fs/bcachefs/bcachefs_format.h).
fn bcachefs(block: &[u8]) -> Option<Group> {
    let name = slice(block, 0x48, 32)?.split(|&byte| byte == 0).next().and_then(ascii);
    Some(Group { uuid: uuid(slice(block, 0x38, 16)?), name, devices: u8_at(block, 0x7b).map(u64::from) })
}

/// `struct cache_sb_disk` (drivers/md/bcache/bcache_ondisk.h): the UUID of the set, not of the device.
fn bcache(block: &[u8]) -> Option<Group> {
    Some(Group { uuid: uuid(slice(block, 0x38, 16)?), name: None, devices: None })
}

/// The static header of Stratis (its design document, section 8.1).
fn stratis(block: &[u8]) -> Option<Group> {
    (slice(block, 4, 8)? == b"!Stra0ti").then_some(())?;
    let pool = ascii(slice(block, 32, 32)?).filter(|text| text.len() == 32)?;
    Some(Group { uuid: Some(pool), name: None, devices: None })
}

/// Intel's metadata (mdadm, super-intel.c: `struct imsm_super`), in the last sector but one.
fn imsm(block: &[u8]) -> Option<Group> {
    (slice(block, 0, 24)? == b"Intel Raid ISM Cfg Sig. ").then_some(())?;
    let family = le32(block, 0x28)?;
    Some(Group { uuid: Some(format!("{family:08x}")), name: None, devices: u8_at(block, 0x38).map(u64::from) })
}

/// The label, the header of the physical volume, the metadata area, and the text in it (lvm2, lib/format_text/layout.h).
fn lvm(bytes: &mut dyn FnMut(u64, usize) -> io::Result<Vec<u8>>) -> io::Result<Option<Group>> {
    let head = bytes(0, 2048)?;
    let Some(area) = lvm_area(&head) else { return Ok(None) };
    let header = bytes(area, 512)?;
    let Some((at, length)) = lvm_text(area, &header) else { return Ok(None) };
    // Text that begins near the end of its area goes on behind the header: what there is of it will do.
    let text = bytes(at, length)?;
    Ok(lvm_group(&String::from_utf8_lossy(&text)))
}

/// Offset of the first metadata area.
fn lvm_area(head: &[u8]) -> Option<u64> {
    let label = (0..4).map(|sector| sector * 512).find(|&at| slice(head, at, 8) == Some(b"LABELONE"))?;
    let mut at = label + le32(head, label + 0x14)? as usize + 40;
    // Pairs of offset and size: data areas, a pair of zeros, metadata areas, a pair of zeros.
    while le64(head, at)? != 0 {
        at += 16;
    }
    le64(head, at + 16).filter(|area| *area != 0)
}

/// Where the text is that counts now, and its length.
fn lvm_text(area: u64, header: &[u8]) -> Option<(u64, usize)> {
    (slice(header, 4, 16)? == b" LVM2 x[5A%r0N*>").then_some(())?;
    let size = le64(header, 0x20)?;
    let (offset, length) = (le64(header, 0x28)?, le64(header, 0x30)?);
    let within = length.min(size.checked_sub(offset)?).min(MOST_LVM_TEXT);
    (within > 0).then_some(())?;
    Some((area.checked_add(offset)?, usize::try_from(within).ok()?))
}

/// `NAME { id = "..." ... physical_volumes { pv0 { ... } pv1 { ... } } ... }`.
fn lvm_group(text: &str) -> Option<Group> {
    let (name, rest) = text.split_once('{')?;
    let name = name.trim().rsplit(char::is_whitespace).next().filter(|name| !name.is_empty())?;
    let id = rest.split_once("id = \"")?.1.split_once('"')?.0;
    let volumes = rest.split_once("physical_volumes {").map(|(_, volumes)| volumes.split("logical_volumes {").next());
    let devices = volumes.flatten().map(|volumes| volumes.matches("dev_size = ").count() as u64);
    let printable = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
    (printable(name) && printable(id)).then(|| Group {
        uuid: Some(id.to_owned()),
        name: Some(name.to_owned()),
        devices: devices.filter(|count| *count > 0),
    })
}

/// `8-4-4-4-12`; `None` for zeros.
fn uuid(bytes: &[u8]) -> Option<String> {
    let text = hex(bytes);
    let part = |from: usize, to: usize| text.get(from..to);
    let joined = [part(0, 8)?, part(8, 12)?, part(12, 16)?, part(16, 20)?, part(20, 32)?].join("-");
    bytes.iter().any(|&byte| byte != 0).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(kind: &str, disk: &[u8]) -> Option<Group> {
        read(kind, disk.len() as u64, |at, part| {
            let at = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let end = at.checked_add(part.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            part.copy_from_slice(disk.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
        .ok()
        .flatten()
    }

    const TEXT: &str = "vg_data {\nid = \"abcdef-1234-5678-9abc-def0-1234-56789a\"\nseqno = 3\nphysical_volumes {\n\n\
        pv0 {\nid = \"x\"\ndevice = \"/dev/sda\"\ndev_size = 100\n}\npv1 {\nid = \"y\"\ndev_size = 200\n}\n}\n\
        logical_volumes {\nroot {\n}\n}\n}\n";

    fn physical_volume() -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        disk[512..520].copy_from_slice(b"LABELONE");
        disk[512 + 0x14..512 + 0x18].copy_from_slice(&32u32.to_le_bytes());
        let pairs = [(1u64 << 20, 0u64), (0, 0), (4096, 1_044_480), (0, 0)];
        for (i, (offset, size)) in pairs.into_iter().enumerate() {
            let at = 512 + 32 + 40 + i * 16;
            disk[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            disk[at + 8..at + 16].copy_from_slice(&size.to_le_bytes());
        }
        disk[4100..4116].copy_from_slice(b" LVM2 x[5A%r0N*>");
        for (at, value) in [(0x18, 4096u64), (0x20, 1_044_480), (0x28, 512), (0x30, TEXT.len() as u64)] {
            disk[4096 + at..4096 + at + 8].copy_from_slice(&value.to_le_bytes());
        }
        disk[4608..4608 + TEXT.len()].copy_from_slice(TEXT.as_bytes());
        disk
    }

    #[test]
    fn a_physical_volume_tells_its_group() {
        let group = of("LVM2_member", &physical_volume()).expect("a group");
        assert_eq!(group.name.as_deref(), Some("vg_data"));
        assert_eq!(group.uuid.as_deref(), Some("abcdef-1234-5678-9abc-def0-1234-56789a"));
        assert_eq!(group.devices, Some(2));
        // A physical volume that is in no group yet.
        assert_eq!(
            of("LVM2_member", &{
                let mut disk = physical_volume();
                disk[4096 + 0x28..4096 + 0x38].fill(0);
                disk
            }),
            None
        );
    }

    #[test]
    fn filesystems_over_several_devices_say_how_many() {
        let mut disk = vec![0; 1 << 20];
        disk[65_536 + 0x20..65_536 + 0x30].fill(0xab);
        disk[65_536 + 0x40..65_536 + 0x48].copy_from_slice(b"_BHRfS_M");
        disk[65_536 + 0x88] = 2;
        disk[65_536 + 0x12b..65_536 + 0x12f].copy_from_slice(b"pool");
        let group = of("btrfs", &disk).expect("a group");
        assert_eq!(group.uuid.as_deref(), Some("abababab-abab-abab-abab-abababababab"));
        assert_eq!((group.name.as_deref(), group.devices), (Some("pool"), Some(2)));
        assert_eq!(of("ext4", &disk), None);
    }

    #[test]
    fn intel_arrays_are_told_by_their_family() {
        for sector in [512, 4096] {
            let mut disk = vec![0; 1 << 20];
            let at = disk.len() - 2 * sector;
            disk[at..at + 24].copy_from_slice(b"Intel Raid ISM Cfg Sig. ");
            disk[at + 0x28..at + 0x2c].copy_from_slice(&0x1234_abcdu32.to_le_bytes());
            disk[at + 0x38] = 3;
            let group = of("isw_raid_member", &disk).expect("a group");
            assert_eq!((group.uuid.as_deref(), group.devices), (Some("1234abcd"), Some(3)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            noise in prop::collection::vec((0usize..70_000, any::<u8>()), 0..40),
            kind in prop::sample::select(vec!["LVM2_member", "btrfs", "bcache", "bcachefs", "stratis", "isw_raid_member", "x"]),
            real in any::<bool>(),
            length in 0usize..70_000,
        ) {
            let mut disk = if real { physical_volume() } else { vec![0; 70_000] };
            for (at, byte) in noise {
                disk[at] = byte;
            }
            disk.truncate(length.max(1));
            of(kind, &disk);
        }
    }
}

//! Removes what must not survive beyond the end of an image: backup partition tables, and RAID, LVM and filesystem
//! signatures.

use super::{CHUNK, DiskError, Mark, Target};
use burin_sys::aligned::AlignedBuf;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes zeroed at each end of a stale area. Covers the backup GPT (33 sectors), md 0.90 and 1.0 superblocks (64..128
/// KiB and 8 KiB before the end), DDF, IMSM and other firmware RAID (last sectors), the last two ZFS labels (512 KiB),
/// and at the start LVM (1st to 4th sector), LUKS, ext, XFS, btrfs (64 KiB), swap and md 1.1/1.2.
pub const MARGIN: u64 = 1 << 20;

/// Ranges to zero on a device of `size` bytes whose image ends at `end`; `stale` are the extents of old partitions.
/// Sorted, disjoint, and all within `end..size`.
pub fn beyond(end: u64, size: u64, stale: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    for area in std::iter::once(&(end..size)).chain(stale) {
        ranges.push(area.start..area.start.saturating_add(MARGIN).min(area.end));
        ranges.push(area.end.saturating_sub(MARGIN).max(area.start)..area.end);
    }
    for range in &mut ranges {
        *range = range.start.max(end)..range.end.min(size);
    }
    ranges.retain(|range| range.start < range.end);
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// Extents in bytes of the partitions now on the device; none if there is no valid table.
pub fn old_partitions(target: &Target) -> Vec<Range<u64>> {
    let sector = target.sector();
    let head = head(target);
    // The table may have been written with another sector size.
    let found = [sector, 512, 4096].map(|sector| partitions(&head, sector));
    found.into_iter().find(|extents| !extents.is_empty()).unwrap_or_default()
}

/// Extents of a GPT's partitions if the header is gone and the entries are still in their usual place after it, on a
/// disk whose start satisfies `begins`.
pub fn headless_partitions(target: &Target, begins: impl Fn(&[u8]) -> bool) -> Vec<Range<u64>> {
    let head = head(target);
    if begins(&head) { headless(&head, target.sector(), target.size()) } else { Vec::new() }
}

fn headless(head: &[u8], sector: u32, size: u64) -> Vec<Range<u64>> {
    let sector = u64::from(sector);
    let mut found = entries(head, sector.saturating_mul(2), 128, 128, sector);
    found.retain(|extent| extent.end <= size);
    found
}

fn head(target: &Target) -> Vec<u8> {
    let mut buf = AlignedBuf::zeroed(CHUNK);
    let len = usize::try_from(target.direct_size().min(CHUNK as u64)).unwrap_or(0);
    let count = target.file().read_at(&mut buf[..len], 0).unwrap_or(0);
    buf.get(..count.min(len)).unwrap_or_default().to_vec()
}

/// GPT (UEFI 2.10, 5.3), or else the four primary entries of an MBR, from the first bytes of a disk.
pub fn partitions(head: &[u8], sector: u32) -> Vec<Range<u64>> {
    let sector = u64::from(sector);
    let gpt = gpt(head, sector);
    if !gpt.is_empty() { gpt } else { mbr(head, sector) }
}

fn gpt(head: &[u8], sector: u64) -> Vec<Range<u64>> {
    let at = |offset: u64| usize::try_from(offset).ok();
    let Some(header) = at(sector).and_then(|start| head.get(start..)) else { return Vec::new() };
    if !header.starts_with(b"EFI PART") {
        return Vec::new();
    }
    let (Some(table), Some(count), Some(size)) = (u64_at(header, 72), u32_at(header, 80), u32_at(header, 84)) else {
        return Vec::new();
    };
    table.checked_mul(sector).map_or_else(Vec::new, |start| entries(head, start, count, size, sector))
}

/// `count` entries of `size` bytes, starting at byte `start`.
fn entries(head: &[u8], start: u64, count: u32, size: u32, sector: u64) -> Vec<Range<u64>> {
    let size = (size as usize).max(128);
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let entries = head.get(start..).unwrap_or_default().chunks_exact(size).take((count as usize).min(1024));
    let used = entries.filter(|entry| entry.get(..16).is_some_and(|kind| kind.iter().any(|byte| *byte != 0)));
    used.filter_map(|entry| extent(u64_at(entry, 32)?, u64_at(entry, 40)?.checked_add(1)?, sector)).collect()
}

fn mbr(head: &[u8], sector: u64) -> Vec<Range<u64>> {
    if head.get(510..512) != Some(&[0x55, 0xaa]) {
        return Vec::new();
    }
    let entries = head.get(446..510).unwrap_or_default().chunks_exact(16);
    // 0xee protects a GPT: it is not a partition.
    let used = entries.filter(|entry| !matches!(entry.get(4), None | Some(0 | 0xee)));
    let extents = used.filter_map(|entry| {
        let start = u64::from(u32_at(entry, 8)?);
        extent(start, start + u64::from(u32_at(entry, 12)?), sector)
    });
    extents.collect()
}

fn extent(start: u64, end: u64, sector: u64) -> Option<Range<u64>> {
    let range = start.checked_mul(sector)?..end.checked_mul(sector)?;
    (range.start < range.end).then_some(range)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..offset + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// Size of the largest sector, with which a mark is written.
pub const MARKED: usize = 4096;

/// The mark, zero-padded to this length.
pub fn marked(mark: &Mark, length: usize) -> AlignedBuf {
    let mut head = AlignedBuf::zeroed(length);
    head.iter_mut().zip(mark).for_each(|(place, byte)| *place = *byte);
    head
}

/// Zeros the first [`CHUNK`] of the device in one write, except for the mark, and flushes.
pub fn erase_head(target: &Target, mark: Option<&Mark>) -> Result<(), DiskError> {
    let mut head = mark.map_or_else(|| AlignedBuf::zeroed(CHUNK), |mark| marked(mark, CHUNK));
    target.kept().put_record(&mut head);
    let len = usize::try_from(target.direct_size().min(CHUNK as u64)).unwrap_or(0);
    let file = target.file();
    let mut back = AlignedBuf::zeroed(CHUNK);
    let erased = file.write_all_at(&head[..len], 0).and_then(|()| file.sync_data());
    let erased = erased.and_then(|()| file.read_exact_at(&mut back[..len], 0));
    let erased = erased.and_then(|()| match back[..len] == head[..len] {
        true => Ok(()),
        false => Err(std::io::Error::other("the old bytes are still there")),
    });
    erased.map_err(|source| target.io_error("erase the first MiB", 0, source))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn both_ends_of_the_rest_are_wiped() {
        assert_eq!(beyond(10 * MIB, 100 * MIB, &[]), [10 * MIB..11 * MIB, 99 * MIB..100 * MIB]);
        assert_eq!(beyond(10 * MIB, 11 * MIB + 5, &[]), [10 * MIB..11 * MIB + 5]);
        assert!(beyond(10 * MIB, 10 * MIB, &[]).is_empty());
    }

    #[test]
    fn old_partitions_are_wiped_only_beyond_the_image() {
        let stale = [MIB..20 * MIB, 50 * MIB..60 * MIB, 90 * MIB..u64::MAX];
        let ranges = beyond(10 * MIB, 100 * MIB, &stale);
        let wanted = [
            10 * MIB..11 * MIB,
            19 * MIB..20 * MIB,
            50 * MIB..51 * MIB,
            59 * MIB..60 * MIB,
            90 * MIB..91 * MIB,
            99 * MIB..100 * MIB,
        ];
        assert_eq!(ranges, wanted);
    }

    fn gpt_disk(sector: usize) -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[450] = 0xee;
        disk[sector..sector + 8].copy_from_slice(b"EFI PART");
        disk[sector + 72] = 2;
        disk[sector + 80] = 128;
        disk[sector + 84] = 128;
        let entry = 2 * sector + 128;
        disk[entry] = 1;
        disk[entry + 32..entry + 40].copy_from_slice(&2048u64.to_le_bytes());
        disk[entry + 40..entry + 48].copy_from_slice(&4095u64.to_le_bytes());
        disk
    }

    #[test]
    fn reads_gpt_of_both_sector_sizes_and_mbr() {
        assert_eq!(partitions(&gpt_disk(512), 512), [2048 * 512..4096 * 512]);
        assert_eq!(partitions(&gpt_disk(4096), 4096), [2048 * 4096..4096 * 4096]);
        for sector in [512, 4096] {
            let mut disk = gpt_disk(sector as usize);
            disk[..2 * sector as usize].fill(0);
            assert!(partitions(&disk, sector).is_empty());
            let sectors = u64::from(sector);
            assert_eq!(headless(&disk, sector, 1 << 30), [2048 * sectors..4096 * sectors]);
            assert!(headless(&disk, sector, 1 << 20).is_empty(), "beyond the disk");
        }
        let mut disk = vec![0; 512];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[450] = 0x83;
        disk[454] = 8;
        disk[458] = 16;
        assert_eq!(partitions(&disk, 512), [8 * 512..24 * 512]);
    }

    proptest::proptest! {
        #[test]
        fn junk_never_panics(mut head in proptest::collection::vec(proptest::num::u8::ANY, 0..3000), sector in 512u32..4097) {
            partitions(&head, sector);
            headless(&head, sector, u64::MAX);
            if head.len() > 600 {
                head[510..512].copy_from_slice(&[0x55, 0xaa]);
                head[512..520].copy_from_slice(b"EFI PART");
                partitions(&head, 512);
            }
        }

        #[test]
        fn wiping_stays_between_image_and_end(end in 0u64..1000, size in 0u64..1000, a in 0u64..2000, b in 0u64..2000) {
            let ranges = beyond(end << 12, size << 12, &[a << 12..b << 12]);
            for range in &ranges {
                proptest::prop_assert!(range.start >= end << 12 && range.end <= size << 12 && range.start < range.end);
            }
            proptest::prop_assert!(ranges.is_sorted_by(|x, y| x.end < y.start));
        }
    }
}

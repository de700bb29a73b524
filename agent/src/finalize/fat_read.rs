//! Reads directories of FAT12, FAT16 and FAT32 volumes without a driver, so that boot loaders on an EFI system
//! partition can be found even if the kernel lacks vfat. Layout as in Microsoft's "FAT: General Overview of On-Disk
//! Format" 1.03.

use super::device::Sectors;
use std::io;

const ENTRY: usize = 32;
const DIRECTORY: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG_NAME: u8 = 0x0f;
/// Directories are read up to FAT's maximum size.
const LONGEST: u64 = 65536 * ENTRY as u64;

/// A volume, described by its boot sector. Offsets in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatVolume {
    fat: u64,
    /// For FAT12 and FAT16: offset of the root directory, and its length.
    root: (u64, u64),
    /// For FAT32.
    root_cluster: u32,
    data: u64,
    cluster: u64,
    clusters: u64,
    bits: u32,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    name: String,
    directory: bool,
    cluster: u32,
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl FatVolume {
    pub fn read(device: &dyn Sectors) -> io::Result<Self> {
        let mut sector = [0; 512];
        device.read_at(0, &mut sector)?;
        Self::parse(&sector).ok_or_else(|| broken("not a FAT volume"))
    }

    /// Parses a boot sector.
    pub fn parse(sector: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| Some(u64::from(u16::from_le_bytes(sector.get(at..at + 2)?.try_into().ok()?)));
        let u32_at = |at: usize| Some(u64::from(u32::from_le_bytes(sector.get(at..at + 4)?.try_into().ok()?)));
        if sector.get(510..512)? != [0x55, 0xaa] {
            return None;
        }
        let bytes = u16_at(11).filter(|size| (512..=4096).contains(size) && size.is_power_of_two())?;
        let cluster = Some(u64::from(*sector.get(13)?)).filter(|count| count.is_power_of_two())?;
        let (reserved, fats, root_entries) = (u16_at(14)?, u64::from(*sector.get(16)?), u16_at(17)?);
        let total = u16_at(19).filter(|total| *total != 0).or(u32_at(32))?;
        let length = u16_at(22).filter(|length| *length != 0).or(u32_at(36))?;
        let root = reserved + fats * length;
        let root_sectors = (root_entries * ENTRY as u64).div_ceil(bytes);
        let data = root + root_sectors;
        let clusters = total.checked_sub(data)? / cluster;
        let bits = match clusters {
            0..4085 => 12,
            4085..65525 => 16,
            _ => 32,
        };
        Some(Self {
            fat: reserved * bytes,
            root: (root * bytes, root_entries * ENTRY as u64),
            root_cluster: u32::try_from(u32_at(44)?).ok()?,
            data: data * bytes,
            cluster: cluster * bytes,
            clusters,
            bits,
        })
    }

    /// Names in a directory; its path is case-insensitive, with `/` between names.
    pub fn list(&self, device: &dyn Sectors, path: &str) -> io::Result<Vec<String>> {
        let mut here = self.root_directory(device)?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let next = here.into_iter().find(|one| one.name.eq_ignore_ascii_case(part));
            let next = next.ok_or(io::ErrorKind::NotFound)?;
            if !next.directory {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            here = self.directory(device, next.cluster)?;
        }
        Ok(here.into_iter().map(|one| one.name).collect())
    }

    fn root_directory(&self, device: &dyn Sectors) -> io::Result<Vec<Found>> {
        if self.bits == 32 {
            return self.directory(device, self.root_cluster);
        }
        let mut bytes = vec![0; usize::try_from(self.root.1).map_err(|_| broken("a root directory too large"))?];
        device.read_at(self.root.0, &mut bytes)?;
        Ok(entries(&bytes))
    }

    fn directory(&self, device: &dyn Sectors, first: u32) -> io::Result<Vec<Found>> {
        let (mut bytes, mut next) = (Vec::new(), Some(first));
        while let Some(cluster) = next {
            let index = u64::from(cluster).checked_sub(2).filter(|index| *index < self.clusters);
            let index = index.ok_or_else(|| broken("a cluster outside of the volume"))?;
            if bytes.len() as u64 + self.cluster > LONGEST.max(self.cluster) {
                return Err(broken("a directory without an end"));
            }
            let mut piece = vec![0; usize::try_from(self.cluster).map_err(|_| broken("a cluster too large"))?];
            device.read_at(self.data + index * self.cluster, &mut piece)?;
            bytes.extend(piece);
            next = self.next(device, cluster)?;
        }
        Ok(entries(&bytes))
    }

    /// The next cluster in its chain.
    fn next(&self, device: &dyn Sectors, cluster: u32) -> io::Result<Option<u32>> {
        let at = u64::from(cluster);
        let mut bytes = [0; 4];
        let (offset, length) = match self.bits {
            12 => (at + at / 2, 2),
            16 => (at * 2, 2),
            _ => (at * 4, 4),
        };
        let field = bytes.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        device.read_at(self.fat + offset, field)?;
        let value = u32::from_le_bytes(bytes);
        let (value, end) = match self.bits {
            12 if cluster % 2 == 1 => (value >> 4, 0xff8),
            12 => (value & 0xfff, 0xff8),
            16 => (value, 0xfff8),
            _ => (value & 0x0fff_ffff, 0x0fff_fff8),
        };
        Ok((value < end).then_some(value))
    }
}

/// Parses a directory's bytes.
fn entries(bytes: &[u8]) -> Vec<Found> {
    let (mut found, mut long) = (Vec::new(), Vec::new());
    for entry in bytes.chunks_exact(ENTRY) {
        let [first, .., _] = entry else { break };
        let attributes = entry.get(11).copied().unwrap_or_default();
        match *first {
            0 => break,
            0xe5 => long.clear(),
            sequence if attributes & 0x3f == LONG_NAME => {
                // They are stored from the last to the first.
                if sequence & 0x40 != 0 {
                    long.clear();
                }
                let ranges = [1..11, 14..26, 28..32];
                let units =
                    ranges.into_iter().filter_map(|range| entry.get(range)).flat_map(|part| part.chunks_exact(2));
                let units = units.filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
                let piece: Vec<u16> = units.take_while(|unit| *unit != 0 && *unit != 0xffff).collect();
                long.splice(0..0, piece);
            }
            _ if attributes & LABEL != 0 => long.clear(),
            _ => {
                let name = if long.is_empty() { short(entry) } else { String::from_utf16_lossy(&long) };
                long.clear();
                let part =
                    |at: usize| entry.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_le_bytes);
                let cluster = u32::from(part(20)) << 16 | u32::from(part(26));
                if name != "." && name != ".." {
                    found.push(Found { name, directory: attributes & DIRECTORY != 0, cluster });
                }
            }
        }
    }
    found
}

fn short(entry: &[u8]) -> String {
    let text = |range: std::ops::Range<usize>| {
        String::from_utf8_lossy(entry.get(range).unwrap_or_default()).trim_end().to_owned()
    };
    match (text(0..8), text(8..11)) {
        (name, extension) if extension.is_empty() => name,
        (name, extension) => format!("{name}.{extension}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finalize::fat;
    use crate::finalize::fault_disk::FaultDisk;
    use proptest::prelude::*;

    #[test]
    fn what_was_made_is_listed() {
        let files: [(&str, &[u8]); 4] = [
            ("EFI/BOOT/BOOTX64.EFI", b"x"),
            ("EFI/a-name-that-is-long-enough/shimx64.efi", b"x"),
            ("EFI/BOOT/another-long-name.txt", b""),
            ("top", b"1"),
        ];
        for (sector, mib) in [(512, 1), (512, 16), (4096, 16)] {
            let bytes = fat::volume("ESP", 7, &files, sector, mib << 20).expect("a volume");
            let disk = FaultDisk::of(bytes, sector);
            let volume = FatVolume::read(&disk).expect("FAT");
            assert_eq!(volume.list(&disk, "/").expect("the root"), ["EFI", "top"]);
            assert_eq!(volume.list(&disk, "efi/boot").expect("a directory"), ["BOOTX64.EFI", "another-long-name.txt"]);
            assert_eq!(volume.list(&disk, "EFI/A-NAME-THAT-IS-LONG-ENOUGH").expect("one"), ["shimx64.efi"]);
            assert_eq!(volume.list(&disk, "top").expect_err("a file").kind(), io::ErrorKind::NotADirectory);
            assert_eq!(volume.list(&disk, "none").expect_err("nothing").kind(), io::ErrorKind::NotFound);
        }
    }

    proptest! {
        #[test]
        fn junk_never_panics(head in proptest::collection::vec(any::<u8>(), 512), fill: u8, cluster in 0u32..100) {
            let mut bytes = head;
            bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
            bytes[11..13].copy_from_slice(&512u16.to_le_bytes());
            bytes[13] = 1;
            bytes.resize(64 << 10, fill);
            let disk = FaultDisk::of(bytes, 512);
            if let Ok(volume) = FatVolume::read(&disk) {
                let _ = volume.list(&disk, "EFI/BOOT");
                let _ = volume.directory(&disk, cluster);
            }
        }
    }
}

//! Members of MD arrays (linux/raid/md_p.h) and LVM groups as left by other systems, written byte by byte, so that the
//! host's kernel needs neither md nor device mapper.

use super::{DiskFile, VmError};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

const MAGIC: u32 = 0xa92b_4efc;
const SECTOR: u64 = 512;

/// One of the two members of an old mirror.
#[derive(Debug, Clone)]
pub struct OldMember {
    /// `0.90`, `1.0`, `1.1` or `1.2`.
    pub metadata: &'static str,
    pub uuid: [u8; 16],
    /// `HOST:NAME`; version 0.90 has none.
    pub name: &'static str,
    /// 0 or 1.
    pub role: u32,
}

impl OldMember {
    /// Writes the superblock into an extent of the disk, in bytes.
    pub fn write(&self, disk: &DiskFile, extent: &Range<u64>) -> Result<(), VmError> {
        let size = extent.end - extent.start;
        let (offset, bytes) = match self.metadata {
            "0.90" => ((size / SECTOR / 128 * 128 - 128) * SECTOR, self.version_0(size)),
            "1.0" => ((size / SECTOR - 16) / 8 * 8 * SECTOR, self.version_1(size, (size / SECTOR - 16) / 8 * 8, 0)),
            "1.1" => (0, self.version_1(size, 0, 2048)),
            _ => (4096, self.version_1(size, 8, 2048)),
        };
        let path = disk.path();
        let file = File::options().write(true).open(path).map_err(VmError::file(path))?;
        file.write_all_at(&bytes, extent.start + offset).map_err(VmError::file(path))
    }

    fn version_1(&self, size: u64, place: u64, data: u64) -> Vec<u8> {
        let used = if data == 0 { place } else { size / SECTOR - data };
        let mut bytes = vec![0; 4096];
        let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
        put(0, &MAGIC.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(16, &self.uuid);
        put(32, self.name.as_bytes());
        put(64, &1_700_000_000u64.to_le_bytes());
        put(72, &1u32.to_le_bytes());
        put(80, &used.to_le_bytes());
        put(92, &2u32.to_le_bytes());
        put(128, &data.to_le_bytes());
        put(136, &used.to_le_bytes());
        put(144, &place.to_le_bytes());
        put(160, &self.role.to_le_bytes());
        put(168, &[0x60 + self.role as u8; 16]);
        put(192, &1_700_000_001u64.to_le_bytes());
        put(200, &42u64.to_le_bytes());
        put(208, &u64::MAX.to_le_bytes());
        put(220, &2u32.to_le_bytes());
        put(256, &[0, 0, 1, 0]);
        let sum = sum(&bytes[..260]);
        bytes[216..220].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn version_0(&self, size: u64) -> Vec<u8> {
        let mut words = vec![0u32; 1024];
        let uuid = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| self.uuid[at * 4 + byte]));
        let kib = (size / SECTOR / 128 * 128 - 128) / 2;
        let head = [MAGIC, 0, 90, 0, 0, uuid(0), 1_700_000_000, 1, kib as u32, 2, 2, 0, 0, uuid(1), uuid(2), uuid(3)];
        words[..16].copy_from_slice(&head);
        // State clean, two active and working devices.
        words[32..37].copy_from_slice(&[1_700_000_001, 1, 2, 2, 0]);
        words[39] = 42;
        // Number, major, minor, place, state active and in sync.
        for role in 0..2 {
            let at = 128 + 32 * role as usize;
            words[at..at + 5].copy_from_slice(&[role, 8, 16 * role + 1, role, 6]);
        }
        words[992..997].copy_from_slice(&[self.role, 8, 16 * self.role + 1, self.role, 6]);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        words[38] = sum(&bytes);
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

/// The sum of all 32-bit words, with the carry added.
fn sum(bytes: &[u8]) -> u32 {
    let word = |chunk: &[u8]| chunk.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let sum: u64 = bytes.chunks(4).map(word).sum();
    (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32
}

/// The first KiB of an LVM physical volume: an empty sector, and the label (LVM2's lib/label/label.h).
pub fn lvm_label(uuid: &[u8; 32]) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let label = &mut bytes[512..];
    label[..8].copy_from_slice(b"LABELONE");
    // The label's sector, and the offset of its contents.
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(uuid);
    // CRC-32 with another initial value, and without the final complement.
    let mut crc = 0xf597_a6cfu32;
    for byte in &label[20..512] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    label[16..20].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn libblkid_takes_the_label_for_a_physical_volume() {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskFile::new(dir.path().join("volume"));
        File::create(disk.path()).unwrap().set_len(8 << 20).unwrap();
        disk.write(0, &lvm_label(b"abcdefghijklmnopqrstuvwxyz012345")).unwrap();
        let output = Command::new("/usr/sbin/blkid").args(["-p", "-o", "export"]).arg(disk.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("TYPE=LVM2_member") && said.contains("UUID=abcdef-ghij-"), "{said}");
    }

    /// mdadm recognises these as members.
    #[test]
    fn mdadm_takes_them_for_its_own() {
        const SIZE: u64 = 64 << 20;
        for metadata in ["0.90", "1.0", "1.1", "1.2"] {
            let dir = tempfile::tempdir().unwrap();
            let disk = DiskFile::new(dir.path().join("member"));
            File::create(disk.path()).unwrap().set_len(SIZE).unwrap();
            let member = OldMember { metadata, uuid: *b"0123456789abcdef", name: "elsewhere:old", role: 1 };
            member.write(&disk, &(0..SIZE)).unwrap();
            let Ok(output) = Command::new("/usr/sbin/mdadm").arg("--examine").arg(disk.path()).output() else {
                return burin_skip::skip!("mdadm is not installed");
            };
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{metadata}: {said}");
            assert!(said.contains("- correct") && said.contains("raid1"), "{metadata}: {said}");
            assert!(metadata == "0.90" || said.contains("elsewhere:old"), "{said}");
        }
    }
}

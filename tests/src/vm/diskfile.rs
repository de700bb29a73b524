//! The file behind a virtual disk, inspected from the host.

use super::VmError;
use hwinventory::model::unfinished;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHUNK: u64 = 64 * 1024;

#[derive(Debug, Clone)]
pub struct DiskFile {
    path: PathBuf,
}

/// A row of the partition table, in units of 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Partition {
    /// Device path as invented by sfdisk; it ends with the partition's number.
    node: String,
    pub start: u64,
    pub size: u64,
    #[serde(rename = "type")]
    pub kind: String,
    pub uuid: String,
    #[serde(default)]
    pub name: String,
}

impl Partition {
    /// Its position, in bytes.
    pub fn extent(&self) -> Range<u64> {
        self.start * 512..(self.start + self.size) * 512
    }

    pub fn number(&self) -> Option<u32> {
        let digits = self.node.len() - self.node.bytes().rev().take_while(u8::is_ascii_digit).count();
        self.node[digits..].parse().ok()
    }
}

impl DiskFile {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn size(&self) -> Result<u64, VmError> {
        Ok(std::fs::metadata(&self.path).map_err(VmError::file(&self.path))?.len())
    }

    /// SHA-256 over the size and every non-zero byte with its position: equal if and only if all bytes are equal, and
    /// fast over holes.
    pub fn digest(&self) -> Result<String, VmError> {
        let mut hash = Sha256::new();
        hash.update(self.size()?.to_le_bytes());
        self.each_chunk(0, self.size()?, |offset, bytes| {
            hash.update(offset.to_le_bytes());
            hash.update(bytes);
        })?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The first position of `needle` at a multiple of `step` bytes within the range.
    pub fn find(&self, needle: &[u8], step: usize, from: u64, to: u64) -> Result<Option<u64>, VmError> {
        let mut found = None;
        self.each_chunk(from, to, |offset, bytes| {
            let hit = (0..bytes.len()).step_by(step).find(|at| bytes[*at..].starts_with(needle));
            if let (None, Some(at)) = (found, hit) {
                found = Some(offset + at as u64);
            }
        })?;
        Ok(found)
    }

    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, VmError> {
        let mut bytes = vec![0; length];
        let file = File::open(&self.path).map_err(VmError::file(&self.path))?;
        file.read_exact_at(&mut bytes, offset).map_err(VmError::file(&self.path))?;
        Ok(bytes)
    }

    /// Whether the first MiB contains nothing bootable: only zeros, and the mark of an unfinished order.
    pub fn is_unfinished(&self) -> Result<bool, VmError> {
        let head = self.read(0, 1 << 20)?;
        let (mark, rest) = head.split_at(unfinished::MARK_LENGTH);
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        Ok(zero(rest) && (zero(mark) || unfinished::parse(mark).is_some()))
    }

    /// Writes bytes into the file. No machine may be running.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), VmError> {
        let file = File::options().write(true).open(&self.path).map_err(VmError::file(&self.path))?;
        file.write_all_at(bytes, offset).map_err(VmError::file(&self.path))
    }

    /// Copies a part of it to a file, with holes in place of zeros.
    pub fn extract(&self, extent: &Range<u64>, to: &Path) -> Result<DiskFile, VmError> {
        let file = File::create(to).map_err(VmError::file(to))?;
        file.set_len(extent.end - extent.start).map_err(VmError::file(to))?;
        let mut written = Ok(());
        self.each_chunk(extent.start, extent.end, |offset, bytes| {
            // The first chunk may start before the extent.
            let before = extent.start.saturating_sub(offset);
            let bytes = bytes.get(before as usize..).unwrap_or_default();
            let result = file.write_all_at(bytes, offset + before - extent.start);
            written = std::mem::replace(&mut written, Ok(())).and(result);
        })?;
        written.map_err(VmError::file(to))?;
        Ok(DiskFile::new(to))
    }

    /// The partition table as read by sfdisk, ordered by start; empty if there is none.
    pub fn partitions(&self) -> Result<Vec<Partition>, VmError> {
        #[derive(Deserialize)]
        struct Dump {
            partitiontable: Table,
        }
        #[derive(Deserialize)]
        struct Table {
            #[serde(default)]
            partitions: Vec<Partition>,
        }
        let output = self.tool("/usr/sbin/sfdisk", &["--json"])?;
        let Ok(dump) = serde_json::from_slice::<Dump>(&output.stdout) else { return Ok(Vec::new()) };
        let mut partitions = dump.partitiontable.partitions;
        partitions.sort_by_key(|partition| partition.start);
        Ok(partitions)
    }

    /// The output of `sgdisk --verify` if both tables are valid and the backup is at the disk's end, otherwise an
    /// error.
    pub fn verify_table(&self) -> Result<String, VmError> {
        let output = self.tool("/usr/sbin/sgdisk", &["--verify"])?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if said.contains("No problems found") {
            return Ok(said);
        }
        Err(VmError::Tool { program: "sgdisk --verify".to_owned(), output: said })
    }

    fn tool(&self, program: &str, args: &[&str]) -> Result<std::process::Output, VmError> {
        Command::new(program)
            .args(args)
            .arg(&self.path)
            .output()
            .map_err(|source| VmError::Start { program: program.to_owned(), source })
    }

    /// Calls `each` with every chunk (aligned to 64 KiB) that is not all zeros; holes are not read.
    fn each_chunk(&self, from: u64, to: u64, mut each: impl FnMut(u64, &[u8])) -> Result<(), VmError> {
        let file = File::open(&self.path).map_err(VmError::file(&self.path))?;
        let to = to.min(self.size()?);
        let mut buffer = vec![0; CHUNK as usize];
        let mut offset = from - from % CHUNK;
        while let Some(data) = next_data(&file, offset).map_err(VmError::file(&self.path))? {
            offset = data - data % CHUNK;
            if offset >= to {
                break;
            }
            let room = (to - offset).min(CHUNK) as usize;
            let bytes = &mut buffer[..room];
            file.read_exact_at(bytes, offset).map_err(VmError::file(&self.path))?;
            if bytes.iter().any(|byte| *byte != 0) {
                each(offset, bytes);
            }
            offset += CHUNK;
        }
        Ok(())
    }
}

/// The next data in the file at or after `offset`.
fn next_data(file: &File, offset: u64) -> std::io::Result<Option<u64>> {
    let position = i64::try_from(offset).map_err(std::io::Error::other)?;
    match lseek(file, position, Whence::SeekData) {
        Ok(data) => Ok(u64::try_from(data).ok()),
        Err(Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dirt, OLD_MARK, missing_tools};
    use super::*;

    const MIB: u64 = 1 << 20;

    fn file(bytes: &[u8], size: u64) -> (tempfile::TempDir, DiskFile) {
        let dir = tempfile::tempdir().unwrap();
        let disk = DiskFile::new(dir.path().join("disk"));
        let file = File::create(disk.path()).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        (dir, disk)
    }

    #[test]
    fn written_zeros_and_holes_digest_alike_and_a_bit_does_not() {
        let (_a, holes) = file(b"x", 4 * MIB);
        let mut bytes = vec![0; 4 * MIB as usize];
        bytes[0] = b'x';
        let (_b, zeros) = file(&bytes, 4 * MIB);
        assert_eq!(holes.digest().unwrap(), zeros.digest().unwrap());
        bytes[3 * MIB as usize + 5] = 1;
        let (_c, bit) = file(&bytes, 4 * MIB);
        assert_ne!(bit.digest().unwrap(), zeros.digest().unwrap());
        let (_d, longer) = file(b"x", 5 * MIB);
        assert_ne!(longer.digest().unwrap(), holes.digest().unwrap());
    }

    #[test]
    fn an_extract_is_that_part_and_nothing_else() {
        let mut bytes = vec![0; 3 * MIB as usize];
        bytes[MIB as usize - 1] = 1;
        bytes[MIB as usize + 512] = 2;
        bytes[2 * MIB as usize + 100] = 3;
        let (dir, disk) = file(&bytes, 3 * MIB);
        let extent = MIB + 512..2 * MIB + 1024;
        let part = disk.extract(&extent, &dir.path().join("part")).unwrap();
        assert_eq!(std::fs::read(part.path()).unwrap(), &bytes[extent.start as usize..extent.end as usize]);
    }

    #[test]
    fn dirt_is_the_same_for_a_seed_and_carries_a_table() {
        if let Some(reason) = missing_tools() {
            burin_skip::skip!("{reason}");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, seed| {
            let disk = DiskFile::new(dir.path().join(name));
            Dirt::new(256 * MIB, 8 * MIB, seed).create(&disk).unwrap();
            disk
        };
        let (one, two) = (make("one", 7), make("two", 8));
        assert_ne!(one.digest().unwrap(), two.digest().unwrap());
        assert_eq!(one.partitions().unwrap().iter().map(Partition::number).collect::<Vec<_>>(), [Some(1), Some(2)]);
        one.verify_table().unwrap();
        assert_eq!(one.find(OLD_MARK, 4096, 7 * MIB, 9 * MIB).unwrap(), Some(7 * MIB));
        assert_eq!(one.find(OLD_MARK, 4096, 8 * MIB, 64 * MIB).unwrap(), None);
        assert_eq!(one.find(OLD_MARK, 4096, 8 * MIB, 256 * MIB).unwrap(), Some(64 * MIB));
    }
}

//! Makes disks look used: noise that differs in every block, and an old partition table.

use super::{DiskFile, VmError};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

const BLOCK: usize = 4096;
const CHUNK: usize = 1 << 20;

/// Every block of noise starts with these bytes, so that surviving old data can be found anywhere.
pub const OLD_MARK: &[u8; 8] = b"BURINOLD";

/// The old contents of a disk. Sizes are in bytes, multiples of 1 MiB.
#[derive(Debug, Clone, Copy)]
pub struct Dirt {
    pub size: u64,
    /// Length of the gapless noise at the start.
    pub dense: u64,
    /// Beyond that, one MiB of noise at each multiple of this. The rest is a hole, which needs no space on the host.
    pub stride: u64,
    pub seed: u64,
}

impl Dirt {
    pub fn new(size: u64, dense: u64, seed: u64) -> Self {
        Self { size, dense: dense.min(size), stride: 64 << 20, seed }
    }

    /// The file's contents, except for the partition table in its first and last MiB.
    pub fn contents(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let mut chunk = noise(self.seed);
        for (number, place) in bytes.chunks_mut(CHUNK).enumerate() {
            let offset = (number * CHUNK) as u64;
            if self.is_noise(offset) {
                stamp(&mut chunk, self.seed, offset);
                place.copy_from_slice(&chunk[..place.len()]);
            }
        }
        bytes
    }

    fn is_noise(&self, offset: u64) -> bool {
        let last = offset + (CHUNK as u64) >= self.size;
        offset < self.dense || last || offset.is_multiple_of(self.stride)
    }

    /// Creates the file, or creates it again.
    pub fn create(&self, disk: &DiskFile) -> Result<(), VmError> {
        self.create_named(disk, "old-esp")
    }

    /// Like [`Dirt::create`], with this name for the first partition.
    pub fn create_named(&self, disk: &DiskFile, name: &str) -> Result<(), VmError> {
        let path = disk.path();
        let file = File::create(path).map_err(VmError::file(path))?;
        file.set_len(self.size).map_err(VmError::file(path))?;
        let mut chunk = noise(self.seed);
        for offset in (0..self.size).step_by(CHUNK) {
            if self.is_noise(offset) {
                stamp(&mut chunk, self.seed, offset);
                let room = usize::try_from(self.size - offset).unwrap_or(CHUNK).min(CHUNK);
                file.write_all_at(&chunk[..room], offset).map_err(VmError::file(path))?;
            }
        }
        drop(file);
        table(disk, name)
    }
}

/// A GPT as an installer would leave it, at both ends of the disk.
fn table(disk: &DiskFile, name: &str) -> Result<(), VmError> {
    let output = Command::new("/usr/sbin/sgdisk")
        .args(["--clear", "--new=1:2048:+32M", "--typecode=1:ef00", &format!("--change-name=1:{name}")])
        .args(["--new=2:0:0", "--typecode=2:8e00", "--change-name=2:old-data"])
        .arg(disk.path())
        .output()
        .map_err(|source| VmError::Start { program: "sgdisk".to_owned(), source })?;
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(VmError::Tool { program: "sgdisk".to_owned(), output });
    }
    Ok(())
}

/// xorshift64*: the same seed gives the same bytes on every host.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(CHUNK);
    while bytes.len() < CHUNK {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

fn stamp(chunk: &mut [u8], seed: u64, offset: u64) {
    for (number, block) in chunk.chunks_exact_mut(BLOCK).enumerate() {
        block[..8].copy_from_slice(OLD_MARK);
        block[8..16].copy_from_slice(&seed.to_le_bytes());
        block[16..24].copy_from_slice(&(offset + (number * BLOCK) as u64).to_le_bytes());
    }
}

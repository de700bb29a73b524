//! Writes a seed where its datasource looks for it: into the root filesystem, or onto a small partition of its own.

use super::device::Sectors;
use super::fat::{self, FatError};
use super::root::Root;
use crate::error::Coded;
use crate::plan::SeedFile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io;
use std::path::PathBuf;

/// Files that NoCloud reads.
const NOCLOUD_FILES: [&str; 4] = ["meta-data", "user-data", "vendor-data", "network-config"];
/// cloud-init's seed directory (`seed_dir` of its configuration, at its default).
pub const SEED_DIRECTORY: &str = "var/lib/cloud/seed/nocloud";
/// A seed partition is filled up to this size; beyond it, the filesystem is smaller than the partition.
const VOLUME_BYTES: u64 = 32 << 20;
/// Smaller volumes have no room for FAT's own tables on 4096-byte sectors.
const SMALLEST_VOLUME: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error("{path}: cannot be written")]
    File { path: PathBuf, source: io::Error },
    #[error("{device}: the seed volume cannot be written")]
    Volume { device: PathBuf, source: io::Error },
    #[error("{device}: the seed volume cannot be made")]
    Format { device: PathBuf, source: FatError },
    #[error("{device}: a seed volume needs at least {need} bytes; the partition has {have}")]
    TooSmall { device: PathBuf, need: u64, have: u64 },
    #[error("{device}: the seed volume read back differs from what was written")]
    ReadBack { device: PathBuf },
    #[error("{path}: cannot be read back")]
    Lost { path: PathBuf, source: io::Error },
    #[error("{path}: read back, it differs from what was written")]
    FileReadBack { path: PathBuf },
}

impl Coded for SeedError {
    fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "finalize.seed_file",
            Self::Volume { .. } => "finalize.seed_volume",
            Self::Format { .. } => "finalize.seed_format",
            Self::TooSmall { .. } => "finalize.seed_too_small",
            Self::ReadBack { .. } | Self::Lost { .. } | Self::FileReadBack { .. } => "finalize.seed_readback",
        }
    }
}

/// What was written, for the receipt: names and sizes, never contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeedReceipt {
    /// `files` in the root filesystem, or the label of the seed partition.
    pub place: String,
    pub files: Vec<SeedFileReceipt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SeedFileReceipt {
    pub path: String,
    pub bytes: u64,
}

/// Writes NoCloud's files into the system below `root`, readable by root only. Files of an earlier seed in the image
/// that this one lacks are removed.
pub fn write_files(root: &Root, files: &[SeedFile]) -> Result<SeedReceipt, SeedError> {
    let failed = |name: &str| {
        let path = root.path().join(SEED_DIRECTORY).join(name);
        move |source| SeedError::File { path, source }
    };
    // meta-data last: it completes the seed.
    for file in files.iter().rev() {
        root.write(SEED_DIRECTORY, file.path, file.contents.as_bytes(), 0o600).map_err(failed(file.path))?;
    }
    for name in NOCLOUD_FILES.iter().filter(|name| files.iter().all(|file| file.path != **name)) {
        root.remove(SEED_DIRECTORY, name).map_err(failed(name))?;
    }
    root.set_mode(SEED_DIRECTORY, 0o700).map_err(failed(""))?;
    Ok(receipt("files".to_owned(), files))
}

/// Compares with what [`write_files`] wrote. Conclusive only if the filesystem was mounted again in between; otherwise
/// a cache answers.
pub fn compare_files(root: &Root, files: &[SeedFile]) -> Result<(), SeedError> {
    for file in files {
        let path = || root.path().join(place(file));
        let found = root.read(&place(file), file.contents.len() as u64);
        let found = match found {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
            found => found.map_err(|source| SeedError::Lost { path: path(), source })?,
        };
        if found != file.contents.as_bytes() {
            return Err(SeedError::FileReadBack { path: path() });
        }
    }
    Ok(())
}

/// Where [`write_files`] puts a file.
pub fn place(file: &SeedFile) -> String {
    format!("{SEED_DIRECTORY}/{}", file.path)
}

/// Makes `partition` a FAT volume with these files, over any old contents. `label` is the one that its datasource looks
/// for. The volume is valid only once it is complete: its first sector is written last, and everything is read back.
pub fn write_volume(partition: &dyn Sectors, label: &str, files: &[SeedFile]) -> Result<SeedReceipt, SeedError> {
    let device = || partition.path().to_owned();
    let sector = u64::from(partition.sector_size());
    let size = partition.size().min(VOLUME_BYTES) / sector * sector;
    let contents: u64 = files.iter().map(|file| file.contents.len() as u64 + 4096).sum();
    let need = SMALLEST_VOLUME + contents;
    if size < need {
        return Err(SeedError::TooSmall { device: device(), need, have: partition.size() });
    }
    let image = fat_image(label, files, partition.sector_size(), size)
        .map_err(|source| SeedError::Format { device: device(), source })?;
    write_whole(partition, &image)?;
    Ok(receipt(fat_label(label), files))
}

/// Writes a filesystem made elsewhere, byte for byte, and compares it when it is read back. Like in [`write_volume`],
/// the first sector comes last.
pub fn write_bytes(partition: &dyn Sectors, label: &str, bytes: &[u8]) -> Result<SeedReceipt, SeedError> {
    let device = || partition.path().to_owned();
    let sector = u64::from(partition.sector_size());
    let (size, need) = (partition.size() / sector * sector, bytes.len() as u64);
    if size < need {
        return Err(SeedError::TooSmall { device: device(), need, have: partition.size() });
    }
    let mut image = bytes.to_vec();
    // Whole sectors; and nothing of the old contents may look like a part of it.
    image.resize((need.next_multiple_of(sector) as usize).max(sector as usize), 0);
    write_whole(partition, &image)?;
    Ok(SeedReceipt { place: fat_label(label), files: vec![SeedFileReceipt { path: "volume".to_owned(), bytes: need }] })
}

/// Writes whole sectors to the start of `partition` and reads them back. The first sector comes last, and no old
/// superblock stays at the end, where those of RAID and LVM members are.
fn write_whole(partition: &dyn Sectors, image: &[u8]) -> Result<(), SeedError> {
    let device = || partition.path().to_owned();
    let failed = |source| SeedError::Volume { device: device(), source };
    let sector = u64::from(partition.sector_size());
    let size = partition.size() / sector * sector;
    let (first, rest) = image.split_at(sector as usize);
    partition.write_at(0, &vec![0; first.len()]).map_err(failed)?;
    if !rest.is_empty() {
        partition.write_at(sector, rest).map_err(failed)?;
    }
    let tail = size.saturating_sub(image.len() as u64).min(1 << 20);
    if tail > 0 {
        partition.write_at(size - tail, &vec![0; tail as usize]).map_err(failed)?;
    }
    partition.flush().map_err(failed)?;
    partition.write_at(0, first).map_err(failed)?;
    partition.flush().map_err(failed)?;

    let mut written = vec![0; image.len()];
    partition.read_at(0, &mut written).map_err(failed)?;
    if written != image {
        return Err(SeedError::ReadBack { device: device() });
    }
    Ok(())
}

/// The bytes of a FAT volume: the same files give the same bytes.
pub fn fat_image(label: &str, files: &[SeedFile], sector_size: u32, size: u64) -> Result<Vec<u8>, FatError> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.path);
        hash.update(&file.contents);
    }
    let serial = hash.finalize().iter().take(4).fold(0u32, |serial, &byte| serial << 8 | u32::from(byte));
    let files: Vec<(&str, &[u8])> = files.iter().map(|file| (file.path, file.contents.as_bytes())).collect();
    fat::volume(&fat_label(label), serial, &files, sector_size, size)
}

/// FAT labels are upper case; datasources look for that spelling too.
fn fat_label(label: &str) -> String {
    label.to_ascii_uppercase()
}

fn receipt(place: String, files: &[SeedFile]) -> SeedReceipt {
    let files =
        files.iter().map(|file| SeedFileReceipt { path: file.path.to_owned(), bytes: file.contents.len() as u64 });
    SeedReceipt { place, files: files.collect() }
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;

//! Images with holes of every length and known contents, and the expected contents of a disk afterwards.

use super::small::digest;
use super::{DeployError, Image};
use crate::vm::{Dirt, Partition};
use std::ops::Range;
use std::path::Path;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Offset and length of the zeros: shorter and longer than the minimum for punching holes, aligned and not, and across
/// the borders of 1 MiB chunks.
const HOLES: [(usize, usize); 8] = [
    (400 * KIB, 4 * KIB),
    (600 * KIB, 60 * KIB),
    (800 * KIB, 64 * KIB),
    (MIB + 100 * KIB, 300 * KIB),
    (3 * MIB, MIB),
    (5 * MIB - 4 * KIB, 5 * MIB + 8 * KIB),
    (12 * MIB + 100, 70_000),
    (15 * MIB + 1, 512),
];

#[derive(Debug, Clone)]
pub struct Patchwork {
    pub image: Image,
    /// The expected contents of the disk.
    pub bytes: Vec<u8>,
}

impl Patchwork {
    /// Noise of `seed` (see [`Dirt`]) with the holes, as long as `bytes`, under an MBR with one partition of `sectors`
    /// sectors from sector 256. Packed by zstd if the name says so.
    pub fn create(dir: &Path, name: &str, bytes: usize, seed: u64, sectors: u32) -> Result<Self, DeployError> {
        let mut patchwork = Self::dense(dir, name, bytes, seed, sectors)?;
        for (start, length) in HOLES {
            if let Some(hole) = patchwork.bytes.get_mut(start..start + length) {
                hole.fill(0);
            }
        }
        patchwork.image = store(dir, name, &patchwork.bytes)?;
        Ok(patchwork)
    }

    /// The same without holes.
    pub fn dense(dir: &Path, name: &str, bytes: usize, seed: u64, sectors: u32) -> Result<Self, DeployError> {
        let size = bytes.next_multiple_of(MIB) as u64;
        let mut bytes = Dirt::new(size, size, seed).contents()[..bytes].to_vec();
        bytes[446..510].fill(0);
        bytes[450] = 0x83;
        bytes[454..458].copy_from_slice(&256u32.to_le_bytes());
        bytes[458..462].copy_from_slice(&sectors.to_le_bytes());
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        Ok(Self { image: store(dir, name, &bytes)?, bytes })
    }

    /// The expected contents of a disk after the image was written: the image, zeros to the end of its last sector,
    /// zeros wherever an old signature could be (in the MiB after the image, at the disk's end, and at both ends of
    /// each old partition), and everything else as `before`.
    pub fn over(&self, before: &[u8], old: &[Range<usize>], sector: usize) -> Vec<u8> {
        let mut after = before.to_vec();
        let end = self.bytes.len().next_multiple_of(sector);
        for area in std::iter::once(&(end..after.len())).chain(old) {
            let head = area.start..(area.start + MIB).min(area.end);
            let tail = area.end.saturating_sub(MIB).max(area.start)..area.end;
            for margin in [head, tail] {
                let start = (margin.start / sector * sector).max(end);
                let stop = margin.end.next_multiple_of(sector).min(after.len());
                if start < stop {
                    after[start..stop].fill(0);
                }
            }
        }
        after[..end].fill(0);
        after[..self.bytes.len()].copy_from_slice(&self.bytes);
        after
    }
}

/// Bytes of the disk that belong to partitions.
pub fn extents(partitions: &[Partition]) -> Vec<Range<usize>> {
    let bytes = |sectors: u64| usize::try_from(sectors * 512).unwrap_or(usize::MAX);
    partitions.iter().map(|part| bytes(part.start)..bytes(part.start + part.size)).collect()
}

fn store(dir: &Path, name: &str, bytes: &[u8]) -> Result<Image, DeployError> {
    let error = |why: std::io::Error| DeployError::Artefact { path: dir.join(name), why: why.to_string() };
    let wire = match name.ends_with(".zst") {
        true => zstd::encode_all(bytes, 1).map_err(error)?,
        false => bytes.to_vec(),
    };
    std::fs::write(dir.join(name), &wire).map_err(error)?;
    Ok(Image {
        dir: dir.to_owned(),
        file: name.to_owned(),
        size: bytes.len() as u64,
        wire_size: wire.len() as u64,
        wire: digest(&wire),
        content: digest(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_after_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let image = Patchwork::create(dir.path(), "a.raw.zst", 2 * MIB + 5000, 7, 512).unwrap();
        assert_eq!(zstd::decode_all(&*std::fs::read(dir.path().join("a.raw.zst")).unwrap()).unwrap(), image.bytes);
        let before = vec![1; 16 * MIB];
        let after = image.over(&before, &[MIB..6 * MIB, 10 * MIB..11 * MIB + 512], 4096);
        assert_eq!(after[..image.bytes.len()], image.bytes);
        let zero = |range: Range<usize>| after[range].iter().all(|byte| *byte == 0);
        let kept = |range: Range<usize>| after[range].iter().all(|byte| *byte == 1);
        let end = 2 * MIB + 8192;
        assert!(zero(2 * MIB + 5000..end + MIB) && kept(end + MIB..5 * MIB), "behind the image");
        assert!(zero(5 * MIB..6 * MIB) && kept(6 * MIB..10 * MIB), "the end of the first partition");
        assert!(zero(10 * MIB..11 * MIB + 4096) && kept(11 * MIB + 4096..15 * MIB), "all of the second, whole sectors");
        assert!(zero(15 * MIB..16 * MIB), "the end of the disk");
    }
}

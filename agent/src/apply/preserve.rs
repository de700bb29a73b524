//! Disks that must not change: their state before the first step is compared with that after the last one.

use super::ApplyError;
use super::bound::{Access, BoundDisk, Part};
use crate::finalize::device::{Device, Sectors};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes compared at each end of the disk: partition tables, and superblocks of contents that use the whole disk.
const EDGE: u64 = 1 << 20;

/// The state of a disk at one point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    device: PathBuf,
    size: u64,
    /// The kernel's number of this attachment: another disk, or the same one plugged in again, has another.
    sequence: Option<String>,
    /// WWN, NGUID or EUI-64, as in sysfs.
    wwid: Option<String>,
    edges: [u8; 32],
    /// Write and discard requests and their sectors that the kernel has sent to the disk since it appeared. `None` if
    /// the kernel does not count them.
    writes: Option<[u64; 4]>,
}

/// The result of a successful comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreserveReceipt {
    pub device: String,
    /// `size`, `attachment`, `wwid`, `first-and-last-mib`, `write-counters`: with the last one, the kernel sent no
    /// write and no discard to the disk in between.
    pub compared: Vec<&'static str>,
    /// SHA-256 over the first and last MiB.
    pub edges: String,
}

impl Evidence {
    pub fn take(disk: &BoundDisk) -> Result<Self, ApplyError> {
        let device = disk.name().to_owned();
        let failed = |source| ApplyError::Open { device: device.clone(), source };
        let sysfs = disk.sysfs();
        let file = disk.open(Part::Whole, Access::Read)?.into_device()?;
        let edges = edges(&file).map_err(failed)?;
        let counted = text(&sysfs, "queue/iostats").as_deref() == Some("1");
        Ok(Self {
            size: file.size(),
            sequence: text(&sysfs, "diskseq"),
            wwid: text(&sysfs, "wwid").or_else(|| text(&sysfs, "device/wwid")),
            edges,
            writes: counted.then(|| writes(&text(&sysfs, "stat")?)).flatten(),
            device,
        })
    }

    /// Reads the state again and compares.
    pub fn compare(&self, disk: &BoundDisk) -> Result<PreserveReceipt, ApplyError> {
        let now = Self::take(disk)?;
        let same = [
            ("size", self.size == now.size, true),
            ("attachment", self.sequence == now.sequence, self.sequence.is_some()),
            ("wwid", self.wwid == now.wwid, self.wwid.is_some()),
            ("first-and-last-mib", self.edges == now.edges, true),
            ("write-counters", self.writes == now.writes, self.writes.is_some()),
        ];
        if let Some((what, ..)) = same.iter().find(|(_, same, _)| !same) {
            return Err(ApplyError::NotPreserved { device: self.device.clone(), what });
        }
        Ok(PreserveReceipt {
            device: self.device.display().to_string(),
            compared: same.iter().filter(|(_, _, known)| *known).map(|(what, ..)| *what).collect(),
            edges: crate::protocol::hex(self.edges),
        })
    }
}

fn edges(disk: &Device) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let length = EDGE.min(disk.size());
    for offset in [0, disk.size() - length] {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        disk.read_at(offset, &mut bytes)?;
        hash.update(&bytes);
    }
    Ok(hash.finalize().into())
}

fn text(sysfs: &Path, name: &str) -> Option<String> {
    fs::read_to_string(sysfs.join(name)).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Writes, sectors written, discards, sectors discarded: Documentation/block/stat.rst.
fn writes(stat: &str) -> Option<[u64; 4]> {
    let fields: Vec<u64> = stat.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // Kernels before 4.18 did not count discards.
    let discards = |at: usize| fields.get(at).copied().unwrap_or(0);
    Some([*fields.get(4)?, *fields.get(6)?, discards(11), discards(13)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_those_of_writes_and_discards() {
        let stat = "  11 12 13 14  15 16 17 18  19 20 21  22 23 24 25  26 27\n";
        assert_eq!(writes(stat), Some([15, 17, 22, 24]));
        assert_eq!(writes("1 2 3 4 5 6 7 8 9 10 11"), Some([5, 7, 0, 0]));
        assert_eq!(writes("1 2 3"), None);
    }
}

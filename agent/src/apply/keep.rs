//! Kept partitions: the record by which a later attempt finds them, and the proof that their bytes are unchanged.

use super::ApplyError;
use super::bound::{Access, BoundDisk, Part};
use crate::disk::KeptRecord;
use crate::finalize::device::{Device, Sectors};
use crate::image::Cancel;
use crate::protocol::order::KeepProof;
use crate::protocol::plan::Kept;
use hwinventory::model::{kept, unfinished};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// Bytes read at once.
const PIECE: u64 = 4 << 20;
/// Sampling: bytes read at each end, number of pieces between, and their size.
const EDGE: u64 = 16 << 20;
const SAMPLES: u64 = 1024;
const SAMPLE: u64 = 64 << 10;

/// A kept partition at one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeepEvidence {
    pub number: u32,
    pub name: String,
    pub guid: String,
    /// Bytes from the start of the disk.
    pub start: u64,
    pub size: u64,
    /// Bytes read: all of them, unless the order says `samples`.
    pub compared_bytes: u64,
    /// SHA-256 over these.
    pub sha256: String,
    #[serde(skip)]
    proof: KeepProof,
}

/// The result of a successful comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptReceipt {
    #[serde(flatten)]
    pub after: KeepEvidence,
    /// SHA-256 before the first step.
    pub before: String,
}

impl KeepEvidence {
    pub fn take(disk: &BoundDisk, kept: &Kept, cancel: &Cancel) -> Result<Self, ApplyError> {
        let device = disk.open(Part::Whole, Access::Read)?.into_device()?;
        let (compared_bytes, sha256) = digest(disk, &device, kept, cancel)?;
        Ok(Self {
            number: kept.number,
            name: kept.name.clone(),
            guid: kept.guid.clone(),
            start: kept.start,
            size: kept.size,
            compared_bytes,
            sha256,
            proof: kept.proof,
        })
    }

    /// Reads it again and compares.
    pub fn compare(&self, disk: &BoundDisk, cancel: &Cancel) -> Result<KeptReceipt, ApplyError> {
        let kept = disk.keep().iter().find(|kept| kept.number == self.number);
        let changed = || ApplyError::NotKept { device: disk.name().to_owned(), number: self.number };
        let after = Self::take(disk, kept.ok_or_else(changed)?, cancel)?;
        match after == *self {
            true => Ok(KeptReceipt { after, before: self.sha256.clone() }),
            false => Err(changed()),
        }
    }
}

fn digest(disk: &BoundDisk, device: &Device, kept: &Kept, cancel: &Cancel) -> Result<(u64, String), ApplyError> {
    let failed = |source| ApplyError::Open { device: disk.name().to_owned(), source };
    let (mut hash, mut total) = (Sha256::new(), 0);
    let mut bytes = Vec::new();
    for range in pieces(kept.size, kept.proof, u64::from(disk.sector())) {
        let mut at = range.start;
        while at < range.end {
            if cancel.is_cancelled() {
                return Err(ApplyError::Cancelled);
            }
            let length = PIECE.min(range.end - at);
            bytes.resize(usize::try_from(length).unwrap_or(0), 0);
            device.read_at(kept.start + at, &mut bytes).map_err(failed)?;
            hash.update(&bytes);
            (at, total) = (at + length, total + length);
        }
    }
    Ok((total, crate::protocol::hex(hash.finalize())))
}

/// The ranges of a partition that are read, in bytes from its start.
fn pieces(size: u64, proof: KeepProof, sector: u64) -> Vec<Range<u64>> {
    if proof == KeepProof::All || size <= 2 * EDGE + SAMPLES * SAMPLE {
        return std::iter::once(0..size).collect();
    }
    let step = (size - 2 * EDGE) / SAMPLES;
    let sample = |number| {
        let start = (EDGE + number * step) / sector.max(1) * sector.max(1);
        start..start + SAMPLE.min(step)
    };
    let between = (0..SAMPLES).map(sample);
    std::iter::once(0..EDGE).chain(between).chain(std::iter::once(size - EDGE..size)).collect()
}

/// The record for the disk, in the slot that holds no valid record.
pub fn record(disk: &BoundDisk, keep: &[Kept]) -> Result<KeptRecord, ApplyError> {
    let failed = |source| ApplyError::Open { device: disk.name().to_owned(), source };
    let device = disk.open(Part::Whole, Access::Read)?.into_device()?;
    let mut first = vec![0; unfinished::MARK_LENGTH];
    device.read_at(0, &mut first).map_err(failed)?;
    let mut slots = [vec![0; kept::SLOT], vec![0; kept::SLOT]];
    for (bytes, place) in slots.iter_mut().zip(kept::PLACES) {
        device.read_at(place, bytes).map_err(failed)?;
    }
    let [one, other] = &slots;
    let place = |slot: usize| kept::PLACES.get(slot).copied().unwrap_or_default();
    let partitions: Vec<kept::KeptPartition> = keep.iter().map(remembered).collect();
    let newest = kept::newest([one, other]);
    let counts = unfinished::parse(&first).is_some();
    if let Some((slot, record)) = &newest
        && counts
        && record.partitions == partitions
    {
        let bytes = slots.get(*slot).cloned().unwrap_or_default();
        return Ok(KeptRecord { place: place(*slot), bytes, stale: Vec::new() });
    }
    let (slot, generation) =
        newest.map_or((0, 1), |(slot, record)| (1 - slot.min(1), record.generation.saturating_add(1)));
    let too_many = || ApplyError::KeepMany { device: disk.name().to_owned(), count: keep.len() };
    let bytes = kept::encode(&kept::Record { generation, partitions }).ok_or_else(too_many)?;
    let old = slots.iter().enumerate().filter(|(_, bytes)| !counts && kept::parse(bytes).is_some());
    let stale = old.map(|(slot, _)| place(slot)..place(slot) + kept::SLOT as u64).collect();
    Ok(KeptRecord { place: place(slot), bytes, stale })
}

fn remembered(one: &Kept) -> kept::KeptPartition {
    kept::KeptPartition {
        number: one.number,
        start: one.start,
        size: one.size,
        type_guid: one.type_guid.clone(),
        guid: one.guid.clone(),
        name: one.name.clone(),
        attributes: one.attributes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_or_both_ends_and_samples_between() {
        assert_eq!(pieces(1 << 40, KeepProof::All, 512).len(), 1);
        assert_eq!(pieces(96 << 20, KeepProof::Samples, 512), pieces(96 << 20, KeepProof::All, 512));
        for (size, sector) in [(200 << 20, 512), ((1 << 40) + 512, 512), (1 << 44, 4096)] {
            let pieces = pieces(size, KeepProof::Samples, sector);
            assert_eq!(pieces.len() as u64, SAMPLES + 2);
            assert!(pieces.windows(2).all(|two| two[0].end <= two[1].start), "{size}");
            assert_eq!((pieces[0].start, pieces.last().map(|last| last.end)), (0, Some(size)));
            let read: u64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
            assert!(read <= 2 * EDGE + SAMPLES * SAMPLE && pieces.iter().all(|one| one.start % sector == 0));
        }
    }
}

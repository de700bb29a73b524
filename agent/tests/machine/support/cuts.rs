//! Power cuts by calculation: every state that the disks can have at each moment of a recording, and whether it is
//! acceptable.
//!
//! A disk keeps everything that it was told before its last flush, and of what it was told since then any part, write by
//! write and sector by sector. Each such state must be one of three:
//!
//! - still the old disk: nothing but its two ends has changed, and what is there of them is old, zeros or a mark;
//! - an unfinished one: the mark of the order in its first sector, and nothing that firmware looks for;
//! - the new one, whole: everything between the two ends of *all* disks of the order is as it is at the end, and so is
//!   the first MiB as soon as there is a boot signature.
//!
//! Of what firmware looks for, the magic alone counts, however broken the rest is: a boot signature in the first sector
//! (boot code, MBR with EFI system partition, FAT without a table), a GPT's header behind the first sector and in the last
//! one, El Torito's volume descriptor. So a state that is called right starts from no firmware, whatever it forgives.

use super::MIB;
use super::tape::Event;
use burin::finalize::gpt::{Array, Header};
use hwinventory::model::kept::{self, KeptPartition};
use hwinventory::model::unfinished;
use std::collections::BTreeMap;

/// The least unit that a disk writes whole.
const SECTOR: usize = 512;
/// Bytes at each end that are withheld.
const END: usize = MIB as usize;
/// Sectors that a GPT may have been made for.
const SECTORS: [usize; 2] = [512, 4096];

/// What there is to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    BootSector,
    PrimaryGpt,
    BackupGpt,
    ElTorito,
}

/// Everything that firmware may find on a disk with these bytes.
pub fn paths(disk: &[u8]) -> Vec<Path> {
    let at = |place: usize, magic: &[u8]| disk.get(place..).is_some_and(|rest| rest.starts_with(magic));
    let mut found = Vec::new();
    if at(510, &[0x55, 0xaa]) {
        found.push(Path::BootSector);
    }
    if SECTORS.iter().any(|&sector| at(sector, b"EFI PART")) {
        found.push(Path::PrimaryGpt);
    }
    if SECTORS.iter().any(|sector| disk.len().checked_sub(*sector).is_some_and(|last| at(last, b"EFI PART"))) {
        found.push(Path::BackupGpt);
    }
    if at(0x8001, b"CD001") {
        found.push(Path::ElTorito);
    }
    found
}

/// A disk before, at the end, and at some moment in between.
pub struct Disk {
    old: Vec<u8>,
    end: Vec<u8>,
    now: Vec<u8>,
    /// A partition that stays: nothing is written to it, and at every moment the disk says where it is.
    kept: Option<KeptPartition>,
    /// Sectors between the two ends that are not as they were, and not as they will be.
    changed: usize,
    missing: usize,
}

impl Disk {
    pub fn new(old: Vec<u8>, end: Vec<u8>) -> Self {
        assert!(old.len() == end.len() && old.len() > 2 * END && old.len().is_multiple_of(SECTOR));
        let missing = body(&old).filter(|at| old[at.clone()] != end[at.clone()]).count();
        Self { now: old.clone(), old, end, kept: None, changed: 0, missing }
    }

    pub fn keep(&mut self, kept: Option<KeptPartition>) {
        self.kept = kept;
    }

    /// Puts `bytes` where they belong, and gives back what was there.
    fn put(&mut self, offset: usize, bytes: &[u8]) -> Vec<u8> {
        assert!(offset.is_multiple_of(SECTOR) && bytes.len().is_multiple_of(SECTOR));
        if let Some(kept) = &self.kept {
            let (start, end) = (kept.start as usize, (kept.start + kept.size) as usize);
            assert!(
                offset >= end || offset + bytes.len() <= start,
                "{} bytes at {offset} of what is kept",
                bytes.len()
            );
        }
        let before = self.now[offset..offset + bytes.len()].to_vec();
        self.count(offset, bytes.len(), false);
        self.now[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.count(offset, bytes.len(), true);
        before
    }

    fn count(&mut self, offset: usize, length: usize, more: bool) {
        let end = self.now.len() - END;
        for start in (offset.max(END)..(offset + length).min(end)).step_by(SECTOR) {
            let at = start..start + SECTOR;
            let (changed, missing) =
                (self.now[at.clone()] != self.old[at.clone()], self.now[at.clone()] != self.end[at]);
            let step = |count: &mut usize, counts: bool| match more {
                true => *count += usize::from(counts),
                false => *count -= usize::from(counts),
            };
            step(&mut self.changed, changed);
            step(&mut self.missing, missing);
        }
    }

    /// Whether a next attempt finds what is kept, as the inventory looks for it: by the record on a disk that is marked, else
    /// by a table, be it the old or the new one.
    fn knows_kept(&self) -> bool {
        let Some(wanted) = &self.kept else { return true };
        if self.mark().is_some()
            && let Some(record) = record(&self.now)
        {
            return record.partitions == [wanted.clone()];
        }
        let header = |lba: usize| Header::parse(&self.now[lba * SECTOR..(lba + 1) * SECTOR]);
        [1, self.now.len() / SECTOR - 1].into_iter().any(|lba| {
            let Ok(header) = header(lba) else { return false };
            let array = self.now.get(header.array_lba as usize * SECTOR..).unwrap_or_default();
            let array = Array::parse(&header, array.get(..128 * 128).unwrap_or_default().to_vec());
            array.ok().and_then(|array| array.get(wanted.number)).is_some_and(|found| {
                found.first_lba * SECTOR as u64 == wanted.start
                    && found.sectors() * SECTOR as u64 == wanted.size
                    && found.guid.to_string() == wanted.guid
                    && (found.name, found.attributes) == (wanted.name.clone(), wanted.attributes)
            })
        })
    }

    fn is_old(&self) -> bool {
        let places = kept::PLACES.map(|place| place as usize..place as usize + kept::SLOT);
        let keeps = self.kept.is_some() || record(&self.now).is_some();
        let recorded = |at: &std::ops::Range<usize>| keeps && places.iter().any(|place| place.contains(&at.start));
        let nothing_new = |at: std::ops::Range<usize>| {
            let now = &self.now[at.clone()];
            recorded(&at) && self.mark().is_some()
                || now == &self.old[at.clone()]
                || now.iter().all(|byte| *byte == 0)
                || at.start == 0 && self.mark().is_some()
        };
        self.changed == 0 && ends(&self.now).all(nothing_new)
    }

    fn mark(&self) -> Option<String> {
        unfinished::parse(&self.now[..SECTOR])
    }

    /// What is wrong with it, once all disks are written, or before.
    fn wrong(&self, all_written: bool, order: &str) -> Option<String> {
        if !self.knows_kept() {
            return Some(format!("what is kept is not found again, marked: {:?}", self.mark()));
        }
        let paths = paths(&self.now);
        let marked = self.mark().as_deref() == Some(order);
        if paths.is_empty() && marked {
            return None;
        }
        if all_written {
            let loads = paths.contains(&Path::BootSector);
            let mut head = self.now[..END].to_vec();
            if self.kept.is_some() {
                // Nothing is there in the end, and what is remembered harms nobody as long.
                head[kept::PLACES[0] as usize..].fill(0);
            }
            let whole = !loads || head == self.end[..END];
            return (!whole).then(|| format!("its boot sector is there, and not all of the first MiB: {paths:?}"));
        }
        if self.is_old() {
            return None;
        }
        let (changed, missing) = (self.changed, self.missing);
        Some(format!("{paths:?}, marked: {marked}, {changed} sectors changed, {missing} missing"))
    }
}

fn record(disk: &[u8]) -> Option<kept::Record> {
    let slot = |place: u64| &disk[place as usize..place as usize + kept::SLOT];
    kept::newest([slot(kept::PLACES[0]), slot(kept::PLACES[1])]).map(|(_, record)| record)
}

fn body(disk: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    (END..disk.len() - END).step_by(SECTOR).map(|at| at..at + SECTOR)
}

fn ends(disk: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
    let tail = disk.len() - END;
    (0..END).chain(tail..disk.len()).step_by(SECTOR).map(|at| at..at + SECTOR)
}

/// What is wrong with a disk after an order that did not end: it is to be as it was, or marked and without anything to
/// boot from.
pub fn unfinished(old: &[u8], now: &[u8], order: &str) -> Option<String> {
    let mut disk = Disk::new(old.to_vec(), old.to_vec());
    disk.put(0, now);
    disk.wrong(false, order)
}

/// The disk after the first requests, without what it was told since its last flush.
pub fn after(mut disk: Vec<u8>, number: usize, events: &[Event]) -> Vec<u8> {
    let flushed = events.iter().rposition(|event| *event == Event::Flush { disk: number }).unwrap_or(0);
    for event in &events[..flushed] {
        if let Event::Write { disk: written, offset, bytes } = event
            && *written == number
        {
            disk[*offset as usize..*offset as usize + bytes.len()].copy_from_slice(bytes);
        }
    }
    disk
}

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// After a request, all before it kept.
    pub prefixes: usize,
    /// Parts of what was not flushed.
    pub subsets: usize,
    pub epochs: usize,
    /// States in which something would start, new and whole.
    pub whole: usize,
}

/// Every state that is looked at; the first wrong ones.
pub struct Cuts<'a> {
    disks: &'a mut [Disk],
    order: &'a str,
    random: Random,
    counts: Counts,
    wrong: Vec<String>,
}

/// Reported at most.
const WRONG: usize = 8;

/// Each prefix of `events`, and this many parts of each epoch between two flushes.
pub fn judge(disks: &mut [Disk], events: &[Event], order: &str, subsets: usize) -> Result<Counts, Vec<String>> {
    let mut cuts =
        Cuts { disks, order, random: Random(0x9e37_79b9_7f4a_7c15), counts: Counts::default(), wrong: vec![] };
    // For each disk: where its epoch began, and what was there at each write since.
    let mut open: BTreeMap<usize, Vec<(usize, Vec<u8>)>> = BTreeMap::new();
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Write { disk, offset, bytes } => {
                let before = cuts.disks[*disk].put(*offset as usize, bytes);
                open.entry(*disk).or_default().push((number, before));
                cuts.counts.prefixes += 1;
                cuts.look(&format!("after request {number} of {}", events.len()));
            }
            Event::Flush { disk } => {
                let epoch = open.remove(disk).unwrap_or_default();
                cuts.epoch(events, &epoch, subsets);
            }
        }
    }
    for (_, epoch) in std::mem::take(&mut open) {
        cuts.epoch(events, &epoch, subsets);
    }
    if cuts.wrong.is_empty() { Ok(cuts.counts) } else { Err(cuts.wrong) }
}

impl Cuts<'_> {
    fn look(&mut self, when: &str) {
        let written = self.disks.iter().all(|disk| disk.missing == 0);
        let mut starts = false;
        for (number, disk) in self.disks.iter().enumerate() {
            starts |= written && !paths(&disk.now).is_empty();
            if let Some(what) = disk.wrong(written, self.order)
                && self.wrong.len() < WRONG
            {
                self.wrong.push(format!("{when}, disk {number}: {what}"));
            }
        }
        self.counts.whole += usize::from(starts);
    }

    /// The disk as it was at its last flush, and parts of what came since; all of it again at the end. `epoch` are the
    /// numbers of the writes, with what was in their places.
    fn epoch(&mut self, events: &[Event], epoch: &[(usize, Vec<u8>)], subsets: usize) {
        if epoch.is_empty() {
            return;
        }
        self.counts.epochs += 1;
        let write = |number: usize| match &events[number] {
            Event::Write { disk, offset, bytes } => (*disk, *offset as usize, bytes),
            Event::Flush { .. } => unreachable!("an epoch has writes only"),
        };
        for (number, before) in epoch.iter().rev() {
            let (disk, offset, _) = write(*number);
            self.disks[disk].put(offset, before);
        }
        for subset in 0..subsets {
            let mut undo = Vec::new();
            // Few of them, or most.
            let share = self.random.below(7) + 1;
            for (number, _) in epoch {
                let (disk, offset, bytes) = write(*number);
                if self.random.below(8) >= share {
                    continue;
                }
                let part = self.random.part(bytes.len());
                let before = self.disks[disk].put(offset + part.start, &bytes[part.clone()]);
                undo.push((disk, offset + part.start, before));
            }
            self.counts.subsets += 1;
            let (first, last) = (epoch.first().map(|one| one.0), epoch.last().map(|one| one.0));
            self.look(&format!("part {subset} of the requests {first:?} to {last:?}"));
            for (disk, offset, before) in undo.iter().rev() {
                self.disks[*disk].put(*offset, before);
            }
        }
        for (number, _) in epoch {
            let (disk, offset, bytes) = write(*number);
            self.disks[disk].put(offset, bytes);
        }
    }
}

/// xorshift64: the same states in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    /// All of a write, or its beginning, or its end.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let border = self.below(length / SECTOR + 1) * SECTOR;
        match self.below(4) {
            0 => 0..border,
            1 => border..length,
            _ => 0..length,
        }
    }
}

//! Ranges of a device that are never written to, whatever the image has there.

use crate::support::*;
use burin::disk::{
    Backend, Completion, Counters, KeptRanges, KeptRecord, Op, PATIENCE, Pool, Queue, Target, Waker, WriteFailure,
    Writer, WriterOptions, Written, open_queue,
};
use burin::error::Coded;
use proptest::prelude::*;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Notes every range that is written to.
struct Noted {
    inner: Box<dyn Queue>,
    written: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Queue for Noted {
    fn submit(&mut self, token: u64, op: Op) {
        match &op {
            Op::Write { offset, len, .. } => self.written.lock().unwrap().push(*offset..*offset + *len as u64),
            Op::Zero { offset, len } => self.written.lock().unwrap().push(*offset..*offset + *len),
            Op::Read { .. } | Op::Flush => {}
        }
        self.inner.submit(token, op);
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        self.inner.wait(timeout)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn name(&self) -> &'static str {
        "noted"
    }
}

const MARK: [u8; 512] = [7; 512];
const RECORD: u64 = MIB as u64 - 4096;

fn record() -> KeptRecord {
    KeptRecord { place: RECORD, bytes: vec![9; 4096], stale: std::iter::once(RECORD - 4096..RECORD).collect() }
}

/// What came of it, and what was written to.
fn write(path: &Path, kept: &[Range<u64>], image: &[u8]) -> (Result<Written, WriteFailure>, Vec<Range<u64>>) {
    let target = Target::open_file(path).unwrap().keeping(KeptRanges::new(kept.to_vec(), Some(record())));
    let pool = Pool::new(64);
    let written = Arc::new(Mutex::new(Vec::new()));
    let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
    let queue = Box::new(Noted { inner, written: written.clone() });
    let options = WriterOptions {
        readback: true,
        overlap: true,
        depth: 4,
        request: 512 * 1024,
        patience: PATIENCE,
        withhold: Some(MARK),
    };
    let counters = Counters::default();
    let go = || {
        let mut writer = Writer::new(&target, queue, options, &counters, &|| false);
        writer.prepare()?;
        writer.run(&mut Chunks { pool, image, offset: 0 })?.finish()
    };
    let ended = go();
    let written = written.lock().unwrap().clone();
    (ended, written)
}

fn blank(image: &mut [u8], kept: &[Range<u64>]) {
    for range in kept {
        let end = (range.end as usize).min(image.len());
        if let Some(bytes) = image.get_mut(range.start as usize..end) {
            bytes.fill(0);
        }
    }
}

/// Everything beside what is kept is as the image has it, and both ends are as they shall be.
fn check(old: &[u8], new: &[u8], kept: &[Range<u64>], image: &[u8], ended: &Written, written: &[Range<u64>]) {
    for range in kept {
        let at = range.start as usize..range.end as usize;
        assert!(old[at.clone()] == new[at], "{range:?} has changed");
        assert!(!written.iter().any(|one| one.start < range.end && range.start < one.end), "{range:?}: {written:?}");
    }
    let mut head = vec![0; MIB];
    head[..512].copy_from_slice(&MARK);
    head[RECORD as usize..].fill(9);
    assert!(new[..MIB] == head);
    let tail = kept.last().map_or(0, |last| last.end as usize).max(new.len() - MIB);
    assert!(new[tail..].iter().all(|byte| *byte == 0));
    let withheld = ended.withheld.as_ref().unwrap();
    assert!(withheld.head == image[..MIB]);
    let is_kept = |at: u64| kept.iter().any(|range| range.contains(&at));
    for at in (MIB..image.len().min(tail)).step_by(4096) {
        let end = (at + 4096).min(image.len());
        assert!(is_kept(at as u64) || new[at..end] == image[at..end], "{at}");
    }
}

#[test]
fn an_image_is_written_around_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let size = 16 * MIB;
    let old = dirt(size);
    // In the middle of chunks, a whole one, and into the last MiB.
    let kept = [
        5 * MIB as u64 + 4096..7 * MIB as u64 + 8192,
        9 * MIB as u64..10 * MIB as u64,
        14 * MIB as u64..size as u64 - 65_536,
    ];
    for length in [12 * MIB, 6 * MIB, 2 * MIB] {
        fs::write(&path, old).unwrap();
        let mut image = noise(length, 3);
        blank(&mut image, &kept);
        let (ended, written) = write(&path, &kept, &image);
        check(old, &fs::read(&path).unwrap(), &kept, &image, &ended.unwrap(), &written);
        // The record is there before anything else but the mark, and what could be taken for it goes before the mark.
        assert_eq!(written[..3], [RECORD - 4096..RECORD, 0..4096, RECORD..MIB as u64], "{length}");
    }
}

#[test]
fn an_image_with_data_in_a_kept_place_is_an_error_and_does_not_come_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let old = dirt(12 * MIB);
    #[allow(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
    let kept = [5 * MIB as u64..8 * MIB as u64];
    for at in [5 * MIB, 6 * MIB + 77, 8 * MIB - 1] {
        fs::write(&path, old).unwrap();
        let mut image = noise(10 * MIB, 3);
        blank(&mut image, &kept);
        image[at] = 1;
        let (ended, written) = write(&path, &kept, &image);
        assert_eq!(ended.unwrap_err().error.code(), "disk.kept");
        let now = fs::read(&path).unwrap();
        assert!(now[5 * MIB..8 * MIB] == old[5 * MIB..8 * MIB]);
        assert!(!written.iter().any(|one| one.start < kept[0].end && kept[0].start < one.end), "{written:?}");
        assert!(now[..512] == MARK, "unfinished");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_kept_stays(
        ranges in proptest::collection::vec((256u64..2500, 1u64..900), 1..4),
        length in 1u64..2900,
        holes in any::<u64>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        let mut kept: Vec<Range<u64>> = Vec::new();
        for (start, pages) in ranges {
            let range = start * 4096..(start + pages).min(3072) * 4096;
            if !range.is_empty() && kept.iter().all(|other| other.end <= range.start || range.end <= other.start) {
                kept.push(range);
            }
        }
        kept.sort_by_key(|range| range.start);
        let old = dirt(3072 * 4096);
        fs::write(&path, old).unwrap();
        let mut image = noise((length as usize * 4096).max(MIB), 5);
        for (number, chunk) in image.chunks_mut(128 * 1024).enumerate() {
            if holes >> (number % 64) & 1 == 1 {
                chunk.fill(0);
            }
        }
        blank(&mut image, &kept);
        let (ended, written) = write(&path, &kept, &image);
        check(old, &fs::read(&path).unwrap(), &kept, &image, &ended.unwrap(), &written);
    }
}

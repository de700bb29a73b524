//! How many requests of a disk have completed, and how many are in flight.

use super::disk::text;
use std::fs;
use std::path::Path;

/// The kernel's request counters of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// Increases with every completed request.
    pub done: u64,
    /// Sent and not completed.
    pub waiting: u64,
}

impl Requests {
    /// The counters of the disk with this sysfs directory. Since Linux 6.16, requests to a partition are counted only
    /// there; before, at the disk too.
    pub(super) fn of(sysfs: &Path) -> Option<Self> {
        let read = |directory: &Path| Self::parse(&text(directory, "stat")?);
        let mut found = read(sysfs)?;
        let below = fs::read_dir(sysfs).into_iter().flatten().flatten().map(|entry| entry.path());
        for partition in below.filter(|path| path.join("partition").exists()) {
            found.waiting = found.waiting.max(read(&partition).map_or(0, |counted| counted.waiting));
        }
        Some(found)
    }

    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<u64> = stat.split_whitespace().map_while(|field| field.parse().ok()).collect();
        // Reads, writes, discards and flushes, and the sectors of the first three.
        let done = [0, 2, 4, 6, 11, 13, 15].iter().filter_map(|at| fields.get(*at));
        Some(Self { done: done.fold(0, |sum, count| sum.wrapping_add(*count)), waiting: *fields.get(8)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_at_a_partition_waits_at_its_disk() {
        let sysfs = tempfile::tempdir().unwrap();
        let stat = |waiting: u64| format!("7 0 56 1 9 0 72 2 {waiting} 3 4 0 0 0 0 5 6\n");
        let partition = sysfs.path().join("sda1");
        fs::create_dir_all(&partition).unwrap();
        fs::write(sysfs.path().join("stat"), stat(0)).unwrap();
        fs::write(partition.join("stat"), stat(3)).unwrap();
        assert_eq!(Requests::of(sysfs.path()).unwrap().waiting, 0, "that is no partition");
        fs::write(partition.join("partition"), "1\n").unwrap();
        assert_eq!(Requests::of(sysfs.path()).unwrap().waiting, 3);
    }

    #[test]
    fn any_answered_request_is_progress_and_waiting_ones_are_none() {
        let stat = |text: &str| Requests::parse(text);
        let first = stat("10 0 80 5 20 0 160 9 3 14 14 1 0 8 2 4 1").unwrap();
        assert_eq!((first.done, first.waiting), (10 + 80 + 20 + 160 + 1 + 8 + 4, 3));
        let flushed = stat("10 0 80 5 20 0 160 9 3 14 14 1 0 8 2 5 1").unwrap();
        assert!(flushed.done > first.done);
        // Kernels before 4.18 have eleven fields.
        assert_eq!(stat("1 0 2 0 3 0 4 0 0 0 0"), Some(Requests { done: 10, waiting: 0 }));
        assert_eq!(stat("1 2 3"), None);
    }
}

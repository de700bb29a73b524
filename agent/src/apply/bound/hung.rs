//! Disks that must not be touched: those that stopped answering, for the rest of this boot, and those on which an
//! abandoned thread still works, until it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Device number and disk sequence.
type Key = (u64, Option<u64>);

/// Threads that wait for a hung disk cannot be interrupted.
#[derive(Debug, Clone)]
pub enum Until {
    /// Until the machine is rebooted.
    Boot,
    /// Until this is set.
    Ended(Arc<AtomicBool>),
}

static HUNG: Mutex<BTreeMap<Key, Vec<Until>>> = Mutex::new(BTreeMap::new());

pub fn note(key: Key, until: Until) {
    lock().entry(key).or_default().push(until);
}

pub fn is(key: Key) -> bool {
    lock().get(&key).is_some_and(|reasons| {
        reasons.iter().any(|until| match until {
            Until::Boot => true,
            Until::Ended(ended) => !ended.load(Ordering::Acquire),
        })
    })
}

fn lock() -> MutexGuard<'static, BTreeMap<Key, Vec<Until>>> {
    HUNG.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_behind_work_gives_its_disk_back_and_a_hanging_disk_stays_away() {
        let (ended, left, hangs) = (Arc::new(AtomicBool::new(false)), (u64::MAX, Some(1)), (u64::MAX, Some(2)));
        note(left, Until::Ended(ended.clone()));
        note(hangs, Until::Boot);
        assert!(is(left) && is(hangs) && !is((u64::MAX, Some(3))));
        ended.store(true, Ordering::Release);
        assert!(!is(left) && is(hangs));
    }
}

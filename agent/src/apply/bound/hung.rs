//! Disks that gave no answer. Nothing touches them again before the machine is started anew: what waits for one of them
//! cannot be called back.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Device numbers and disk sequences.
static HUNG: Mutex<BTreeSet<(u64, Option<u64>)>> = Mutex::new(BTreeSet::new());

pub fn note(number: u64, sequence: Option<u64>) {
    lock().insert((number, sequence));
}

pub fn is(number: u64, sequence: Option<u64>) -> bool {
    lock().contains(&(number, sequence))
}

fn lock() -> MutexGuard<'static, BTreeSet<(u64, Option<u64>)>> {
    HUNG.lock().unwrap_or_else(PoisonError::into_inner)
}

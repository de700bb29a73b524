//! Open filesystems and arrays of the new system, as a stack: on every exit path, the last one opened is closed first.

use super::bound::BoundDisk;
use super::watch::{self, Patience};
use super::{ApplyError, change};
use crate::image::Cancel;
use crate::protocol::receipt::Change;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that must be closed before the disks below it can be released.
pub trait Live: Debug + Send + Sync {
    /// For display.
    fn name(&self) -> String;
    /// The disks needed to close it.
    fn disks(&self) -> Vec<Arc<BoundDisk>>;
    /// Closes it, and returns what was verified by then. A second call has nothing left to do.
    fn close(&self) -> Result<Option<Closed>, ApplyError>;
}

/// The result of closing, for the receipt.
#[derive(Debug)]
pub struct Closed {
    pub device: String,
    pub detail: serde_json::Value,
}

/// The stack. Locked only to push and pop; slow work is done outside of the lock.
#[derive(Debug, Default)]
pub struct Stack {
    items: Mutex<Vec<Arc<dyn Live>>>,
}

impl Stack {
    pub fn push(&self, item: Arc<dyn Live>) {
        self.lock().push(item);
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Removes an item that its owner has closed.
    pub fn forget(&self, item: &Arc<dyn Live>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, item));
    }

    /// Closes everything, the last one first. Items on a disk that hangs are left as they are. A failure does not keep
    /// the rest from being closed; the first one is returned.
    pub fn close(&self, patience: Patience) -> (Vec<Change>, Option<ApplyError>) {
        let (mut changes, mut first) = (Vec::new(), None);
        while let Some(item) = self.pop() {
            let disks = item.disks();
            if disks.iter().any(|disk| disk.is_hung()) {
                log::warn!("{}: left as it is, because its disk hangs", item.name());
                continue;
            }
            let closing = item.clone();
            // Done even if the work was cancelled.
            match watch::run("close", &disks, patience, &Cancel::default(), move || closing.close()) {
                Ok(Some(Closed { device, detail })) => changes.push(change("stop-arrays", &device, &detail)),
                Ok(None) => {}
                Err(error) => {
                    log::error!("{}: {error}", item.name());
                    first = first.or(Some(error));
                }
            }
        }
        (changes, first)
    }

    fn pop(&self) -> Option<Arc<dyn Live>> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn Live>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Door(u32, Arc<Mutex<Vec<u32>>>);

    impl Live for Door {
        fn name(&self) -> String {
            format!("door {}", self.0)
        }

        fn disks(&self) -> Vec<Arc<BoundDisk>> {
            Vec::new()
        }

        fn close(&self) -> Result<Option<Closed>, ApplyError> {
            self.1.lock().unwrap().push(self.0);
            match self.0 {
                2 | 3 => Err(ApplyError::NoDisk { index: self.0 as usize }),
                _ => Ok(Some(Closed { device: self.name(), detail: serde_json::Value::Null })),
            }
        }
    }

    #[test]
    fn the_last_is_closed_first_and_a_failure_keeps_none_open() {
        let (stack, closed) = (Stack::default(), Arc::default());
        let doors: Vec<Arc<dyn Live>> =
            (0..5).map(|number| Arc::new(Door(number, Arc::clone(&closed))) as Arc<dyn Live>).collect();
        doors.iter().cloned().for_each(|door| stack.push(door));
        stack.forget(&doors[4]);
        let (changes, error) = stack.close(Patience::default());
        assert_eq!(*closed.lock().unwrap(), [3, 2, 1, 0]);
        assert_eq!(changes.len(), 2);
        assert!(matches!(error, Some(ApplyError::NoDisk { index: 3 })));
        assert!(stack.is_empty());
    }
}

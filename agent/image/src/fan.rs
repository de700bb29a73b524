//! One download for several devices: every chunk goes to each of them, and one that fails is left behind.

use super::ImageError;
use super::lane::{Consumer, Popped, Producer};
use super::pieces::TICK;
use burin_disk::{Chunk, Waker};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a device takes no further part, decided outside of its writer.
#[derive(Debug, Default, Clone)]
pub struct Left(Arc<Mutex<Option<ImageError>>>);

impl Left {
    fn leave(&self, error: ImageError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub fn has_left(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub fn take(&self) -> Option<ImageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A device's end of the fan.
pub struct Branch<'a> {
    pub out: Producer<Chunk>,
    pub waker: Waker,
    /// Bytes the device has room for.
    pub room: u64,
    pub left: &'a Left,
}

/// Hands every chunk to all branches; the slowest sets the pace. Ends when the chunks do, or nobody takes them any more.
pub fn fan(chunks: &Consumer<Chunk>, name: &str, mut branches: Vec<Branch<'_>>) {
    loop {
        match chunks.pop(TICK) {
            Popped::Item(chunk) => branches.retain(|branch| branch.pass(&chunk, name)),
            Popped::Empty => branches.retain(|branch| !branch.out.is_closed()),
            Popped::End => break,
        }
        if branches.is_empty() {
            return;
        }
    }
    for Branch { out, waker, .. } in branches {
        drop(out);
        waker.wake();
    }
}

impl Branch<'_> {
    /// False once the device takes no more.
    fn pass(&self, chunk: &Chunk, name: &str) -> bool {
        let end = chunk.offset + chunk.len as u64;
        if end > self.room {
            let (source_name, device) = (name.to_owned(), self.room);
            self.left.leave(ImageError::TooLarge { source_name, at_least: end, exact: false, device });
            self.waker.wake();
            return false;
        }
        let passed = self.out.push(chunk.share()).is_ok();
        self.waker.wake();
        passed
    }
}

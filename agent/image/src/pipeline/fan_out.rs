//! One download for several devices: every chunk goes to each of them, and a device that fails is dropped.

use crate::error::ImageError;
use crate::flow::channel::{Consumer, Popped, Producer};
use crate::flow::pieces::TICK;
use burin_disk::{Chunk, Waker};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a device is dropped, decided outside of its writer.
#[derive(Debug, Default, Clone)]
pub struct DeviceFault(Arc<Mutex<Option<ImageError>>>);

impl DeviceFault {
    fn set(&self, error: ImageError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub fn take(&self) -> Option<ImageError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The chunks for one device.
pub struct Branch<'a> {
    pub out: Producer<Chunk>,
    pub waker: Waker,
    /// Size of the device in bytes.
    pub room: u64,
    pub fault: &'a DeviceFault,
}

/// Passes every chunk to all branches, starting with `first`; the slowest sets the pace. Ends with the chunks, or when
/// no branch is left.
pub fn fan_out(first: Chunk, chunks: &Consumer<Chunk>, name: &str, mut branches: Vec<Branch<'_>>) {
    branches.retain(|branch| branch.pass(&first, name));
    drop(first);
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
    /// False once the device accepts no more.
    fn pass(&self, chunk: &Chunk, name: &str) -> bool {
        let end = chunk.offset + chunk.len as u64;
        if end > self.room {
            let (source_name, device) = (name.to_owned(), self.room);
            self.fault.set(ImageError::TooLarge { source_name, at_least: end, exact: false, device });
            self.waker.wake();
            return false;
        }
        let passed = self.out.push(chunk.share()).is_ok();
        self.waker.wake();
        passed
    }
}

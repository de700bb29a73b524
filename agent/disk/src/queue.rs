//! The interface between the writer and the kernel: operations in, completions out.

pub use burin_sys::uring::{Completion, Op};

use super::threads::ThreadQueue;
use super::{Pool, Target};
use burin_sys::uring::Ring;
use nix::sys::eventfd::EventFd;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How operations are submitted to the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring, or threads if the kernel refuses it.
    #[default]
    Auto,
    IoUring,
    /// Four threads with positioned reads and writes.
    Threads,
}

/// Operations in flight on one device. The caller keeps at most `depth` of them; they complete in any order.
pub trait Queue: Send {
    /// Starts `op` now or at the next `wait`. An operation that cannot even be queued completes with an error.
    fn submit(&mut self, token: u64, op: Op);
    /// Completions, at least one unless woken or timed out.
    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>>;
    /// Ends a `wait` from another thread.
    fn waker(&self) -> Waker;
    /// For logs and receipts: `io_uring` or `threads`.
    fn name(&self) -> &'static str;
}

#[derive(Debug, Clone)]
pub enum Waker {
    Event(Arc<EventFd>),
    Channel(Sender<Option<Completion>>),
}

impl Waker {
    pub fn wake(&self) {
        // Neither can fail while the queue lives, and nobody waits once it is gone.
        match self {
            Self::Event(event) => drop(event.write(1)),
            Self::Channel(sender) => drop(sender.send(None)),
        }
    }
}

/// A queue over `target` for at most `depth` operations.
pub fn open(target: &Target, backend: Backend, depth: usize, pool: &Pool) -> io::Result<Box<dyn Queue>> {
    if backend != Backend::Threads {
        match RingQueue::new(target, depth, pool) {
            Ok(queue) => return Ok(Box::new(queue)),
            Err(error) if backend == Backend::IoUring => return Err(error),
            Err(error) => log::info!("io_uring is refused ({error}), using positioned writes"),
        }
    }
    Ok(Box::new(ThreadQueue::new(target.file())?))
}

struct RingQueue {
    ring: Ring,
    refused: Vec<Completion>,
}

impl RingQueue {
    fn new(target: &Target, depth: usize, pool: &Pool) -> io::Result<Self> {
        let ring = pool.with_free(|buffers| Ring::new(target.file(), depth, buffers))?;
        Ok(Self { ring, refused: Vec::new() })
    }
}

impl Queue for RingQueue {
    fn submit(&mut self, token: u64, op: Op) {
        if let Err(op) = self.ring.submit(token, op) {
            let result = Err(io::Error::other("the submission queue is full"));
            self.refused.push(Completion { token, op, result });
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        let mut refused = std::mem::take(&mut self.refused);
        let timeout = if refused.is_empty() { timeout } else { Duration::ZERO };
        refused.extend(self.ring.wait(timeout)?);
        Ok(refused)
    }

    fn waker(&self) -> Waker {
        Waker::Event(self.ring.wake_fd())
    }

    fn name(&self) -> &'static str {
        "io_uring"
    }
}

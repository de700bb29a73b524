//! A queue of four threads that use positioned reads and writes, for kernels that refuse io_uring.

use super::queue::{Completion, Op, Queue, Waker};
use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const THREADS: usize = 4;

#[derive(Debug)]
pub struct ThreadQueue {
    jobs: Option<Sender<(u64, Op)>>,
    done: Receiver<Option<Completion>>,
    done_sender: Sender<Option<Completion>>,
    /// Disconnects when every worker has ended.
    ended: Receiver<()>,
}

impl ThreadQueue {
    pub fn new(file: Arc<File>) -> io::Result<Self> {
        let (jobs, receiver) = channel::<(u64, Op)>();
        let receiver = Arc::new(Mutex::new(receiver));
        let (done_sender, done) = channel();
        let (alive, ended) = channel();
        for index in 0..THREADS {
            let (file, receiver, done, alive) = (file.clone(), receiver.clone(), done_sender.clone(), alive.clone());
            std::thread::Builder::new().name(format!("burin-io-{index}")).spawn(move || {
                let _alive: Sender<()> = alive;
                let file = file;
                loop {
                    let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((token, mut op)) = job else { return };
                    let result = perform(&file, &mut op);
                    if done.send(Some(Completion { token, op, result })).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(Self { jobs: Some(jobs), done, done_sender, ended })
    }
}

impl Queue for ThreadQueue {
    fn submit(&mut self, token: u64, op: Op) {
        let refused = match &self.jobs {
            Some(jobs) => jobs.send((token, op)).err().map(|error| error.0),
            None => Some((token, op)),
        };
        if let Some((token, op)) = refused {
            let result = Err(io::Error::other("the I/O threads have ended"));
            let _ = self.done_sender.send(Some(Completion { token, op, result }));
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        let mut done = Vec::new();
        match self.done.recv_timeout(timeout) {
            Ok(completion) => done.extend(completion),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(done),
        }
        while let Ok(completion) = self.done.try_recv() {
            done.extend(completion);
        }
        Ok(done)
    }

    fn waker(&self) -> Waker {
        Waker::Channel(self.done_sender.clone())
    }

    fn name(&self) -> &'static str {
        "threads"
    }
}

impl Drop for ThreadQueue {
    fn drop(&mut self) {
        self.jobs = None;
        // Waits, so that the file is really closed; but not for ever, if the device hangs.
        let _ = self.ended.recv_timeout(Duration::from_secs(1));
    }
}

fn perform(file: &File, op: &mut Op) -> io::Result<usize> {
    match op {
        Op::Write { buf, start, len, offset } => {
            let bytes = buf.get(*start..*start + *len).ok_or(io::ErrorKind::InvalidInput)?;
            file.write_at(bytes, *offset)
        }
        Op::Read { buf, len, offset } => {
            let bytes = buf.get_mut(..*len).ok_or(io::ErrorKind::InvalidInput)?;
            file.read_at(bytes, *offset)
        }
        Op::Zero { offset, len } => {
            let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let bad = |_| io::Error::from(io::ErrorKind::InvalidInput);
            fallocate(file, flags, i64::try_from(*offset).map_err(bad)?, i64::try_from(*len).map_err(bad)?)?;
            Ok(0)
        }
        Op::Flush => file.sync_data().map(|()| 0),
    }
}

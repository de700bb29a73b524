//! io_uring with owned buffers: what the kernel may touch is owned by the ring until its completion arrives.

use super::aligned::AlignedBuf;
use io_uring::{IoUring, opcode, types};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One operation on a device. Offsets and lengths in bytes, multiples of the logical sector for direct I/O.
#[derive(Debug)]
pub enum Op {
    /// Write `buf[start..start + len]` at `offset`.
    Write { buf: Arc<AlignedBuf>, start: usize, len: usize, offset: u64 },
    /// Read `len` bytes at `offset` into the start of `buf`.
    Read { buf: AlignedBuf, len: usize, offset: u64 },
    /// Make the range zeros without writing them: fallocate(PUNCH_HOLE | KEEP_SIZE).
    Zero { offset: u64, len: u64 },
    /// fdatasync.
    Flush,
}

/// A finished operation with its buffer. `token` is the caller's.
#[derive(Debug)]
pub struct Completion {
    pub token: u64,
    pub op: Op,
    pub result: io::Result<usize>,
}

const WAKE: u64 = u64::MAX;

/// A submission and completion queue over one file.
pub struct Ring {
    ring: IoUring,
    file: Arc<File>,
    in_flight: Vec<Option<(u64, Op)>>,
    free: Vec<usize>,
    /// Buffer id -> index in the kernel's table.
    registered: HashMap<u64, u16>,
    wake: Arc<EventFd>,
    /// The kernel writes the eventfd's counter here.
    wake_counter: AlignedBuf,
    wake_armed: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("in_flight", &self.in_flight()).finish()
    }
}

impl Ring {
    /// For `depth` operations at once. `pool` is registered with the kernel if that is permitted (RLIMIT_MEMLOCK).
    pub fn new(file: Arc<File>, depth: usize, pool: &[AlignedBuf]) -> io::Result<Self> {
        let entries = u32::try_from(depth + 2).unwrap_or(64).next_power_of_two();
        let ring: IoUring = IoUring::new(entries)?;
        if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "this kernel's io_uring is too old"));
        }
        let pool = pool.get(..1024).unwrap_or(pool);
        let vectors: Vec<_> = pool
            .iter()
            .map(|buf| libc::iovec { iov_base: buf.as_ptr() as *mut libc::c_void, iov_len: buf.len() })
            .collect();
        let mut registered = HashMap::new();
        // SAFETY: the vectors describe live allocations, whose pages the kernel pins until the ring is gone. A fixed
        // operation is only ever a write (the kernel reads), and only on a buffer whose never reused id is in
        // `registered`: the very allocation that was pinned, alive in `in_flight`.
        if !vectors.is_empty() && unsafe { ring.submitter().register_buffers(&vectors) }.is_ok() {
            for (index, buf) in pool.iter().enumerate() {
                registered.insert(buf.id(), index as u16);
            }
        }
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        Ok(Self {
            ring,
            file,
            in_flight: (0..depth).map(|_| None).collect(),
            free: (0..depth).rev().collect(),
            registered,
            wake,
            wake_counter: AlignedBuf::zeroed(8),
            wake_armed: false,
        })
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.len() - self.free.len()
    }

    /// Whether the pool's buffers are registered.
    pub fn has_registered_buffers(&self) -> bool {
        !self.registered.is_empty()
    }

    /// Writing to it makes a waiting [`Ring::wait`] return.
    pub fn wake_fd(&self) -> Arc<EventFd> {
        self.wake.clone()
    }

    /// Queues an operation, which starts at the next [`Ring::wait`]. It is returned if the ring is full, or if it
    /// reaches outside of its buffer.
    pub fn submit(&mut self, token: u64, mut op: Op) -> Result<(), Op> {
        let fits = match &op {
            Op::Write { buf, start, len, .. } => start.checked_add(*len).is_some_and(|end| end <= buf.len()),
            Op::Read { buf, len, .. } => *len <= buf.len(),
            Op::Zero { .. } | Op::Flush => true,
        };
        if !fits {
            return Err(op);
        }
        let Some(slot) = self.free.pop() else { return Err(op) };
        let fd = types::Fd(self.file.as_raw_fd());
        let entry = match &mut op {
            Op::Write { buf, start, len, offset } => {
                let address = buf[*start..].as_ptr();
                match self.registered.get(&buf.id()) {
                    Some(index) => opcode::WriteFixed::new(fd, address, *len as u32, *index).offset(*offset).build(),
                    None => opcode::Write::new(fd, address, *len as u32).offset(*offset).build(),
                }
            }
            Op::Read { buf, len, offset } => {
                opcode::Read::new(fd, buf.as_mut_ptr(), *len as u32).offset(*offset).build()
            }
            Op::Zero { offset, len } => opcode::Fallocate::new(fd, *len)
                .offset(*offset)
                .mode(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)
                .build(),
            Op::Flush => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
        };
        // SAFETY: the buffer lies within one heap allocation (checked above) that `in_flight[slot]` owns until the
        // kernel's completion for this slot; Drop leaks what is still in flight. Writes only read from an Arc, reads
        // own their buffer alone. The file stays open in `self.file`.
        let pushed = unsafe { self.ring.submission().push(&entry.user_data(slot as u64)) };
        if pushed.is_err() {
            self.free.push(slot);
            return Err(op);
        }
        self.in_flight[slot] = Some((token, op));
        Ok(())
    }

    /// Starts the queued operations, and waits until one completes, a wake-up arrives, or `timeout` passes.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        self.arm_wake();
        let timespec = types::Timespec::from(timeout);
        let args = types::SubmitArgs::new().timespec(&timespec);
        match self.ring.submitter().submit_with_args(1, &args) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => {}
            Err(error) => return Err(error),
        }
        let mut done = Vec::new();
        let entries: Vec<(u64, i32)> =
            self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (slot, result) in entries {
            if slot == WAKE {
                self.wake_armed = false;
                continue;
            }
            let Some((token, op)) = self.in_flight.get_mut(slot as usize).and_then(Option::take) else { continue };
            self.free.push(slot as usize);
            let result = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            done.push(Completion { token, op, result });
        }
        Ok(done)
    }

    fn arm_wake(&mut self) {
        if self.wake_armed {
            return;
        }
        let fd = types::Fd(self.wake.as_raw_fd());
        let entry = opcode::Read::new(fd, self.wake_counter.as_mut_ptr(), 8).build().user_data(WAKE);
        // SAFETY: wake_counter is a live allocation of more than 8 bytes owned by the ring, nothing else looks into
        // it, and at most one such read is outstanding; Drop leaks it while the read is armed.
        self.wake_armed = unsafe { self.ring.submission().push(&entry) }.is_ok();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        let _ = self.wake.write(1);
        while (self.in_flight() > 0 || self.wake_armed) && Instant::now() < deadline {
            let armed = self.wake_armed;
            if self.wait_for_drop().is_err() {
                break;
            }
            if armed && !self.wake_armed && self.in_flight() == 0 {
                break;
            }
        }
        // A hanging device may complete at any later time: memory that it may still access must never be freed.
        for slot in &mut self.in_flight {
            std::mem::forget(slot.take());
        }
        if self.wake_armed {
            std::mem::forget(std::mem::replace(&mut self.wake_counter, AlignedBuf::zeroed(8)));
        }
    }
}

impl Ring {
    /// Like [`Ring::wait`], without arming the wake-up again.
    fn wait_for_drop(&mut self) -> io::Result<()> {
        let armed = self.wake_armed;
        self.wake_armed = true;
        let result = self.wait(Duration::from_millis(100));
        // `wait` clears the flag when the wake-up completed.
        if !armed {
            self.wake_armed = false;
        }
        result.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn ring(depth: usize) -> Option<(Ring, Arc<File>, AlignedBuf)> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(1 << 20).unwrap();
        let mut pool = vec![AlignedBuf::zeroed(65536)];
        match Ring::new(file.clone(), depth, &pool) {
            Ok(ring) => pool.pop().map(|buf| (ring, file, buf)),
            Err(error) => {
                burin_skip::skip!("no io_uring here: {error}");
                None
            }
        }
    }

    fn reap(ring: &mut Ring, count: usize) -> Vec<Completion> {
        let mut done = Vec::new();
        while done.len() < count {
            done.extend(ring.wait(Duration::from_secs(5)).unwrap());
        }
        done
    }

    #[test]
    fn writes_reads_zeroes_and_flushes() {
        let Some((mut ring, file, mut data)) = ring(4) else { return };
        data.fill(0xab);
        let data = Arc::new(data);
        ring.submit(1, Op::Write { buf: data, start: 4096, len: 4096, offset: 8192 }).unwrap();
        assert_eq!(reap(&mut ring, 1)[0].result.as_ref().unwrap(), &4096);
        let mut back = [0; 4096];
        file.read_exact_at(&mut back, 8192).unwrap();
        assert!(back.iter().all(|byte| *byte == 0xab));
        ring.submit(2, Op::Read { buf: AlignedBuf::zeroed(4096), len: 4096, offset: 8192 }).unwrap();
        ring.submit(3, Op::Flush).unwrap();
        for done in reap(&mut ring, 2) {
            match done.op {
                Op::Read { buf, .. } => assert!(buf.iter().all(|byte| *byte == 0xab)),
                Op::Flush => assert_eq!(done.result.unwrap(), 0),
                other => panic!("unexpected {other:?}"),
            }
        }
        ring.submit(4, Op::Zero { offset: 8192, len: 4096 }).unwrap();
        reap(&mut ring, 1).remove(0).result.unwrap();
        file.read_exact_at(&mut back, 8192).unwrap();
        assert!(back.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn refuses_more_than_its_depth_and_ranges_outside_the_buffer() {
        let Some((mut ring, _file, buf)) = ring(1) else { return };
        let wide = Op::Write { buf: Arc::new(buf), start: 65536, len: 4096, offset: 0 };
        assert!(ring.submit(1, wide).is_err());
        ring.submit(1, Op::Flush).unwrap();
        assert!(ring.submit(2, Op::Flush).is_err());
        assert_eq!(reap(&mut ring, 1)[0].token, 1);
    }

    #[test]
    fn a_wake_ends_a_wait() {
        let Some((mut ring, _file, _buf)) = ring(1) else { return };
        let wake = ring.wake_fd();
        let thread = std::thread::spawn(move || wake.write(1).unwrap());
        assert!(ring.wait(Duration::from_secs(60)).unwrap().is_empty());
        thread.join().unwrap();
    }
}

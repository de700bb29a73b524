//! Read-back: compares what is on the device with the digest of the data in memory.

use super::super::zero::is_zero;
use super::super::{CHUNK, DiskError, buffer};
use super::{Check, Op, READS, Work, Writer};
use burin_sys::aligned::AlignedBuf;
use std::io;
use std::sync::atomic::Ordering;

/// A read that comes back short is repeated this often.
const READ_ATTEMPTS: u32 = 3;

impl Writer<'_> {
    pub(super) fn submit_check(&mut self) {
        let Some(mut check) = self.backlog.pop_front() else { return };
        let len = check.len.min(CHUNK as u64);
        if check.len > len {
            let (offset, rest) = (check.offset + len, check.len - len);
            self.backlog.push_front(Check { offset, len: rest, digest: None, attempts: 0 });
            check.len = len;
        }
        let buf = self.spare.pop().unwrap_or_else(|| AlignedBuf::zeroed(CHUNK));
        let op = Op::Read { buf, len: len as usize, offset: check.offset };
        self.reads += 1;
        self.submit(Work::Check(check), op);
    }

    pub(super) fn read_back(
        &mut self,
        mut check: Check,
        buf: AlignedBuf,
        len: usize,
        count: usize,
    ) -> Result<(), DiskError> {
        if count < len {
            check.attempts += 1;
            if check.attempts == READ_ATTEMPTS {
                return Err(self.failed("read back", check.offset, io::ErrorKind::UnexpectedEof.into()));
            }
            self.spare.push(buf);
            self.backlog.push_front(check);
            return Ok(());
        }
        let bytes = &buf[..len];
        let same = match check.digest {
            Some(digest) => buffer::checksum(bytes) == digest,
            None => is_zero(bytes),
        };
        if !same {
            self.position = check.offset;
            let device = self.target.path().to_owned();
            return Err(DiskError::ReadbackMismatch { device, offset: check.offset, len: check.len });
        }
        self.spare.push(buf);
        self.counters.verified.fetch_add(check.len, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn check_all(&mut self) -> Result<(), DiskError> {
        while !self.backlog.is_empty() || !self.work.is_empty() {
            if (self.interrupt)() {
                return Err(DiskError::Interrupted { device: self.target.path().to_owned() });
            }
            while self.work.len() < self.options.depth && self.reads < READS && !self.backlog.is_empty() {
                self.submit_check();
            }
            self.reap()?;
        }
        Ok(())
    }
}

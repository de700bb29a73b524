//! Handles completed operations: continues short writes, writes zeros where zeroing failed, starts checks.

use super::super::DiskError;
use super::judge::RequestKind;
use super::{Completion, Op, Work, Writer};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Writer<'_> {
    pub(super) fn complete(&mut self, completion: Completion) -> Result<(), DiskError> {
        let Some((work, given)) = self.work.remove(&completion.token) else { return Ok(()) };
        let (kind, bytes) = match (&completion.op, &completion.result) {
            (Op::Write { .. }, Ok(count)) => (RequestKind::Write, *count as u64),
            (Op::Zero { len, .. }, Ok(_)) => (RequestKind::Hole, *len),
            _ => (RequestKind::Other, 0),
        };
        self.judge.done(kind, bytes, given, Instant::now());
        match (work, completion.op) {
            (Work::Part { group, hole }, Op::Write { buf, start, len, offset }) => {
                let count = completion.result.map_err(|source| self.failed("write", offset, source))?;
                let count = count.min(len);
                if count == len {
                    self.count_write(hole || Arc::ptr_eq(&buf, &self.zeros), len as u64);
                    // The chunk returns its buffer to the pool only as the last owner.
                    drop(buf);
                    return self.part_done(group);
                }
                // The rest again, from a sector boundary.
                let count = count / self.target.sector() as usize * self.target.sector() as usize;
                if count == 0 {
                    return Err(self.failed("write", offset, io::ErrorKind::WriteZero.into()));
                }
                self.count_write(Arc::ptr_eq(&buf, &self.zeros), count as u64);
                let rest = Op::Write { buf, start: start + count, len: len - count, offset: offset + count as u64 };
                self.pending.push_front((Work::Part { group, hole }, rest));
            }
            (Work::Part { group, .. }, Op::Zero { offset, len }) => match completion.result {
                Ok(_) => {
                    if self.punch && self.judge.holes_are_slow() {
                        let name = self.target.path().display();
                        log::info!("{name}: zeroing is slower than writing zeros: {:?}", self.judge);
                        self.punch = false;
                    }
                    self.counters.zeroed.fetch_add(len, Ordering::Relaxed);
                    self.part_done(group)?;
                }
                Err(error) => {
                    // Not supported, or a device that is wrong about it: fall back to writing.
                    log::info!("{}: writing zeros, because zeroing fails: {error}", self.target.path().display());
                    self.punch = false;
                    let ops = self.zero_writes(offset..offset + len);
                    if let Some(group) = self.groups.get_mut(&group) {
                        group.left += ops.len().saturating_sub(1);
                    }
                    for op in ops {
                        self.pending.push_back((Work::Part { group, hole: true }, op));
                    }
                }
            },
            (Work::Check(check), Op::Read { buf, len, offset }) => {
                self.reads -= 1;
                let count = completion.result.map_err(|source| self.failed("read back", offset, source))?;
                self.read_back(check, buf, len, count)?;
            }
            (Work::Flush, _) => {
                completion.result.map_err(|source| self.failed("flush", self.end, source))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn count_write(&self, zeros: bool, bytes: u64) {
        let counter = if zeros { &self.counters.zeroed } else { &self.counters.written };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn failed(&mut self, operation: &'static str, offset: u64, source: io::Error) -> DiskError {
        self.position = offset;
        self.target.io_error(operation, offset, source)
    }

    fn part_done(&mut self, id: u64) -> Result<(), DiskError> {
        let Some(group) = self.groups.get_mut(&id) else { return Ok(()) };
        group.left -= 1;
        if group.left == 0
            && let Some(group) = self.groups.remove(&id)
        {
            // What is wiped behind the image does not show how far the image got.
            if group.check.offset < self.end {
                self.position = self.position.max(group.check.offset + group.check.len);
            }
            if self.options.readback {
                self.backlog.push_back(group.check);
            }
        }
        Ok(())
    }
}

//! What follows from an operation that ended: the rest of a short write, zeros written where zeroing fails, a check.

use super::super::{CHUNK, DiskError};
use super::{Completion, HOLES_JUDGED, Op, Work, Writer};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Writer<'_> {
    pub(super) fn complete(&mut self, completion: Completion) -> Result<(), DiskError> {
        let Some(work) = self.work.remove(&completion.token) else { return Ok(()) };
        match (work, completion.op) {
            (Work::Part { group, started, hole }, Op::Write { buf, start, len, offset }) => {
                let count = completion.result.map_err(|source| self.failed("write", offset, source))?;
                let count = count.min(len);
                self.write_rate.add(count as u64, started.elapsed());
                if count == len {
                    self.count_write(hole || Arc::ptr_eq(&buf, &self.zeros), len as u64);
                    // The chunk gives its buffer back to the pool as the last owner only.
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
                self.pending.push_front((Work::Part { group, started, hole }, rest));
            }
            (Work::Part { group, started, .. }, Op::Zero { offset, len }) => match completion.result {
                Ok(_) => {
                    // A short request says nothing about rates.
                    if len >= CHUNK as u64 {
                        self.zero_rate.add(len, started.elapsed());
                    }
                    if self.punch && self.holes_are_slow() {
                        log::info!("{}: zeroing is slower than writing zeros", self.target.path().display());
                        self.punch = false;
                    }
                    self.counters.zeroed.fetch_add(len, Ordering::Relaxed);
                    self.part_done(group)?;
                }
                Err(error) => {
                    // Not supported, or a device that lies about it: writing decides.
                    log::info!("{}: zeros are written, as zeroing fails: {error}", self.target.path().display());
                    self.punch = false;
                    let ops = self.zero_writes(offset..offset + len);
                    if let Some(group) = self.groups.get_mut(&group) {
                        group.left += ops.len().saturating_sub(1);
                    }
                    for op in ops {
                        self.pending.push_back((Work::Part { group, started, hole: true }, op));
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

    fn holes_are_slow(&self) -> bool {
        let judged = self.zero_rate.bytes >= HOLES_JUDGED && self.write_rate.bytes > 0;
        judged && self.zero_rate.slower_than(&self.write_rate)
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
            // What is wiped behind the image says nothing about how far the image came.
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

//! The start of a write: makes the old contents unbootable, and leaves a mark on the disk that names the order and what
//! is kept.

use super::super::{CHUNK, DiskError, KeptRecord, buffer, wipe};
use super::{Check, Op, WriteFailure, Writer};
use burin_sys::aligned::AlignedBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Writer<'_> {
    /// Makes the old contents unbootable: zeros over the first chunk, except for a mark, and over a backup GPT. On the
    /// medium when this returns.
    pub fn prepare(&mut self) -> Result<(), WriteFailure> {
        self.stale = wipe::old_partitions(self.target);
        let size = self.target.direct_size();
        // The mark comes first: after a power cut from here on, the next run knows whose work it was.
        let forgotten = self.forget_stale_record();
        let marked = forgotten.and_then(|()| self.mark()).and_then(|marked| self.remember().map(|()| marked));
        let prepared = marked.and_then(|marked| {
            match self.target.kept().record().map(KeptRecord::range) {
                Some(record) => {
                    self.write_zeros(marked..record.start);
                    self.write_zeros(record.end..size.min(CHUNK as u64));
                }
                None => self.write_zeros(marked..size.min(CHUNK as u64)),
            }
            self.write_zeros(self.tail_start()..size);
            self.drive(None).and_then(|()| self.flush()).and_then(|()| self.check_all())
        });
        prepared.map_err(|error| self.failure_with_head(error))?;
        // Progress counts the image, not the preparation.
        for counter in [&self.counters.written, &self.counters.zeroed, &self.counters.verified] {
            counter.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes the mark to the medium, in one write. Returns the number of bytes.
    fn mark(&mut self) -> Result<u64, DiskError> {
        let Some(mark) = self.options.withhold else { return Ok(0) };
        // If partitions are kept, the old table describes them until the record does, so it is not touched yet.
        let kept = self.target.kept().record().is_some();
        let head = wipe::marked(&mark, if kept { self.target.sector() as usize } else { wipe::MARKED });
        let len = usize::try_from(self.target.direct_size()).unwrap_or(head.len()).min(head.len());
        let digest = Some(buffer::checksum(head.get(..len).unwrap_or_default()));
        let op = Op::Write { buf: Arc::new(head), start: 0, len, offset: 0 };
        self.enqueue(vec![op], None, Check { offset: 0, len: len as u64, digest, attempts: 0 });
        self.drive(None).and_then(|()| self.flush()).and_then(|()| self.check_all())?;
        Ok(len as u64)
    }

    /// Removes an outdated record of kept partitions, because it would become valid again together with the mark.
    fn forget_stale_record(&mut self) -> Result<(), DiskError> {
        let stale = self.target.kept().record().map(|record| record.stale.clone()).unwrap_or_default();
        for range in stale {
            self.write_zeros(range);
        }
        self.drive(None).and_then(|()| self.flush()).and_then(|()| self.check_all())
    }

    /// Writes the record of kept partitions to the medium.
    fn remember(&mut self) -> Result<(), DiskError> {
        let Some(record) = self.target.kept().record() else { return Ok(()) };
        let (range, mut buf) = (record.range(), AlignedBuf::zeroed(record.bytes.len()));
        buf.copy_from_slice(&record.bytes);
        let (len, digest) = (record.bytes.len(), Some(buffer::checksum(&record.bytes)));
        let op = Op::Write { buf: Arc::new(buf), start: 0, len, offset: range.start };
        self.enqueue(vec![op], None, Check { offset: range.start, len: len as u64, digest, attempts: 0 });
        self.drive(None).and_then(|()| self.flush()).and_then(|()| self.check_all())
    }

    /// Start of the device's last MiB, which holds a backup GPT; behind everything that is kept.
    pub(super) fn tail_start(&self) -> u64 {
        let size = self.target.direct_size();
        let tail = size.saturating_sub(wipe::MARGIN).max(CHUNK as u64).min(size);
        self.target.kept().tail(tail).min(size)
    }
}

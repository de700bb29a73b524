//! The end of a write, successful or not: wipes the rest of the target, and writes or erases the withheld first chunk.

use super::super::{CHUNK, Chunk, DiskError, wipe};
use super::{Body, Check, Op, TICK, Withheld, WriteFailure, Writer, Written};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Body<'_> {
    /// Length of the image in bytes.
    pub fn image(&self) -> u64 {
        self.0.end
    }

    /// Wipes beyond the image, then writes the first chunk, or returns it with [`super::WriterOptions::withhold`]. Call
    /// it only when every digest has been verified. After an error the first chunk is zeroed, as far as the device
    /// still works.
    pub fn finish(self) -> Result<Written, WriteFailure> {
        let mut writer = self.0;
        let withheld = writer.options.withhold.map(|_| writer.take_withheld());
        let wiped = writer.wipe_beyond().and_then(|()| writer.flush()).and_then(|()| writer.check_all());
        wiped.map_err(|error| WriteFailure { offset: writer.position, head_erased: true, error })?;
        if let Some(head) = writer.head.take() {
            match head.digest {
                // Zeros are already there: prepare wrote them and read them back.
                None => {
                    writer.counters.zeroed.fetch_add(head.padded as u64, Ordering::Relaxed);
                    if writer.options.readback {
                        writer.counters.verified.fetch_add(head.padded as u64, Ordering::Relaxed);
                    }
                }
                Some(_) => writer.write_chunk_whole(head),
            }
            let written = writer.drive(None).and_then(|()| writer.flush()).and_then(|()| writer.check_all());
            written.map_err(|error| writer.failure_with_head(error))?;
        }
        Ok(Written { image: writer.end, punched: writer.punch, withheld })
    }
}

impl Writer<'_> {
    /// The image's contents for both ends of the device.
    fn take_withheld(&mut self) -> Withheld {
        let size = self.target.size();
        let mut head = self.head.take().map(|head| head.bytes().to_vec()).unwrap_or_default();
        head.resize(usize::try_from(size).unwrap_or(CHUNK).min(CHUNK), 0);
        let start = self.tail_start();
        let mut tail = std::mem::take(&mut self.withheld);
        if !self.partial.is_empty() {
            tail.resize(usize::try_from(self.target.direct_size() - start).unwrap_or(0), 0);
            tail.append(&mut self.partial);
        }
        if tail.is_empty() {
            return Withheld { head, tail: None };
        }
        // At most the last MiB and a partial block.
        tail.resize(usize::try_from(size - start).unwrap_or(0), 0);
        Withheld { head, tail: Some((start, tail)) }
    }

    /// Zeros old signatures beyond the image.
    fn wipe_beyond(&mut self) -> Result<(), DiskError> {
        let size = self.target.direct_size();
        let sector = u64::from(self.target.sector());
        for range in wipe::beyond(self.end.next_multiple_of(sector).min(size), size, &self.stale) {
            self.write_zeros(range.start / sector * sector..range.end.next_multiple_of(sector).min(size));
        }
        self.drive(None)?;
        let rest = usize::try_from(self.target.size() - size).unwrap_or(0);
        if rest > 0 {
            // The rest of a file's partial block is zero.
            self.partial.resize(rest, 0);
            self.target.write_tail(&self.partial, size)?;
            if self.options.readback && self.target.read_tail(rest, size)? != self.partial {
                let device = self.target.path().to_owned();
                return Err(DiskError::ReadbackMismatch { device, offset: size, len: rest as u64 });
            }
        }
        Ok(())
    }

    /// Writes the head in one piece, so that a power cut can leave fewer different states.
    fn write_chunk_whole(&mut self, chunk: Chunk) {
        let Some(buf) = chunk.shared() else { return };
        let mut ops = Vec::new();
        // The first sectors are queued last, which is the best ordering available.
        for start in (0..chunk.padded).step_by(self.options.request) {
            let len = self.options.request.min(chunk.padded - start);
            ops.push(Op::Write { buf: buf.clone(), start, len, offset: chunk.offset + start as u64 });
        }
        ops.reverse();
        let check = Check { offset: chunk.offset, len: chunk.padded as u64, digest: chunk.digest, attempts: 0 };
        self.enqueue(ops, Some(chunk), check);
    }

    /// The error after a failure while the first chunk itself was being written.
    pub(super) fn failure_with_head(&mut self, error: DiskError) -> WriteFailure {
        // On a device that hangs, erasing would hang too.
        let head_erased = !matches!(error, DiskError::Hung { .. }) && self.erase_head();
        WriteFailure { offset: self.position, head_erased, error }
    }

    /// Last resort: whatever was interrupted must not boot. Returns true if the device accepted it.
    fn erase_head(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        self.pending.clear();
        while !self.work.is_empty() && Instant::now() < deadline {
            let Ok(done) = self.queue.wait(TICK) else { break };
            for completion in done {
                self.work.remove(&completion.token);
            }
        }
        if !self.work.is_empty() {
            // It would hang too, or be overwritten by operations still in flight.
            return false;
        }
        match wipe::erase_head(self.target, self.options.withhold.as_ref()) {
            Ok(()) => true,
            Err(error) => {
                log::error!("{error}");
                false
            }
        }
    }
}

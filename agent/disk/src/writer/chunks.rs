//! Turns a chunk into operations on the device, adds it to a hole, or withholds it as the head.

use super::super::{Chunk, DiskError, checksum, is_zero};
use super::{Check, LONGEST_ZERO, Op, Writer};
use std::ops::Range;

impl Writer<'_> {
    /// Takes a chunk of the feed: the first is withheld, zeros are collected, the others become operations.
    pub(super) fn accept(&mut self, mut chunk: Chunk) -> Result<(), DiskError> {
        self.end = self.end.max(chunk.offset + chunk.len as u64);
        let direct = usize::try_from(self.target.direct_size().saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
        if direct < chunk.padded {
            // The file ends in a partial block, which direct I/O does not reach.
            self.partial = chunk.bytes().get(direct..chunk.len).unwrap_or_default().to_vec();
            chunk.truncate(direct);
        }
        if chunk.offset == 0 {
            self.head = Some(chunk);
            return Ok(());
        }
        if self.options.withhold.is_some() {
            self.withhold(&mut chunk);
            if chunk.padded == 0 {
                return Ok(());
            }
        }
        let range = chunk.offset..chunk.offset + chunk.padded as u64;
        if chunk.digest.is_none() {
            chunk.release();
            for piece in self.target.kept().outside(range) {
                self.add_zeros(piece);
            }
            return Ok(());
        }
        self.end_zero_run();
        match self.target.kept().hit(&range) {
            None => self.write_chunk(chunk),
            Some(_) => self.write_around(&chunk, range)?,
        }
        Ok(())
    }

    fn add_zeros(&mut self, range: Range<u64>) {
        match &mut self.zero_run {
            Some(run) if run.end == range.start => run.end = range.end,
            _ => {
                self.end_zero_run();
                self.zero_run = Some(range);
            }
        }
        if self.zero_run.as_ref().is_some_and(|run| run.end - run.start >= LONGEST_ZERO) {
            self.end_zero_run();
        }
    }

    /// A chunk that overlaps kept ranges must contain only zeros there.
    fn write_around(&mut self, chunk: &Chunk, range: Range<u64>) -> Result<(), DiskError> {
        let Some(buf) = chunk.shared() else { return Ok(()) };
        let at = |bytes: &Range<u64>| {
            let from = |place: u64| usize::try_from(place.saturating_sub(range.start)).unwrap_or(usize::MAX);
            from(bytes.start)..from(bytes.end).min(chunk.padded)
        };
        for kept in self.target.kept().ranges() {
            let inside = kept.start.max(range.start)..kept.end.min(range.end);
            if !inside.is_empty() && !is_zero(chunk.bytes().get(at(&inside)).unwrap_or_default()) {
                self.position = inside.start;
                self.target.may_write(inside.start, inside.end - inside.start)?;
            }
        }
        for piece in self.target.kept().outside(range.clone()) {
            let bytes = at(&piece);
            let digest = Some(checksum(chunk.bytes().get(bytes.clone()).unwrap_or_default()));
            let write = |start: usize| {
                let len = self.options.request.min(bytes.end - start);
                Op::Write { buf: buf.clone(), start, len, offset: range.start + start as u64 }
            };
            let ops = bytes.clone().step_by(self.options.request).map(write).collect();
            let check = Check { offset: piece.start, len: bytes.len() as u64, digest, attempts: 0 };
            self.enqueue(ops, Some(chunk.share()), check);
        }
        Ok(())
    }

    /// Removes the part of `chunk` in the device's last MiB.
    fn withhold(&mut self, chunk: &mut Chunk) {
        let start = self.tail_start();
        let from = usize::try_from(start.saturating_sub(chunk.offset)).unwrap_or(usize::MAX);
        let Some(tail) = chunk.bytes().get(from..).filter(|tail| !tail.is_empty()) else { return };
        let place = usize::try_from(chunk.offset + from as u64 - start).unwrap_or(0);
        self.withheld.resize(place, 0);
        self.withheld.extend_from_slice(tail);
        chunk.truncate(from);
    }

    fn write_chunk(&mut self, chunk: Chunk) {
        let Some(buf) = chunk.shared() else { return };
        let mut ops = Vec::new();
        for segment in &chunk.segments {
            let offset = chunk.offset + segment.range.start as u64;
            if segment.zero && self.punch {
                ops.push(Op::Zero { offset, len: segment.range.len() as u64 });
                continue;
            }
            for start in segment.range.clone().step_by(self.options.request) {
                let len = self.options.request.min(segment.range.end - start);
                ops.push(Op::Write { buf: buf.clone(), start, len, offset: chunk.offset + start as u64 });
            }
        }
        let check = Check { offset: chunk.offset, len: chunk.padded as u64, digest: chunk.digest, attempts: 0 };
        self.enqueue(ops, Some(chunk), check);
    }

    pub(super) fn end_zero_run(&mut self) {
        let Some(run) = self.zero_run.take() else { return };
        if !self.punch {
            return self.write_zeros(run);
        }
        let check = Check { offset: run.start, len: run.end - run.start, digest: None, attempts: 0 };
        self.enqueue(vec![Op::Zero { offset: run.start, len: run.end - run.start }], None, check);
    }

    /// Writes zeros instead of punching, leaving out kept ranges.
    pub(super) fn write_zeros(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        for piece in self.target.kept().outside(range) {
            let check = Check { offset: piece.start, len: piece.end - piece.start, digest: None, attempts: 0 };
            let ops = self.zero_writes(piece);
            self.enqueue(ops, None, check);
        }
    }

    pub(super) fn zero_writes(&self, range: Range<u64>) -> Vec<Op> {
        let step = self.options.request as u64;
        let mut ops = Vec::new();
        let mut offset = range.start;
        while offset < range.end {
            let len = step.min(range.end - offset);
            ops.push(Op::Write { buf: self.zeros.clone(), start: 0, len: len as usize, offset });
            offset += len;
        }
        ops
    }
}

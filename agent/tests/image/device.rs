//! Failing devices: EIO, ENOSPC, short writes, lost and torn writes, at every operation. Wrong bytes must never be
//! reported as success, and a failure leaves nothing bootable.

use crate::support::*;
use burin::disk::{
    Backend, Completion, Counters, DiskError, Op, PATIENCE, Pool, Queue, Target, Waker, Writer, WriterOptions, Written,
    open_queue,
};
use burin::error::Coded;
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Fails with this errno and does nothing.
    Errno(i32),
    /// Does only this much, and says so.
    Short(usize),
    /// Does nothing, and says that it did.
    Lost,
    /// Does half, and says that it did all.
    Torn,
    /// Flips a bit of what is written.
    Flipped,
}

/// Passes everything on to a real queue, except operation number `at`.
struct Faulty {
    inner: Box<dyn Queue>,
    count: Arc<AtomicUsize>,
    at: usize,
    fault: Fault,
    altered: Vec<(u64, Op, Fault)>,
    ready: Vec<Completion>,
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn flipped(buf: &[u8], start: usize, len: usize) -> Arc<burin::sys::aligned::AlignedBuf> {
    let mut copy = burin::sys::aligned::AlignedBuf::zeroed(len);
    copy[..len].copy_from_slice(&buf[start..start + len]);
    copy[len / 2] ^= 0x10;
    Arc::new(copy)
}

impl Queue for Faulty {
    fn submit(&mut self, token: u64, op: Op) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        if number != self.at || self.fault == Fault::None {
            return self.inner.submit(token, op);
        }
        let done = |result| Completion { token, op: Op::Flush, result };
        match (self.fault, op) {
            (Fault::Errno(number), op) => self.ready.push(Completion { op, ..done(Err(errno(number))) }),
            (Fault::Lost, op @ (Op::Write { len, .. } | Op::Read { len, .. })) => {
                self.ready.push(Completion { op, ..done(Ok(len)) });
            }
            (Fault::Lost, op) => self.ready.push(Completion { op, ..done(Ok(0)) }),
            (fault @ Fault::Flipped, Op::Write { buf, start, len, offset }) => {
                let bad = Op::Write { buf: flipped(&buf, start, len), start: 0, len, offset };
                self.altered.push((token, Op::Write { buf, start, len, offset }, fault));
                self.inner.submit(token, bad);
            }
            (fault @ (Fault::Torn | Fault::Short(_)), Op::Write { buf, start, len, offset }) => {
                let part = match fault {
                    Fault::Short(count) => count.min(len),
                    _ => (len / 2).next_multiple_of(4096).min(len),
                };
                self.altered.push((token, Op::Write { buf: buf.clone(), start, len, offset }, fault));
                let whole = part / 4096 * 4096;
                if whole == 0 {
                    let (token, op, _) = self.altered.pop().unwrap();
                    return self.ready.push(Completion { token, op, result: Ok(part) });
                }
                self.inner.submit(token, Op::Write { buf, start, len: whole, offset });
            }
            (Fault::Short(count), Op::Read { buf, len, offset }) => {
                self.ready.push(Completion { op: Op::Read { buf, len, offset }, ..done(Ok(count.min(len))) });
            }
            (_, op) => self.inner.submit(token, op),
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        let mut done = std::mem::take(&mut self.ready);
        let timeout = if done.is_empty() { timeout } else { Duration::ZERO };
        done.extend(self.inner.wait(timeout)?);
        for completion in &mut done {
            let Some(index) = self.altered.iter().position(|(token, ..)| *token == completion.token) else { continue };
            let (_, op, fault) = self.altered.swap_remove(index);
            if let (Op::Write { len, .. }, Ok(count)) = (&op, &mut completion.result) {
                *count = match fault {
                    Fault::Short(part) => part.min(*len),
                    _ => *len,
                };
            }
            completion.op = op;
        }
        Ok(done)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn name(&self) -> &'static str {
        "faulty"
    }
}

/// Writes `image` through a queue that fails once. The number of operations it took.
fn write(path: &Path, image: &[u8], backend: Backend, at: usize, fault: Fault) -> (Result<Written, DiskError>, usize) {
    let target = Target::open_file(path).unwrap();
    // As many as the image has chunks: the feed must not wait for one.
    let pool = Pool::new(image.len().div_ceil(MIB) + 1);
    let inner = open_queue(&target, backend, 8, &pool).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let queue = Faulty { inner, count: count.clone(), at, fault, altered: Vec::new(), ready: Vec::new() };
    let options = WriterOptions {
        readback: true,
        overlap: true,
        depth: 4,
        request: 512 * 1024,
        patience: PATIENCE,
        withhold: None,
    };
    let counters = Counters::default();
    let never = || false;
    let mut writer = Writer::new(&target, Box::new(queue), options, &counters, &never);
    let mut feed = Chunks { pool, image, offset: 0 };
    let result = writer
        .prepare()
        .map_err(|failure| failure.error)
        .and_then(|()| writer.run(&mut feed).map_err(|failure| failure.error))
        .and_then(|body| body.finish().map_err(|failure| failure.error));
    (result, count.load(Ordering::Relaxed))
}

fn check(path: &Path, image: &[u8], target_len: usize, backend: Backend, at: usize, fault: Fault) {
    dirty(path, target_len);
    match write(path, image, backend, at, fault).0 {
        Ok(_) => assert_written(&fs::read(path).unwrap(), image),
        Err(error) => {
            assert!(matches!(error.code(), "disk.io" | "disk.readback_mismatch"), "{error:?}");
            let head = &fs::read(path).unwrap()[..MIB];
            // Slices are compared at once, bytes one by one.
            assert!(*head == [0; MIB], "{fault:?} at {at}: {error:?} left a head");
        }
    }
}

const FAULTS: [Fault; 8] = [
    Fault::Errno(libc::EIO),
    Fault::Errno(libc::ENOSPC),
    Fault::Errno(libc::ENODEV),
    Fault::Short(0),
    Fault::Short(8192),
    Fault::Lost,
    Fault::Torn,
    Fault::Flipped,
];

#[test]
fn every_operation_fails_once_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let image = [noise(MIB + 70_000, 1), vec![0; MIB], noise(9000, 2)].concat();
    let len = 4 * MIB;
    for backend in [Backend::Auto, Backend::Threads] {
        fs::write(&path, dirt(len)).unwrap();
        let (result, operations) = write(&path, &image, backend, 0, Fault::None);
        result.unwrap();
        assert_written(&fs::read(&path).unwrap(), &image);
        assert!(operations > 15, "{operations}");
        for at in 0..operations + 2 {
            for fault in FAULTS {
                check(&path, &image, len, backend, at, fault);
            }
        }
    }
}

#[test]
fn a_failing_hole_is_written_instead() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let image = vec![0; 6 * MIB];
    fs::write(&path, dirt(8 * MIB)).unwrap();
    let (_, operations) = write(&path, &image, Backend::Threads, usize::MAX, Fault::None);
    let mut fell_back = 0;
    for at in 0..operations {
        dirty(&path, 8 * MIB);
        if let (Ok(written), _) = write(&path, &image, Backend::Threads, at, Fault::Errno(libc::EOPNOTSUPP)) {
            fell_back += usize::from(!written.punched);
            assert_written(&fs::read(&path).unwrap(), &image);
        }
    }
    assert_eq!(fell_back, 1);
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Errno(libc::EIO)),
        Just(Fault::Errno(libc::ENOSPC)),
        (0usize..300_000).prop_map(Fault::Short),
        Just(Fault::Lost),
        Just(Fault::Torn),
        Just(Fault::Flipped),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_image_on_any_faulty_device(
        pieces in proptest::collection::vec((any::<bool>(), 1usize..700_000), 1..12),
        extra in 0usize..3_000_000,
        at in 0usize..60,
        fault in faults(),
        threads in any::<bool>(),
    ) {
        let mut image = Vec::new();
        for (zero, len) in pieces {
            match zero {
                true => image.resize(image.len() + len, 0),
                false => image.extend_from_slice(&dirt(8 * MIB)[MIB + image.len() % 1000..][..len]),
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        let backend = if threads { Backend::Threads } else { Backend::Auto };
        let len = (image.len() + extra).max(MIB);
        check(&path, &image, len, backend, at, fault);
    }
}

//! Devices that disappear in the middle, and what the error says about how far the write came.

use crate::support::*;
use burin::disk::{
    Backend, Completion, Counters, DiskError, Fed, Feed, Op, PATIENCE, Pool, Queue, Target, Waker, WriteFailure,
    Writer, WriterOptions, Written, open_queue,
};
use burin::error::Coded;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// From operation number `from` on, everything fails as on a disk that was pulled out.
struct Gone {
    inner: Box<dyn Queue>,
    count: usize,
    from: usize,
    errno: i32,
    ready: Vec<Completion>,
}

impl Queue for Gone {
    fn submit(&mut self, token: u64, op: Op) {
        self.count += 1;
        match self.count > self.from {
            true => self.ready.push(Completion { token, op, result: Err(errno(self.errno)) }),
            false => self.inner.submit(token, op),
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        let mut done = std::mem::take(&mut self.ready);
        let timeout = if done.is_empty() { timeout } else { Duration::ZERO };
        done.extend(self.inner.wait(timeout)?);
        Ok(done)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn name(&self) -> &'static str {
        "gone"
    }
}

/// From operation number `from` on, nothing is answered.
struct Hung {
    inner: Box<dyn Queue>,
    count: usize,
    from: usize,
    kept: Vec<Op>,
}

impl Queue for Hung {
    fn submit(&mut self, token: u64, op: Op) {
        self.count += 1;
        match self.count > self.from {
            true => self.kept.push(op),
            false => self.inner.submit(token, op),
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<Vec<Completion>> {
        self.inner.wait(timeout)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }

    fn name(&self) -> &'static str {
        "hung"
    }
}

/// The writer over a queue of the test's own, to its end.
fn drive(
    target: &Target,
    queue: Box<dyn Queue>,
    feed: &mut dyn Feed,
    interrupt: &(dyn Fn() -> bool + Sync),
) -> Result<Written, WriteFailure> {
    drive_for(target, queue, feed, interrupt, PATIENCE)
}

fn drive_for(
    target: &Target,
    queue: Box<dyn Queue>,
    feed: &mut dyn Feed,
    interrupt: &(dyn Fn() -> bool + Sync),
    patience: Duration,
) -> Result<Written, WriteFailure> {
    let options =
        WriterOptions { readback: true, overlap: true, depth: 4, request: 512 * 1024, patience, withhold: None };
    let counters = Counters::default();
    let mut writer = Writer::new(target, queue, options, &counters, interrupt);
    writer.prepare()?;
    writer.run(feed)?.finish()
}

#[test]
fn a_device_removed_at_any_moment_is_an_error_and_nothing_boots() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let image = [noise(3 * MIB + 70_000, 1), vec![0; MIB], noise(9000, 2)].concat();
    for errno in [libc::ENODEV, libc::ENXIO] {
        for from in 0.. {
            fs::write(&path, dirt(6 * MIB)).unwrap();
            let target = Target::open_file(&path).unwrap();
            let pool = Pool::new(64);
            let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
            let queue = Box::new(Gone { inner, count: 0, from, errno, ready: Vec::new() });
            let ended = drive(&target, queue, &mut Chunks { pool, image: &image, offset: 0 }, &|| false);
            let Err(failure) = ended else {
                assert!(from > 15, "it takes only {from} operations");
                assert_written(&fs::read(&path).unwrap(), &image);
                break;
            };
            assert_eq!(failure.error.code(), "disk.io", "{failure:?}");
            let DiskError::Io { source, .. } = &failure.error else { panic!("{failure:?}") };
            assert_eq!(source.raw_os_error(), Some(errno));
            // Either it was erased before, or the last attempt, which needs no queue, erased it.
            assert!(failure.head_erased, "{from}: {failure:?}");
            assert_unbootable(&path);
        }
    }
}

#[test]
fn a_device_that_never_answers_is_an_error_and_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let image = [noise(3 * MIB + 70_000, 1), vec![0; MIB], noise(9000, 2)].concat();
    let (mut erased, mut unknown) = (0, 0);
    for from in 0.. {
        fs::write(&path, dirt(6 * MIB)).unwrap();
        let target = Target::open_file(&path).unwrap();
        let pool = Pool::new(64);
        let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
        let queue = Box::new(Hung { inner, count: 0, from, kept: Vec::new() });
        let mut feed = Chunks { pool, image: &image, offset: 0 };
        let patience = Duration::from_millis(300);
        let Err(failure) = drive_for(&target, queue, &mut feed, &|| false, patience) else {
            assert!(from > 15, "it takes only {from} operations");
            assert_written(&fs::read(&path).unwrap(), &image);
            break;
        };
        assert_eq!(failure.error.code(), "disk.hung", "{failure:?}");
        match failure.head_erased {
            true => {
                assert_unbootable(&path);
                erased += 1;
            }
            false => unknown += 1,
        }
    }
    // In the preparation and with the first chunk: nobody knows what became of it, and nobody says so.
    assert!(erased >= 4 && unknown >= 4, "{erased} {unknown}");
}

#[test]
fn a_cancellation_does_not_wait_for_a_device_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    fs::write(&path, dirt(6 * MIB)).unwrap();
    let target = Target::open_file(&path).unwrap();
    let pool = Pool::new(64);
    let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
    let queue = Box::new(Hung { inner, count: 0, from: 0, kept: Vec::new() });
    let mut feed = Chunks { pool, image: &[], offset: 0 };
    let looks = AtomicUsize::new(0);
    let cancelled = || looks.fetch_add(1, Ordering::Relaxed) > 0;
    let failure = drive(&target, queue, &mut feed, &cancelled).unwrap_err();
    assert!(matches!(failure.error, DiskError::Interrupted { .. }) && !failure.head_erased, "{failure:?}");
}

#[test]
fn a_loop_device_whose_file_vanishes_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(12 * MIB, 1);
    for backend in [Backend::Auto, Backend::Threads] {
        for after in [1, 5, 11] {
            let Some(device) = Loop::new(dir.path(), 16 * MIB, 512) else { return };
            let target = Target::open_device(&device.device).unwrap();
            let pool = Pool::new(64);
            let queue = open_queue(&target, backend, 8, &pool).unwrap();
            let chunks = Chunks { pool, image: &image, offset: 0 };
            let mut feed = Then { chunks, left: after, then: &|| device.pull() };
            let failure = drive(&target, queue, &mut feed, &|| false).unwrap_err();
            assert_eq!(failure.error.code(), "disk.gone", "{failure:?}");
        }
    }
}

/// SCSI disks do so: what they are asked fails as if by a bad medium, and the kernel takes them away a moment later.
#[test]
fn a_device_that_fails_before_it_goes_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(4 * MIB, 1);
    let Some(device) = Loop::new(dir.path(), 16 * MIB, 512) else { return };
    let target = Target::open_device(&device.device).unwrap();
    let pool = Pool::new(64);
    let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
    let queue = Box::new(Gone { inner, count: 0, from: 0, errno: libc::EIO, ready: Vec::new() });
    let failure = std::thread::scope(|scope| {
        scope.spawn(|| device.pull());
        drive(&target, queue, &mut Chunks { pool, image: &image, offset: 0 }, &|| false).unwrap_err()
    });
    assert_eq!(failure.error.code(), "disk.gone", "{failure:?}");
}

/// Does something once so many chunks were taken.
struct Then<'a> {
    chunks: Chunks<'a>,
    left: usize,
    then: &'a dyn Fn(),
}

impl Feed for Then<'_> {
    fn next(&mut self) -> Fed {
        if self.left == 0 {
            (self.then)();
        }
        self.left = self.left.wrapping_sub(1);
        self.chunks.next()
    }
}

#[test]
fn a_failed_write_tells_how_far_the_image_came() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("target");
    let image = noise(6 * MIB, 1);
    let stopped = AtomicBool::new(false);
    for after in [1, 3, 6] {
        // The preparation wipes a backup table at the end of the target, far behind the image.
        fs::write(&path, dirt(20 * MIB)).unwrap();
        let target = Target::open_file(&path).unwrap();
        let pool = Pool::new(64);
        let queue = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
        let chunks = Chunks { pool, image: &image[..], offset: 0 };
        stopped.store(false, Ordering::Relaxed);
        let mut feed = Then { chunks, left: after, then: &|| stopped.store(true, Ordering::Relaxed) };
        let failure = drive(&target, queue, &mut feed, &|| stopped.load(Ordering::Relaxed)).unwrap_err();
        assert!(matches!(failure.error, DiskError::Interrupted { .. }), "{failure:?}");
        // At most what the feed gave, and no byte behind the image.
        assert!(failure.offset <= feed.chunks.offset as u64, "{after}: {}", failure.offset);
        assert!(feed.chunks.offset < image.len() || after == 6, "it went on after it was stopped");
        assert_unbootable(&path);
    }
    // A chunk that fails names its place, far before what was wiped in the preparation.
    for from in [9, 12] {
        fs::write(&path, dirt(20 * MIB)).unwrap();
        let target = Target::open_file(&path).unwrap();
        let pool = Pool::new(64);
        let inner = open_queue(&target, Backend::Threads, 8, &pool).unwrap();
        let queue = Box::new(Gone { inner, count: 0, from, errno: libc::EIO, ready: Vec::new() });
        let failure = drive(&target, queue, &mut Chunks { pool, image: &image, offset: 0 }, &|| false).unwrap_err();
        assert!((MIB as u64..image.len() as u64).contains(&failure.offset), "{from}: {failure:?}");
    }
}

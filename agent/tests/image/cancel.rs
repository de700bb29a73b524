//! A cancelled write ends at once, whatever it waits for, and leaves nothing bootable.
//!
//! "At once" is measured by what happens, not by a clock: progress is told every 200 ms at most, so that a write that
//! ends within a second tells it no more than five times after it was called off.

use crate::support::*;
use burin::disk::Target;
use burin::error::Coded;
use burin::image::{self, Cancel, DeltaRequest, ImageError, Options, Phase, Progress, Snapshot, Source, WriteRequest};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const TOLD_IN_A_SECOND: usize = 5;

/// Calls off when `when` is true of what is told, and counts what is told from then on.
struct CallOff<'a> {
    cancel: &'a Cancel,
    when: &'a (dyn Fn(&Snapshot) -> bool + Sync),
    called: Mutex<Option<(Instant, usize)>>,
}

impl Progress for CallOff<'_> {
    fn tick(&self, now: &Snapshot) {
        let mut called = self.called.lock().unwrap();
        match &mut *called {
            Some((_, told)) if now.phase == Phase::Writing => *told += 1,
            Some(_) => {}
            None if (self.when)(now) => {
                *called = Some((Instant::now(), 0));
                self.cancel.cancel();
            }
            None => {}
        }
    }
}

/// How long it took to end; none where it ended before it was called off.
fn called_off(request: WriteRequest, path: &Path, when: &(dyn Fn(&Snapshot) -> bool + Sync)) -> Option<Duration> {
    let cancel = Cancel::default();
    let watch = CallOff { cancel: &cancel, when, called: Mutex::default() };
    let target = Target::open_file(path).unwrap();
    let ended = image::write(request, &target, &watch, &cancel);
    let (at, told) = watch.called.into_inner().unwrap()?;
    let took = at.elapsed();
    assert!(told <= TOLD_IN_A_SECOND, "progress was told {told} times after the write was called off");
    match ended {
        // Between the last look at the flag and the end there is a moment in which it is too late.
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.code(), "cancelled", "{error:?}");
            assert!(matches!(error, ImageError::Stopped { head_erased: true, .. }), "{error:?}");
            assert!(error.to_string().contains("does not boot"), "{error}");
            assert_unbootable(path);
            Some(took)
        }
    }
}

/// Nothing but the call can end these.
fn patient(url: &str, connections: usize) -> WriteRequest {
    let mut http = http(vec![url.to_owned()]);
    (http.stall, http.patience, http.connections) = (Duration::from_secs(3600), Duration::from_secs(3600), connections);
    WriteRequest::new(Source::Http(http))
}

#[test]
fn while_the_source_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(16 * MIB, 1);
    let mut longest = Duration::ZERO;
    let mut end = |request: WriteRequest, held: &[u8], name: &str| {
        let path = dir.path().join("target");
        fs::write(&path, held).unwrap();
        let took = called_off(request, &path, &|now| now.written_bytes > 0 || now.skipped_bytes > 0);
        let took = took.unwrap_or_else(|| panic!("{name}: it was not called off"));
        longest = longest.max(took);
    };
    let dirty = dirt(17 * MIB);
    let one = Server::new(bytes.clone(), []).always(Answer::Hang(9 * MIB));
    end(patient(&one.url, 1), dirty, "one connection");
    let parts = Server::new(bytes.clone(), [Answer::Proper, Answer::Proper, Answer::Proper]).always(Answer::Hang(MIB));
    end(patient(&parts.url, 3), dirty, "three connections");
    let again = Server::new(bytes.clone(), [Answer::Cut(9 * MIB)]).always(Answer::Silence);
    end(patient(&again.url, 1), dirty, "a resumption without an answer");
    let away = Server::new(bytes.clone(), [Answer::Cut(9 * MIB)]).always(Answer::Status(503));
    end(patient(&away.url, 1), dirty, "a pause between attempts");
    // By an index: the image, its end and its first MiB are answered, then there is silence.
    let index = image::index(
        Source::Reader(Box::new(std::io::Cursor::new(bytes.clone())), "test".into()),
        Options::default(),
        &Cancel::default(),
    );
    let ranges = Server::new(bytes.clone(), [(); 5].map(|()| Answer::Proper)).always(Answer::Hang(0));
    let delta = Some(DeltaRequest { always: true, ..DeltaRequest::new(index.unwrap()) });
    let mut held = bytes.clone();
    (9..15).for_each(|mib| held[mib * MIB] ^= 1);
    end(WriteRequest { delta, ..patient(&ranges.url, 1) }, &held, "by an index");
    println!("the longest took {} ms to end", longest.as_millis());
}

#[test]
fn at_any_instant_of_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let image = noise(24 * MIB, 2);
    let server = Server::new(image.clone(), []);
    let (mut longest, mut ended) = (Duration::ZERO, 0);
    for from in (0..25).step_by(3) {
        let path = dir.path().join("target");
        fs::write(&path, dirt(25 * MIB)).unwrap();
        let mut http = http(vec![server.url.clone()]);
        http.rate = Some(24 << 20);
        let request = WriteRequest::new(Source::Http(http));
        let when = |now: &Snapshot| now.phase != Phase::Preparing && now.image_bytes >= (from * MIB) as u64;
        if let Some(took) = called_off(request, &path, &when) {
            longest = longest.max(took);
            ended += 1;
        }
    }
    // In the last instants it may be too late.
    assert!(ended >= 5, "only {ended} were called off");
    println!("the longest of {ended} took {} ms to end", longest.as_millis());
}

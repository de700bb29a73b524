//! The image step: targets checked against the plan, engine run, progress told.

use super::{ApplyError, Context, fetch};
use crate::controller::Emitter;
use crate::disk::Target;
use crate::error::Coded;
use crate::image::{self, Destination, Phase, Progress as _, Snapshot, Source, WriteRequest};
use crate::protocol::event::{Anomaly, Progress};
use crate::protocol::image::Verify;
use crate::protocol::plan::PlannedDisk;
use crate::protocol::{ImageReceipt, Kind, Problem};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Writes an image to every one of `disks` with one download. Receipts go to `done` whatever becomes of the others.
pub fn write(
    context: &Context<'_>,
    disks: &[usize],
    name: &str,
    verify: Verify,
    emitter: &Emitter,
    done: &mut Vec<ImageReceipt>,
) -> Result<(), ApplyError> {
    let spec = context.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.to_owned() })?;
    let mut opened = Vec::new();
    for &index in disks {
        let disk = context.disk(index)?;
        opened.push((context.path(disk), open(context, disk)));
    }
    let mut failed = Vec::new();
    let mut targets = Vec::new();
    for (path, target) in opened {
        match target {
            Ok(target) => targets.push((path, target)),
            Err(error) => failed.push((path, error)),
        }
    }
    let watches: Vec<Watch<'_>> = targets.iter().map(|(path, _)| Watch::new(path, emitter)).collect();
    let destinations: Vec<Destination<'_>> =
        targets.iter().zip(&watches).map(|((_, target), watch)| Destination { target, progress: watch }).collect();
    if let Some(first) = watches.first() {
        let fetched = fetch::prepare(context, spec)?;
        let mut request = WriteRequest::new(Source::Http(fetched.http.clone()));
        request.format = spec.format;
        request.verify = verify;
        request.digest = fetched.digest;
        request.signature = fetched.signature;
        request.sector_size = spec.sector_size;
        if let (Some(index), [_]) = (&spec.delta, disks) {
            let note = |text: &str| first.note(text);
            request.delta = fetch::index(&fetched.http, index, &context.cancel, &note)?;
        }
        let ended = image::write_all(request, &destinations, &context.cancel)?;
        for ((path, _), ended) in targets.iter().zip(ended) {
            match ended {
                Ok(written) => done.push(written.receipt),
                Err(error) => failed.push((path.clone(), ApplyError::from(error))),
            }
        }
    }
    several(failed, disks.len(), emitter)
}

fn open(context: &Context<'_>, disk: &PlannedDisk) -> Result<Target, ApplyError> {
    let path = context.path(disk);
    let target = Target::open_device(&path).map_err(image::ImageError::from)?;
    let expect = |what, planned: u64, found: u64| {
        if planned == found {
            return Ok(());
        }
        Err(ApplyError::Geometry { device: path.clone(), what, planned, found })
    };
    expect("bytes large", disk.size, target.size())?;
    expect("bytes a sector", u64::from(disk.logical_block_size), u64::from(target.sector()))?;
    Ok(target)
}

/// One disk's failure is the step's; of several, each is told, and the step's names all of them.
fn several(failed: Vec<(PathBuf, ApplyError)>, of: usize, emitter: &Emitter) -> Result<(), ApplyError> {
    if of > 1 {
        for (path, error) in &failed {
            log::error!("{}: {error} [{}]", path.display(), error.code());
            let anomaly = Anomaly { device: Some(path.display().to_string()), problem: error.problem() };
            emitter.emit(Kind::Anomaly(anomaly));
        }
    }
    let named: Vec<String> =
        failed.iter().map(|(path, error)| format!("{} [{}]", path.display(), error.code())).collect();
    match failed.into_iter().next() {
        None => Ok(()),
        Some((_, error)) if of == 1 => Err(error),
        Some((_, error)) => Err(ApplyError::Disks { failed: named, of, source: Box::new(error) }),
    }
}

/// Turns the engine's ticks into events (one a second) and lines on the console (one in five).
struct Watch<'a> {
    device: String,
    emitter: &'a Emitter,
    told: Mutex<Told>,
}

impl<'a> Watch<'a> {
    fn new(path: &Path, emitter: &'a Emitter) -> Self {
        Self { device: path.display().to_string(), emitter, told: Mutex::default() }
    }
}

#[derive(Default)]
struct Told {
    event: Option<Instant>,
    line: Option<Instant>,
    phase: Option<Phase>,
}

const EVENT_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(5);

impl image::Progress for Watch<'_> {
    fn tick(&self, now: &Snapshot) {
        let Ok(mut told) = self.told.lock() else { return };
        let due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| last.elapsed() >= every);
        let new_phase = told.phase.replace(now.phase) != Some(now.phase);
        if due(told.event, EVENT_EVERY) || new_phase {
            told.event = Some(Instant::now());
            self.emitter.emit(Kind::Progress(progress(&self.device, now)));
        }
        if due(told.line, LINE_EVERY) {
            told.line = Some(Instant::now());
            log::info!("{}: {}", self.device, line(now));
        }
    }

    fn note(&self, text: &str) {
        log::warn!("{}: {text}", self.device);
        let (code, message) = ("image.note".to_owned(), text.to_owned());
        let problem = Problem { code, message, causes: Vec::new(), hint: None };
        self.emitter.emit(Kind::Anomaly(Anomaly { device: Some(self.device.clone()), problem }));
    }
}

fn rate(now: &Snapshot) -> u64 {
    now.image_bytes.saturating_mul(1000).checked_div(now.elapsed_ms).unwrap_or(0)
}

fn progress(device: &str, now: &Snapshot) -> Progress {
    Progress {
        stage: "write-image".to_owned(),
        device: Some(device.to_owned()),
        total_bytes: now.wire_total,
        read_bytes: now.wire_bytes,
        written_bytes: now.written_bytes,
        zeroed_bytes: now.zeroed_bytes,
        verified_bytes: now.verified_bytes,
        bytes_per_second: rate(now),
        eta_seconds: now.eta_ms.map(|eta| eta.div_ceil(1000)),
        bottleneck: Some(now.bottleneck.to_owned()),
    }
}

/// One line for a person: `412.3 MiB of 1.1 GiB fetched, ...`.
fn line(now: &Snapshot) -> String {
    let size = |bytes: u64| indicatif::BinaryBytes(bytes).to_string();
    let of = now.wire_total.map(|total| format!(" of {}", size(total))).unwrap_or_default();
    let eta = now.eta_ms.map(|eta| format!(", {} s to go", eta.div_ceil(1000))).unwrap_or_default();
    format!(
        "{} fetched{of}, {} written, {} zeroed, {} verified, {}/s{eta} (waiting for: {})",
        size(now.wire_bytes),
        size(now.written_bytes),
        size(now.zeroed_bytes),
        size(now.verified_bytes),
        size(rate(now)),
        now.bottleneck
    )
}

//! The image step: target checked against the plan, engine run, progress told.

use super::{ApplyError, Context};
use crate::controller::Emitter;
use crate::disk::Target;
use crate::image::{self, Http, Phase, Snapshot, Source, WriteRequest};
use crate::protocol::event::{Anomaly, Progress};
use crate::protocol::image::Verify;
use crate::protocol::plan::PlannedDisk;
use crate::protocol::{ImageReceipt, Kind, Problem};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub fn write(
    context: &Context<'_>,
    disk: &PlannedDisk,
    name: &str,
    verify: Verify,
    emitter: &Emitter,
) -> Result<ImageReceipt, ApplyError> {
    let spec = context.order.images.get(name).ok_or_else(|| ApplyError::NoImage { name: name.to_owned() })?;
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

    let source = Source::Http(Http::new(context.download.clone(), spec.urls.clone()));
    let mut request = WriteRequest::new(source);
    request.format = spec.format;
    request.digest = spec.digest.clone();
    request.verify = verify;
    let watch = Watch { device: path.display().to_string(), emitter, told: Mutex::new(Told::default()) };
    Ok(image::write(request, &target, &watch, &context.cancel)?)
}

/// Turns the engine's ticks into events (one a second) and lines on the console (one in five).
struct Watch<'a> {
    device: String,
    emitter: &'a Emitter,
    told: Mutex<Told>,
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

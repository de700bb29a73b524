//! Reports the progress of a write as events and console lines.

use crate::image::{self, Phase, Snapshot};
use crate::protocol::event::{Anomaly, Progress};
use crate::protocol::{Kind, Problem};
use crate::report::Emitter;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Turns the engine's ticks into events (one per second) and console lines (one every five seconds).
pub struct Teller<'a> {
    device: String,
    emitter: &'a Emitter,
    told: Mutex<Told>,
}

impl<'a> Teller<'a> {
    pub fn new(path: &Path, emitter: &'a Emitter) -> Self {
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

impl image::Progress for Teller<'_> {
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

/// A readable line: `412.3 MiB of 1.1 GiB fetched, ...`.
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

//! Progress and receipt of a write.

use crate::budget;
use crate::flow::progress::{Phase, Progress, Snapshot, Stages};
use crate::flow::stop::Stop;
use crate::pipeline::info::ImageInfo;
use crate::pipeline::run::Streamed;
use crate::proof::mib;
use burin_disk::{Counters, Target};
use burin_protocol::ImageReceipt;
use burin_protocol::Problem;
use burin_protocol::image::{ContentDigest, Verify};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One device of a write, and its observer.
pub struct WriteReport<'a> {
    pub target: &'a Target,
    pub progress: &'a dyn Progress,
    pub counters: Counters,
}

/// Data shared by all devices of a write.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    pub info: &'a ImageInfo,
    pub stages: &'a Stages,
    pub began: Instant,
    /// Number of devices for this download.
    pub devices: usize,
}

/// Retries and changes of mirror: reported once, whatever the number of devices.
pub fn tell_notes(stop: &Stop, progress: &dyn Progress) {
    for note in stop.take_notes() {
        progress.note(&note);
    }
}

impl WriteReport<'_> {
    pub fn tell(&self, common: Common<'_>, phase: Phase) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let elapsed = common.began.elapsed();
        let (wire_bytes, image_bytes) = (load(&common.stages.wire_bytes), load(&common.stages.image_bytes));
        let (done, total) = match common.info.image_total {
            Some(total) => (image_bytes, Some(total)),
            None => (wire_bytes, common.info.wire_total),
        };
        let eta =
            total.filter(|_| done > 0).map(|total| elapsed.mul_f64(total.saturating_sub(done) as f64 / done as f64));
        self.progress.tick(&Snapshot {
            phase,
            wire_bytes,
            wire_total: common.info.wire_total,
            image_bytes,
            image_total: common.info.image_total,
            written_bytes: load(&self.counters.written),
            zeroed_bytes: load(&self.counters.zeroed),
            skipped_bytes: load(&self.counters.skipped),
            verified_bytes: load(&self.counters.verified),
            elapsed_ms: elapsed.as_millis() as u64,
            eta_ms: eta.map(|eta| eta.as_millis() as u64),
            bottleneck: common.stages.bottleneck(self.device_busy(common)),
        });
    }

    pub fn receipt(
        &self,
        common: Common<'_>,
        image_bytes: u64,
        streamed: &Streamed,
        anomalies: Vec<Problem>,
    ) -> ImageReceipt {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let info = common.info;
        ImageReceipt {
            device: self.target.path().display().to_string(),
            url: info.name.clone(),
            format: info.format,
            compression: info.compression.name().to_owned(),
            verify: info.verify,
            digest: streamed.digests(),
            wire_sha256: streamed.wire.sha256.clone(),
            readback: (info.verify == Verify::Readback)
                .then(|| ContentDigest { algorithm: mib::ALGORITHM.to_owned(), digest: streamed.chunked.sum.clone() }),
            anomalies,
            image_bytes,
            wire_bytes: load(&common.stages.wire_bytes),
            written_bytes: load(&self.counters.written),
            zeroed_bytes: load(&self.counters.zeroed),
            skipped_bytes: load(&self.counters.skipped),
            verified_bytes: load(&self.counters.verified),
            memory_bytes: budget::bytes(&info.options, common.devices, info.connections) as u64,
            duration_ms: common.began.elapsed().as_millis() as u64,
            bottleneck: common.stages.bottleneck(self.device_busy(common)).to_owned(),
            delta: None,
            published: None,
        }
    }

    fn device_busy(&self, common: Common<'_>) -> Duration {
        let starved = Duration::from_nanos(self.counters.starved_ns.load(Ordering::Relaxed));
        common.began.elapsed().saturating_sub(starved)
    }
}

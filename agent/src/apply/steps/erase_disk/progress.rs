//! How far an erase is, once a second, as events and on the console.

use crate::protocol::Kind;
use crate::protocol::event::Progress;
use crate::report::Emitter;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(1);
/// Of these, so many for a line on the console.
const LINES: u32 = 30;

pub struct Teller<'a> {
    device: String,
    /// Bytes to erase, and again to read back.
    total: u64,
    emitter: &'a Emitter,
    began: Instant,
    told: Instant,
    count: u32,
}

impl<'a> Teller<'a> {
    pub fn new(device: String, total: u64, emitter: &'a Emitter) -> Self {
        let now = Instant::now();
        Self { device, total, emitter, began: now, told: now, count: 0 }
    }

    /// `work` is what there is to do altogether, in bytes written and read.
    pub fn tell(&mut self, zeroed: u64, verified: u64, work: u64) {
        if self.told.elapsed() < EVERY {
            return;
        }
        self.told = Instant::now();
        let progress = progress(&self.device, self.total, (zeroed, verified, work), self.began.elapsed());
        if self.count.is_multiple_of(LINES) {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let eta = progress.eta_seconds.map_or(String::new(), |seconds| format!(", {seconds} s to go"));
            let (zeroed, verified, total) = (gib(zeroed), gib(verified), gib(self.total));
            log::info!("{}: {zeroed:.1} of {total:.1} GiB erased, {verified:.1} read back{eta}", self.device);
        }
        self.count = self.count.wrapping_add(1);
        self.emitter.emit(Kind::Progress(progress));
    }
}

fn progress(device: &str, total: u64, (zeroed, verified, work): (u64, u64, u64), took: Duration) -> Progress {
    let done = zeroed.saturating_add(verified);
    let rate = u64::try_from(u128::from(done) * 1000 / took.as_millis().max(1)).unwrap_or(u64::MAX);
    Progress {
        stage: "erase-disk".to_owned(),
        device: Some(device.to_owned()),
        total_bytes: Some(total),
        zeroed_bytes: zeroed,
        verified_bytes: verified,
        bytes_per_second: rate,
        eta_seconds: work.saturating_sub(done).checked_div(rate),
        bottleneck: Some("device".to_owned()),
        ..Progress::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_by_what_is_done() {
        let at = |zeroed, verified| progress("/dev/x", 1000, (zeroed, verified, 2000), Duration::from_secs(10));
        let half = at(1000, 0);
        assert_eq!((half.bytes_per_second, half.eta_seconds, half.total_bytes), (100, Some(10), Some(1000)));
        assert_eq!(at(1000, 1000).eta_seconds, Some(0));
        assert_eq!((at(0, 0).bytes_per_second, at(0, 0).eta_seconds), (0, None), "nothing is known yet");
        let first = progress("/dev/x", 1000, (u64::MAX, u64::MAX, 0), Duration::ZERO);
        assert_eq!(first.eta_seconds, Some(0));
    }
}

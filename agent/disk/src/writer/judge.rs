//! Decides whether punching holes is faster than writing zeros on this device.

use super::super::CHUNK;
use std::time::{Duration, Instant};

/// Holes are judged only after this many bytes: a single one may have been delayed.
const JUDGED: u64 = 128 << 20;
/// Punching is given up only if it takes this many times as long as writing zeros, because it saves bus traffic and
/// wear.
const MARGIN: u128 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    Write,
    Hole,
    /// Only its time counts.
    Other,
}

/// The device's own time for its requests. Queueing time is not counted: a write among many waits for all of them, a
/// single one does not.
#[derive(Debug, Default)]
pub struct Judge {
    writes: Rate,
    holes: Rate,
    /// When the device last finished a request.
    done: Option<Instant>,
}

#[derive(Debug, Default)]
struct Rate {
    bytes: u64,
    time: Duration,
}

impl Rate {
    fn add(&mut self, bytes: u64, time: Duration) {
        self.bytes += bytes;
        self.time += time;
    }
}

impl Judge {
    /// A request that the device was given at `given` has finished.
    pub fn done(&mut self, kind: RequestKind, bytes: u64, given: Instant, now: Instant) {
        let began = self.done.map_or(given, |done| done.max(given));
        let took = now.saturating_duration_since(began);
        self.done = Some(now);
        match kind {
            RequestKind::Write => self.writes.add(bytes, took),
            // A short request says nothing about rates.
            RequestKind::Hole if bytes >= CHUNK as u64 => self.holes.add(bytes, took),
            RequestKind::Hole | RequestKind::Other => {}
        }
    }

    /// Whether writing zeros is much faster.
    pub fn holes_are_slow(&self) -> bool {
        let Self { writes, holes, .. } = self;
        let cost = |a: &Rate, b: &Rate| a.time.as_nanos() * u128::from(b.bytes);
        holes.bytes >= JUDGED && writes.bytes > 0 && cost(holes, writes) > MARGIN * cost(writes, holes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLE: u64 = 64 << 20;
    const MIB: u64 = 1 << 20;

    /// A device that processes requests sequentially, and is given `depth` requests at once.
    struct Device {
        judge: Judge,
        now: Instant,
        free: Instant,
    }

    impl Device {
        fn new() -> Self {
            let now = Instant::now();
            Self { judge: Judge::default(), now, free: now }
        }

        /// Submits all of them at once, waits for all, and then pauses for `idle` milliseconds.
        fn give(&mut self, requests: &[(RequestKind, u64, u64)], idle: u64) {
            let given = self.now;
            self.free = self.free.max(given);
            for &(kind, bytes, micros) in requests {
                self.free += Duration::from_micros(micros);
                self.judge.done(kind, bytes, given, self.free);
            }
            self.now = self.free + Duration::from_millis(idle);
        }
    }

    /// Holes at 3 GiB/s, writes at this many microseconds per MiB; `slow` if the image arrives slower than the device
    /// writes.
    fn judged(micros_a_write: u64, micros_a_hole: u64, slow: bool) -> bool {
        let mut device = Device::new();
        for _ in 0..40 {
            match slow {
                true => {
                    (0..30).for_each(|_| device.give(&[(RequestKind::Write, MIB, micros_a_write)], 3));
                    device.give(&[(RequestKind::Hole, HOLE, micros_a_hole)], 3);
                }
                false => {
                    let mut all = vec![(RequestKind::Write, MIB, micros_a_write); 31];
                    all.push((RequestKind::Hole, HOLE, micros_a_hole));
                    device.give(&all, 0);
                }
            }
        }
        device.judge.holes_are_slow()
    }

    #[test]
    fn the_verdict_is_of_the_device_and_not_of_how_many_requests_wait_for_it() {
        for slow in [true, false] {
            assert!(!judged(500, 21_000, slow), "as fast as writing or faster");
            assert!(!judged(300, 21_000, slow), "hardly slower");
            assert!(judged(300, 60_000, slow), "three times slower");
        }
    }

    #[test]
    fn reads_take_the_devices_time_and_nobody_elses() {
        let mut device = Device::new();
        for _ in 0..10 {
            let reads = [(RequestKind::Other, MIB, 50_000); 4];
            device
                .give(&[&reads[..], &[(RequestKind::Hole, HOLE, 20_000), (RequestKind::Write, MIB, 400)]].concat(), 0);
        }
        assert!(!device.judge.holes_are_slow());
        assert_eq!(device.judge.holes.time, Duration::from_millis(200));
    }

    #[test]
    fn a_few_holes_prove_nothing() {
        let mut device = Device::new();
        device.give(
            &[
                (RequestKind::Write, MIB, 100),
                (RequestKind::Hole, HOLE, 9_000_000),
                (RequestKind::Hole, 4096, 9_000_000),
            ],
            0,
        );
        assert!(!device.judge.holes_are_slow());
        device.give(&[(RequestKind::Hole, HOLE, 9_000_000)], 0);
        assert!(device.judge.holes_are_slow());
    }
}

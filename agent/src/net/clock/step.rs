//! Decides about clock steps and makes them; the clock itself is a parameter.

use crate::sys::clock::WallClock;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// Clocks closer than this are left alone.
const SMALL: Duration = Duration::from_millis(128);
/// Certificates may be valid for decades, but a server whose clock is further ahead than this is broken.
const FAR: Duration = Duration::from_secs(30 * 365 * 86400);

/// The source by which the clock was last checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockSource {
    /// The machine's own clock: plausible, but not verified.
    #[default]
    Machine,
    /// The build time of this binary: the machine's own clock was before it.
    Floor,
    /// This time server.
    Sntp(String),
    /// The `Date` of an HTTP response from this host.
    HttpDate(String),
}

impl fmt::Display for ClockSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => f.write_str("the machine's own clock"),
            Self::Floor => f.write_str("the build time of this program"),
            Self::Sntp(server) => write!(f, "time server {server}"),
            Self::HttpDate(host) => write!(f, "the HTTP answer of {host}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockState {
    /// Another clock agrees with ours, or ours was set from it.
    pub trusted: bool,
    pub source: ClockSource,
    /// How many milliseconds the clock was moved; negative means backwards.
    pub stepped_ms: i64,
}

/// The server's clock minus ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

impl Offset {
    pub fn between(ours: SystemTime, theirs: SystemTime) -> Self {
        match theirs.duration_since(ours) {
            Ok(ahead) => Self::Ahead(ahead),
            Err(error) => Self::Behind(error.duration()),
        }
    }

    fn size(self) -> Duration {
        match self {
            Self::Ahead(size) | Self::Behind(size) => size,
        }
    }

    pub fn apply(self, time: SystemTime) -> Option<SystemTime> {
        match self {
            Self::Ahead(size) => time.checked_add(size),
            Self::Behind(size) => time.checked_sub(size),
        }
    }

    fn milliseconds(self) -> i64 {
        let size = i64::try_from(self.size().as_millis()).unwrap_or(i64::MAX);
        if matches!(self, Self::Ahead(_)) { size } else { -size }
    }
}

pub fn raise_to_floor(clock: &impl WallClock, floor: SystemTime, state: &mut ClockState) {
    if let Offset::Ahead(size) = Offset::between(clock.now(), floor)
        && !size.is_zero()
        && set(clock, Offset::Ahead(size), state)
    {
        state.source = ClockSource::Floor;
        log::warn!("the clock was before this program's build time: moved {} forward", words(size));
    }
}

pub fn by_offset(
    clock: &impl WallClock,
    floor: SystemTime,
    offset: Offset,
    source: ClockSource,
    state: &mut ClockState,
) {
    if let Some(time) = offset.apply(clock.now()) {
        to_time(clock, floor, time, SMALL, source, state);
    }
}

pub fn to_time(
    clock: &impl WallClock,
    floor: SystemTime,
    time: SystemTime,
    within: Duration,
    source: ClockSource,
    state: &mut ClockState,
) {
    if time < floor || floor.checked_add(FAR).is_some_and(|far| time > far) {
        log::warn!("{source} shows an impossible time: ignored");
        return;
    }
    let offset = Offset::between(clock.now(), time);
    if offset.size() > within.max(SMALL) {
        if !set(clock, offset, state) {
            return;
        }
        let direction = if matches!(offset, Offset::Ahead(_)) { "forward" } else { "back" };
        log::info!("clock: moved {} {direction}, by {source}", words(offset.size()));
    }
    state.trusted = true;
    state.source = source;
}

fn set(clock: &impl WallClock, offset: Offset, state: &mut ClockState) -> bool {
    let Some(time) = offset.apply(clock.now()) else { return false };
    match clock.set(time) {
        Ok(()) => {
            state.stepped_ms = state.stepped_ms.saturating_add(offset.milliseconds());
            true
        }
        Err(error) => {
            log::warn!("cannot set the clock: {error}");
            false
        }
    }
}

fn words(size: Duration) -> String {
    humantime::format_duration(Duration::from_millis(size.as_millis() as u64)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io;
    use std::time::UNIX_EPOCH;

    struct Fake(Cell<SystemTime>, bool);

    impl WallClock for Fake {
        fn now(&self) -> SystemTime {
            self.0.get()
        }

        fn set(&self, time: SystemTime) -> io::Result<()> {
            if self.1 {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.0.set(time);
            Ok(())
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const FLOOR: u64 = 1_700_000_000;

    #[test]
    fn a_clock_before_the_build_is_raised() {
        let (clock, mut state) = (Fake(Cell::new(at(1000)), false), ClockState::default());
        raise_to_floor(&clock, at(FLOOR), &mut state);
        assert_eq!((clock.now(), state.trusted, state.source), (at(FLOOR), false, ClockSource::Floor));
        assert_eq!(state.stepped_ms, (FLOOR as i64 - 1000) * 1000);
        let (clock, mut state) = (Fake(Cell::new(at(FLOOR + 5)), false), ClockState::default());
        raise_to_floor(&clock, at(FLOOR), &mut state);
        assert_eq!((clock.now(), state), (at(FLOOR + 5), ClockState::default()));
    }

    #[test]
    fn a_server_moves_the_clock_both_ways() {
        for start in [FLOOR + 10, FLOOR + 900_000_000] {
            let (clock, mut state) = (Fake(Cell::new(at(start)), false), ClockState::default());
            let offset = Offset::between(at(start), at(FLOOR + 1000));
            by_offset(&clock, at(FLOOR), offset, ClockSource::Sntp("t".into()), &mut state);
            assert_eq!((clock.now(), state.trusted), (at(FLOOR + 1000), true));
            assert_eq!(state.stepped_ms, (FLOOR as i64 + 1000 - start as i64) * 1000);
        }
    }

    #[test]
    fn a_close_clock_is_trusted_and_left_alone() {
        let (clock, mut state) = (Fake(Cell::new(at(FLOOR + 100)), false), ClockState::default());
        let within = Duration::from_secs(60);
        to_time(&clock, at(FLOOR), at(FLOOR + 130), within, ClockSource::HttpDate("c".into()), &mut state);
        assert_eq!((clock.now(), state.trusted, state.stepped_ms), (at(FLOOR + 100), true, 0));
    }

    #[test]
    fn impossible_times_are_not_believed() {
        for time in [at(FLOOR - 1), at(FLOOR) + FAR * 2] {
            let (clock, mut state) = (Fake(Cell::new(at(FLOOR + 100)), false), ClockState::default());
            to_time(&clock, at(FLOOR), time, SMALL, ClockSource::Sntp("t".into()), &mut state);
            assert_eq!((clock.now(), state), (at(FLOOR + 100), ClockState::default()));
        }
    }

    #[test]
    fn a_clock_that_cannot_be_set_is_not_trusted() {
        let (clock, mut state) = (Fake(Cell::new(at(FLOOR + 100)), true), ClockState::default());
        to_time(&clock, at(FLOOR), at(FLOOR + 5000), SMALL, ClockSource::Sntp("t".into()), &mut state);
        assert_eq!(state, ClockState::default());
    }
}

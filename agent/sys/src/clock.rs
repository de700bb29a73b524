//! The wall clock, as a value that tests can replace.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

pub trait WallClock {
    fn now(&self) -> SystemTime;
    fn set(&self, time: SystemTime) -> io::Result<()>;
}

/// The kernel's clock. The hardware clock is not changed: only the installed system knows whether it keeps UTC.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn set(&self, time: SystemTime) -> io::Result<()> {
        let since = time.duration_since(UNIX_EPOCH).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since)).map_err(io::Error::from)
    }
}

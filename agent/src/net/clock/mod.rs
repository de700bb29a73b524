//! The time of day, good enough for TLS: a floor at build time, then SNTP, then whatever the caller learns elsewhere.

mod sntp;
mod step;

pub use step::{ClockSource, ClockState};

use crate::config::Config;
use crate::sys::clock::{SystemClock, WallClock};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All servers are asked at once; each gets this many tries of this long.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(1500);
const PORT: u16 = 123;

/// When this binary was built (or `SOURCE_DATE_EPOCH` of its build): no clock is right that shows less.
pub fn floor() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(env!("BURIN_BUILD_EPOCH").parse().unwrap_or(0))
}

/// Sets the clock by `burin.ntp` and the servers that the networks name (`NetworkState::ntp_servers`), all asked at once;
/// the first sane answer counts. Takes at most five seconds; without servers, none. A clock that stands before this
/// binary's build is moved there first. Never fails: the state says how far the clock can be trusted.
pub fn sync(config: &Config, networks: &[String]) -> ClockState {
    let mut state = ClockState::default();
    step::raise_to_floor(&SystemClock, floor(), &mut state);
    let (done, answers) = mpsc::channel();
    for name in config.ntp.iter().chain(networks).cloned() {
        let done = done.clone();
        let asked = thread::Builder::new().name("sntp".to_owned()).spawn(move || {
            let _ = done.send((ask(&name), name));
        });
        if let Err(error) = asked {
            log::debug!("sntp: {error}");
        }
    }
    drop(done);
    // Resolving a name has time-outs of its own, longer than we want to wait.
    let deadline = std::time::Instant::now() + PATIENCE * TRIES + Duration::from_millis(500);
    while let Ok((answer, name)) = answers.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
        match answer {
            Ok(offset) => {
                step::by_offset(&SystemClock, floor(), offset, ClockSource::Sntp(name.clone()), &mut state);
                if state.trusted {
                    return state;
                }
            }
            Err(why) => log::warn!("time server {name}: {why}"),
        }
    }
    state
}

/// Sets the clock from a time learned elsewhere, such as the `Date` of a controller's HTTP answer, exact to `within`.
/// A clock closer than that is left alone; a time before this binary's build is refused.
pub fn set_from(now: SystemTime, within: Duration, source: ClockSource) -> ClockState {
    let mut state = ClockState::default();
    step::to_time(&SystemClock, floor(), now, within, source, &mut state);
    state
}

fn ask(name: &str) -> Result<step::Offset, String> {
    let addresses = super::names::resolve(name).map_err(|error| error.to_string())?;
    let address = addresses.first().ok_or("the name has no address")?;
    let mut last = String::from("not asked");
    for _ in 0..TRIES {
        match sntp::query(SocketAddr::new(*address, PORT), PATIENCE, || SystemClock.now(), floor()) {
            Ok(offset) => return Ok(offset),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

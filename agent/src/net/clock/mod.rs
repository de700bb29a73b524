//! Sets the clock well enough for TLS: not before the build time, then by SNTP, then by later sources.

mod sntp;
mod step;

pub use step::{ClockSource, ClockState};

use crate::config::Config;
use crate::sys::clock::{SystemClock, WallClock};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// All servers are asked in parallel, this many times, with this timeout.
const TRIES: u32 = 3;
const PATIENCE: Duration = Duration::from_millis(1500);
const PORT: u16 = 123;

/// When this binary was built (or its `SOURCE_DATE_EPOCH`): a clock that shows an earlier time is wrong.
pub fn floor() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(env!("BURIN_BUILD_EPOCH").parse().unwrap_or(0))
}

/// Sets the clock from `burin.ntp` and the servers named by the networks (`NetworkState::ntp_servers`), asked in
/// parallel; the first valid answer counts. Takes at most five seconds, or no time without servers. A clock before the
/// build time of this binary is first set to that. Never fails: the result says how far the clock can be trusted.
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
    // Name resolution has timeouts of its own, which are longer than this.
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

/// Sets the clock from another source, such as the `Date` of a controller's HTTP response, accurate to `within`. A
/// clock closer than that is left alone; a time before this binary's build is refused.
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

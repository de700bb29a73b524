//! Hardware clocks, and how far they are from the kernel's.

use crate::model::{Clock, Rtc};
use crate::parse::names::natural;
use crate::source::Reader;

const CLASS: &str = "/sys/class/rtc";

pub fn collect(reader: &Reader) -> Option<Clock> {
    let mut names = reader.source().list(CLASS).unwrap_or_default();
    names.sort_by(|a, b| natural(a, b));
    let clock = Clock {
        clock_source: reader.quiet_text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        rtcs: names.into_iter().map(|name| rtc(reader, name)).collect(),
    };
    (clock != Clock::default()).then_some(clock)
}

fn rtc(reader: &Reader, name: String) -> Rtc {
    let text = |attribute: &str| reader.quiet_text(&format!("{CLASS}/{name}/{attribute}"));
    let seconds: Option<i64> = text("since_epoch").and_then(|t| t.parse().ok());
    let offset = seconds.zip(now(reader)).and_then(|(rtc, kernel)| rtc.checked_sub(kernel));
    Rtc {
        device: text("name"),
        time: text("date").zip(text("time")).map(|(date, time)| format!("{date}T{time}")),
        seconds,
        offset,
        sets_clock: text("hctosys").map(|t| t != "0"),
        name,
    }
}

/// The kernel's clock, from files, so that a replay has it too: when it booted, and for how long it has been up.
fn now(reader: &Reader) -> Option<i64> {
    let stat = reader.quiet_text("/proc/stat")?;
    let booted: i64 = stat.lines().find_map(|l| l.strip_prefix("btime "))?.trim().parse().ok()?;
    let uptime = reader.quiet_text("/proc/uptime")?;
    let whole: i64 = uptime.split(['.', ' ']).next()?.parse().ok()?;
    booted.checked_add(whole)
}

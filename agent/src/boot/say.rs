//! A `log` backend for PID 1 that writes to every console.

use super::console::Consoles;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::sync::OnceLock;
use std::time::Duration;

struct Voice {
    consoles: Consoles,
}

static VOICE: OnceLock<Voice> = OnceLock::new();

/// Makes `log` write to `consoles`. Called once, by PID 1.
pub fn install(consoles: Consoles, level: LevelFilter) {
    if VOICE.set(Voice { consoles }).is_ok()
        && let Some(voice) = VOICE.get()
        && log::set_logger(voice).is_ok()
    {
        log::set_max_level(level);
    }
}

/// Writes a message that must be seen in any state of the machine: to every console, and to the kernel's log, which
/// also reaches a netconsole or pstore.
pub fn urgent(text: &str) {
    if let Some(voice) = VOICE.get() {
        voice.consoles.write(format!("\n*** burin: {text}\n").as_bytes());
        voice.consoles.flush(Duration::from_secs(5));
    } else {
        eprintln!("\n*** burin: {text}");
    }
    // Facility "user", severity "critical"; one record is at most about a thousand bytes.
    let end = (0..=text.len().min(900)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    let line = text.get(..end).unwrap_or_default().replace('\n', " ");
    let _ = std::fs::write("/dev/kmsg", format!("<10>burin: {line}\n"));
}

pub fn flush() {
    if let Some(voice) = VOICE.get() {
        voice.consoles.flush(Duration::from_secs(5));
    }
}

/// Seconds since the kernel started, as in its own messages.
fn uptime() -> f64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    time.map_or(0.0, |time| time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
}

impl Log for Voice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let word = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        };
        self.consoles.write(format!("[{:12.6}] init: {word}{}\n", uptime(), record.args()).as_bytes());
    }

    fn flush(&self) {
        self.consoles.flush(Duration::from_secs(1));
    }
}

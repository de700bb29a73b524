//! Formats a log line as an RFC 5424 message.

use std::time::SystemTime;

/// Receivers should accept messages of this size (section 6.1).
const LONGEST: usize = 2048;
/// System daemons, section 6.2.1.
const FACILITY: u8 = 3;

/// Severity, section 6.2.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Error = 3,
    Warning = 4,
    Informational = 6,
    Debug = 7,
}

/// The priority for the level that the agent's logger puts into each line: `12:00:00 [WARN] text`. A line without one
/// continues the line before it.
pub fn priority(line: &str) -> Priority {
    let level = line.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level);
    match level {
        Some("ERROR") => Priority::Error,
        Some("WARN") => Priority::Warning,
        Some("DEBUG" | "TRACE") => Priority::Debug,
        _ => Priority::Informational,
    }
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG`. `host` is the machine's source address,
/// because it has no name of its own.
pub fn message(line: &str, host: &str, now: SystemTime) -> String {
    let number = FACILITY * 8 + priority(line) as u8;
    let time = humantime::format_rfc3339_millis(now);
    let text: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut message = format!("<{number}>1 {time} {host} burin {} - - {text}", std::process::id());
    let end = (0..=message.len().min(LONGEST)).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    message.truncate(end);
    message
}

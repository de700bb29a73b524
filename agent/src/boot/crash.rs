//! Passes the reason why the last agent ended to the next one.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "run/burin/last-crash.json";

/// The contents of `/run/burin/last-crash.json`. Exactly one of `status` and `signal` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    /// Exit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// Signal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// A readable reason: `exit status 101`, `killed by SIGSEGV`.
    pub reason: String,
    /// Seconds that the agent had been running.
    pub seconds: u64,
    /// How many agents have ended like this since power-on, including this one.
    pub crashes: u32,
    /// The end of its output on stdout and stderr.
    pub output: String,
}

/// Writes the report for the next agent.
pub fn write(root: &Path, report: &CrashReport) -> std::io::Result<()> {
    let path = root.join(FILE);
    let part = PathBuf::from(format!("{}.part", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&part, serde_json::to_vec_pretty(report)?)?;
    std::fs::rename(part, path)
}

/// The report on the previous agent, if it crashed. It stays in place until [`forget_last_crash`].
pub fn last_crash(root: &Path) -> Option<CrashReport> {
    serde_json::from_slice(&std::fs::read(root.join(FILE)).ok()?).ok()
}

/// Call once the report has been delivered.
pub fn forget_last_crash(root: &Path) {
    let _ = std::fs::remove_file(root.join(FILE));
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    pub fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        let excess = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..excess);
    }

    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// 1 s doubling to 60 s. If an agent ran for a while before it failed, the count starts over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestartBackoff {
    failures: u32,
}

impl RestartBackoff {
    const LONGEST: Duration = Duration::from_secs(60);
    const SOUND: Duration = Duration::from_secs(300);

    /// The pause after an agent that lived for `lived`.
    pub fn after(&mut self, lived: Duration) -> Duration {
        if lived >= Self::SOUND {
            self.failures = 0;
        }
        let pause = Duration::from_secs(1 << self.failures.min(6)).min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_to_a_minute_and_starts_again() {
        let mut backoff = RestartBackoff::default();
        let pauses: Vec<u64> = (0..9).map(|_| backoff.after(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(301)).as_secs(), 1);
        assert_eq!(backoff.after(Duration::ZERO).as_secs(), 2);
    }

    #[test]
    fn the_tail_is_bounded_and_is_the_end() {
        let mut tail = Tail::new(10);
        (0..1000).for_each(|number| tail.push(format!("{number:03}").as_bytes()));
        assert_eq!(tail.text(), "6997998999");
        tail.push(&[0xff; 3]);
        assert!(tail.text().ends_with("\u{fffd}"));
    }

    #[test]
    fn reports_come_back_and_are_forgotten() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(last_crash(root.path()), None);
        let report = CrashReport {
            status: None,
            signal: Some(11),
            reason: "killed by SIGSEGV".into(),
            seconds: 3,
            crashes: 2,
            output: "oh\n".into(),
        };
        write(root.path(), &report).unwrap();
        assert_eq!(last_crash(root.path()), Some(report));
        forget_last_crash(root.path());
        assert_eq!(last_crash(root.path()), None);
    }
}

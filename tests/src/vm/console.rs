//! The serial console of a machine: kept whole in a file, searchable while it grows.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error("the console did not show {wanted} within {seconds} s; it ends with:\n{tail}")]
    Deadline { wanted: String, seconds: u64, tail: String },
    #[error("the machine ended before its console showed {wanted}; it ends with:\n{tail}")]
    Ended { wanted: String, tail: String },
}

/// A complete line, without control sequences.
#[derive(Debug, Clone)]
pub struct Line {
    pub at: Instant,
    pub text: String,
}

#[derive(Debug, Default)]
struct State {
    /// The whole text so far, cleaned. May end with an incomplete line, such as a login prompt.
    text: String,
    ended: bool,
    listeners: Vec<Sender<Line>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

impl Console {
    /// Reads `source` to its end in a thread of its own; the raw bytes go to `log`.
    pub(super) fn follow(source: impl Read + Send + 'static, log: &Path) -> std::io::Result<Self> {
        let log = File::create(log)?;
        let shared = Arc::new(Shared::default());
        let console = Self { shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("console".to_owned()).spawn(move || pump(source, log, &shared))?;
        Ok(console)
    }

    /// The length of the text so far, as a position for [`Console::wait_for_after`].
    pub fn position(&self) -> usize {
        self.shared.lock().text.len()
    }

    /// All text so far, without control sequences.
    pub fn text(&self) -> String {
        self.shared.lock().text.clone()
    }

    pub fn tail(&self, lines: usize) -> String {
        tail(&self.shared.lock().text, lines)
    }

    /// Complete lines, from now on.
    pub fn lines(&self) -> Receiver<Line> {
        let (sender, receiver) = channel();
        self.shared.lock().listeners.push(sender);
        receiver
    }

    /// Waits until the text contains `wanted`; returns the position after it.
    pub fn wait_for(&self, wanted: &str, deadline: Duration) -> Result<usize, ConsoleError> {
        self.wait_for_after(0, wanted, deadline)
    }

    /// Like [`Console::wait_for`], but looks only at text after `position`.
    pub fn wait_for_after(&self, position: usize, wanted: &str, deadline: Duration) -> Result<usize, ConsoleError> {
        self.wait_for_any_after(position, &[wanted], deadline).map(|(_, end)| end)
    }

    /// Waits for the first of several texts; returns its index, and the position after it.
    pub fn wait_for_any_after(
        &self,
        position: usize,
        wanted: &[&str],
        deadline: Duration,
    ) -> Result<(usize, usize), ConsoleError> {
        let until = Instant::now() + deadline;
        let mut state = self.shared.lock();
        loop {
            let seen = state.text.get(position..).unwrap_or_default();
            let first = wanted.iter().enumerate().filter_map(|(i, w)| seen.find(w).map(|at| (at, i))).min();
            if let Some((at, index)) = first {
                return Ok((index, position + at + wanted[index].len()));
            }
            let wanted = || wanted.iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(" or ");
            if state.ended {
                return Err(ConsoleError::Ended { wanted: wanted(), tail: tail(&state.text, 25) });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = deadline.as_secs();
                return Err(ConsoleError::Deadline { wanted: wanted(), seconds, tail: tail(&state.text, 25) });
            }
            state = self.shared.grown.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn pump(mut source: impl Read, mut log: File, shared: &Shared) {
    let mut cleaner = Cleaner::default();
    let mut buffer = [0; 4096];
    let mut unfinished = String::new();
    while let Ok(count @ 1..) = source.read(&mut buffer) {
        let bytes = &buffer[..count];
        // A full disk must not keep the test from seeing the console.
        let _ = log.write_all(bytes);
        let text = cleaner.clean(bytes);
        unfinished.push_str(&text);
        let mut state = shared.lock();
        state.text.push_str(&text);
        while let Some(end) = unfinished.find('\n') {
            let line = Line { at: Instant::now(), text: unfinished[..end].trim_end().to_owned() };
            unfinished.drain(..=end);
            state.listeners.retain(|listener| listener.send(line.clone()).is_ok());
        }
        shared.grown.notify_all();
    }
    let mut state = shared.lock();
    state.ended = true;
    state.listeners.clear();
    shared.grown.notify_all();
}

/// Removes terminal control sequences and carriage returns from a stream of bytes.
#[derive(Debug, Default)]
struct Cleaner {
    escape: Escape,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Start,
    /// In a control sequence, up to a byte of @ to ~.
    Csi,
    /// In an operating system command, up to BEL or ST.
    Osc,
}

impl Cleaner {
    fn clean(&mut self, bytes: &[u8]) -> String {
        let mut out = String::with_capacity(bytes.len());
        for &byte in bytes {
            self.escape = match (self.escape, byte) {
                (Escape::None, 0x1b) => Escape::Start,
                (Escape::None, b'\n' | b'\t' | 0x20..=0x7e) => {
                    out.push(char::from(byte));
                    Escape::None
                }
                (Escape::None, _) => Escape::None,
                (Escape::Start, b'[') => Escape::Csi,
                (Escape::Start, b']') => Escape::Osc,
                (Escape::Start, _) => Escape::None,
                (Escape::Csi, b'@'..=b'~') => {
                    // Firmware and GRUB move the cursor instead of ending the line.
                    if byte == b'H' && !out.ends_with('\n') {
                        out.push('\n');
                    }
                    Escape::None
                }
                (Escape::Csi, _) => Escape::Csi,
                (Escape::Osc, 0x07) => Escape::None,
                (Escape::Osc, 0x1b) => Escape::Start,
                (Escape::Osc, _) => Escape::Osc,
            };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn console() -> (Console, std::io::PipeWriter, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        (Console::follow(reader, &dir.path().join("log")).unwrap(), writer, dir)
    }

    #[test]
    fn control_sequences_vanish_even_when_cut_in_two() {
        let mut cleaner = Cleaner::default();
        let mut text = cleaner.clean(b"\x1b[0;1;31mFAI");
        text += &cleaner.clean(b"LED\x1b[");
        text += &cleaner.clean(b"0m done\r\n\x1b]0;title\x07x\xff");
        assert_eq!(text, "FAILED done\nx");
    }

    #[test]
    fn a_prompt_without_newline_is_found_and_lines_are_delivered() {
        let (console, mut writer, dir) = console();
        let lines = console.lines();
        writer.write_all(b"first\r\nhost login: ").unwrap();
        let end = console.wait_for("login:", SOON).unwrap();
        assert_eq!(end, "first\nhost login:".len());
        assert_eq!(lines.recv_timeout(SOON).unwrap().text, "first");
        writer.write_all(b"login: again\n").unwrap();
        console.wait_for_after(end, "login:", SOON).unwrap();
        assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"first\r\nhost login: login: again\n");
    }

    #[test]
    fn the_earliest_of_several_wins() {
        let (console, mut writer, _dir) = console();
        writer.write_all(b"panic then login:").unwrap();
        assert_eq!(console.wait_for_any_after(0, &["login:", "panic"], SOON).unwrap(), (1, 5));
    }

    #[test]
    fn the_end_of_the_machine_is_told_from_a_deadline() {
        let (console, mut writer, _dir) = console();
        writer.write_all(b"last words\n").unwrap();
        let error = console.wait_for("never", Duration::from_millis(10)).unwrap_err();
        assert!(matches!(error, ConsoleError::Deadline { .. }), "{error}");
        drop(writer);
        let error = console.wait_for("never", SOON).unwrap_err();
        assert!(matches!(&error, ConsoleError::Ended { tail, .. } if tail == "last words"), "{error}");
    }
}

//! The agent's log as events, for readers without access to the console.

use crate::api::LogRing;
use crate::protocol::Kind;
use crate::protocol::event::LogChunk;
use crate::report::Emitter;
use crate::syslog::Syslog;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// How long a line may wait to be sent together with others.
const PAUSE: Duration = Duration::from_secs(1);
const CHUNK: usize = 16 << 10;

/// Cheap to clone; sends in the background until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: LogRing,
    emitter: Emitter,
    sent: Mutex<u64>,
    syslog: Syslog,
}

impl Logs {
    pub fn start(ring: LogRing, emitter: Emitter) -> Self {
        let syslog = Syslog::new(ring.clone());
        let inner = Arc::new(Inner { ring, emitter, sent: Mutex::default(), syslog });
        let weak = Arc::downgrade(&inner);
        let pump = move || {
            while let Some(inner) = Weak::upgrade(&weak) {
                inner.send();
                drop(inner);
                thread::sleep(PAUSE);
            }
        };
        if let Err(error) = thread::Builder::new().name("log-events".to_owned()).spawn(pump) {
            log::warn!("the log stays on this machine: {error}");
        }
        Self(inner)
    }

    /// The syslog servers to which the log is sent too.
    pub fn syslog(&self) -> &Syslog {
        &self.0.syslog
    }

    /// Sends what has been logged so far, at once: before a receipt, and before the end.
    pub fn send(&self) {
        self.0.send();
    }
}

impl Inner {
    fn send(&self) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let (offset, mut bytes) = self.ring.read(*sent, CHUNK);
            if bytes.is_empty() {
                return;
            }
            // Whole lines, so that no character is cut in two; only a line longer than a chunk is split.
            if let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') {
                bytes.truncate(end + 1);
            }
            *sent = offset + bytes.len() as u64;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.emitter.emit(Kind::Log(LogChunk { offset, text }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_line_travels_once_in_order() {
        let emitter = Emitter::disconnected();
        let events = emitter.listen(1000);
        let mut ring = LogRing::new(1 << 20);
        let logs = Logs::start(ring.clone(), emitter);
        let mut wanted = String::new();
        for number in 0..5000 {
            let line = format!("line {number}: \u{e4}\u{f6}\u{fc}\n");
            ring.write_all(line.as_bytes()).unwrap();
            wanted.push_str(&line);
            if number % 1000 == 999 {
                logs.send();
            }
        }
        let mut got = String::new();
        for event in events.try_iter() {
            let Some(Kind::Log(chunk)) = event.kind() else { panic!("{}", event.kind) };
            assert_eq!(chunk.offset, got.len() as u64);
            assert!(chunk.text.len() <= CHUNK);
            got.push_str(&chunk.text);
        }
        assert_eq!(got, wanted);
    }
}

//! A spool with a journal in the state directory: unacknowledged events survive the agent process.

use super::spool::{Spool, SpoolLimits};
use crate::error::Coded;
use crate::protocol::Event;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The outlet that a controller's front empties.
pub const CONTROLLER: &str = "controller";
/// The outlet that a [`super::Sink`] empties.
pub const SINK: &str = "sink";

#[derive(Debug, thiserror::Error)]
#[error("cannot use the event journal {path}")]
pub struct SpoolError {
    pub path: PathBuf,
    pub source: std::io::Error,
}

impl Coded for SpoolError {
    fn code(&self) -> &'static str {
        "controller.spool"
    }
}

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Event(Box<Event>),
    Acked(u64),
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// `None` after a failure: events are then only in memory.
    file: Option<File>,
    bytes: usize,
}

#[derive(Debug)]
pub struct Outlet {
    pub name: &'static str,
    state: Mutex<(Spool, Option<Journal>)>,
    changed: Condvar,
}

impl Outlet {
    /// Without a directory, nothing outlives the process.
    pub fn open(
        directory: Option<&Path>,
        name: &'static str,
        boot_id: &str,
        limits: SpoolLimits,
    ) -> Result<Self, SpoolError> {
        let mut spool = Spool::new(limits);
        let journal = match directory {
            None => None,
            Some(directory) => {
                let path = directory.join(format!("events-{name}.jsonl"));
                std::fs::create_dir_all(directory).map_err(|source| SpoolError { path: path.clone(), source })?;
                restore(&path, boot_id, &mut spool).map_err(|source| SpoolError { path: path.clone(), source })?;
                Some(Journal { path, file: None, bytes: 0 })
            }
        };
        let mut state = (spool, journal);
        if let (spool, Some(journal)) = &mut state {
            journal.rewrite(spool).map_err(|source| SpoolError { path: journal.path.clone(), source })?;
        }
        Ok(Self { name, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, (Spool, Option<Journal>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To the journal first: a sequence that a controller may have seen must not be used twice.
    pub fn push(&self, event: &Event) {
        let mut state = self.lock();
        let (spool, journal) = &mut *state;
        if let Some(journal) = journal {
            journal.append(&Line::Event(Box::new(event.clone())), spool);
        }
        spool.push(event.clone());
        self.changed.notify_all();
    }

    pub fn ack(&self, sequence: u64) {
        self.change(|spool| spool.ack(sequence));
    }

    pub fn rebase(&self, acked: u64) {
        self.change(|spool| {
            spool.rebase(acked);
            true
        });
    }

    pub fn reject(&self, sequence: u64) {
        self.change(|spool| {
            spool.reject(sequence);
            true
        });
    }

    fn change(&self, change: impl FnOnce(&mut Spool) -> bool) {
        let mut state = self.lock();
        let (spool, journal) = &mut *state;
        if change(spool) {
            if let Some(journal) = journal {
                journal.append(&Line::Acked(spool.acked()), spool);
            }
            self.changed.notify_all();
        }
    }

    /// Waits until there is something to send, at most `patience`; the batch may be empty.
    pub fn wait_batch(&self, known: u64, most: usize, bytes: usize, patience: Duration) -> Vec<Event> {
        let state = self.lock();
        let waited = self.changed.wait_timeout_while(state, patience, |(spool, _)| spool.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.0.batch(known, most, bytes)
    }

    /// True once everything pushed so far is acknowledged.
    pub fn wait_empty(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        let goal = state.0.last();
        while state.0.acked() < goal && !state.0.is_empty() {
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            state = self.changed.wait_timeout(state, deadline - now).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Wakes waiting threads.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    pub fn acked(&self) -> u64 {
        self.lock().0.acked()
    }

    pub fn last(&self) -> u64 {
        self.lock().0.last()
    }
}

impl Journal {
    fn append(&mut self, line: &Line, spool: &Spool) {
        if self.bytes > 2 * spool.bytes() + (256 << 10) && self.rewrite(spool).is_err() {
            self.file = None;
        }
        let Some(file) = &mut self.file else { return };
        let Ok(mut json) = serde_json::to_vec(line) else { return };
        json.push(b'\n');
        self.bytes += json.len();
        if let Err(error) = file.write_all(&json) {
            log::warn!("{}: {error}; events are kept in memory only", self.path.display());
            self.file = None;
        }
    }

    /// Only what has not been acknowledged.
    fn rewrite(&mut self, spool: &Spool) -> std::io::Result<()> {
        let new = self.path.with_extension("new");
        let mut bytes = Vec::new();
        // First the acknowledgement, which records which sequences have been used.
        let acked = Line::Acked(spool.acked());
        for line in std::iter::once(acked).chain(spool.events().cloned().map(|event| Line::Event(Box::new(event)))) {
            serde_json::to_writer(&mut bytes, &line)?;
            bytes.push(b'\n');
        }
        std::fs::write(&new, &bytes)?;
        std::fs::rename(&new, &self.path)?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        self.bytes = bytes.len();
        Ok(())
    }
}

/// Restores what a previous process left, up to an incomplete or foreign line. Events of another boot are ignored.
fn restore(path: &Path, boot_id: &str, spool: &mut Spool) -> std::io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(Line::Event(event)) if event.id.boot_id == boot_id => spool.push(*event),
            Ok(Line::Acked(sequence)) => spool.rebase(sequence),
            _ => break,
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "outlet_tests.rs"]
mod tests;

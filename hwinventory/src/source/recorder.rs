//! A source that records every answer of another source, for a snapshot.

use super::recording::{Answer, FORMAT, Manifest, Recording};
use super::{Query, Source};
use crate::parse::ibft;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Passes questions on and keeps the answers.
pub struct Recorder {
    inner: Arc<dyn Source>,
    recording: Mutex<Recording>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    pub fn new(inner: Arc<dyn Source>, agent_version: &str) -> Recorder {
        let manifest = Manifest { format: FORMAT.to_owned(), agent_version: agent_version.to_owned(), redacted: false };
        Recorder { inner, recording: Mutex::new(Recording { manifest, ..Recording::default() }) }
    }

    /// What has been answered so far. A question that is still waiting is kept as timed out.
    pub fn recording(&self) -> Recording {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is absent needs no entry: a recording says so of everything it does not hold.
fn keep<T: Clone>(result: &io::Result<T>) -> Option<Answer<T>> {
    match result {
        Ok(value) => Some(Ok(value.clone())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error.raw_os_error().unwrap_or(match error.kind() {
            io::ErrorKind::PermissionDenied => libc::EACCES,
            io::ErrorKind::TimedOut => libc::ETIMEDOUT,
            _ => libc::EIO,
        }))),
    }
}

impl Source for Recorder {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let result = self.inner.read(path);
        if let Some(mut answer) = keep(&result) {
            if let Ok(table) = &mut answer {
                // Redacted or not: a recording never holds a secret.
                ibft::blank_secrets(table);
            }
            self.lock().files.insert(path.to_owned(), answer);
        }
        result
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let result = self.inner.list(path);
        if let Some(answer) = keep(&result) {
            self.lock().lists.insert(path.to_owned(), answer);
        }
        result
    }

    fn link(&self, path: &str) -> io::Result<String> {
        let result = self.inner.link(path);
        if let Ok(target) = &result {
            self.lock().links.insert(path.to_owned(), target.clone());
        }
        result
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        let key = query.key();
        self.lock().queries.insert(key.clone(), Err(libc::ETIMEDOUT));
        let result = self.inner.query(query);
        let mut recording = self.lock();
        match keep(&result) {
            Some(answer) => recording.queries.insert(key, answer),
            None => recording.queries.remove(&key),
        };
        result
    }
}

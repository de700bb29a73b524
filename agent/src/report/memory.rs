//! State that an agent process leaves for its successor in the same boot: its progress, and an unacknowledged receipt.

use crate::protocol::{LastState, Receipt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Small files in the state directory, each replaced atomically.
#[derive(Debug, Clone)]
pub struct Memory {
    directory: PathBuf,
}

impl Memory {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// `None` means that the order is finished.
    pub fn remember(&self, state: Option<&LastState>) -> io::Result<()> {
        self.write("last-state.json", state)
    }

    pub fn last_state(&self) -> Option<LastState> {
        self.read("last-state.json")
    }

    /// Stored from before the first POST until the acknowledgement.
    pub fn keep_receipt(&self, receipt: Option<&Receipt>) -> io::Result<()> {
        self.write("receipt.json", receipt)
    }

    pub fn receipt(&self) -> Option<Receipt> {
        self.read("receipt.json")
    }

    /// Counts a new attempt of this order in this boot; returns the count.
    pub fn count_attempt(&self, order: &str) -> io::Result<u32> {
        let mut attempts: BTreeMap<String, u32> = self.read("attempts.json").unwrap_or_default();
        let attempt = attempts.get(order).copied().unwrap_or(0).saturating_add(1);
        attempts.insert(order.to_owned(), attempt);
        self.write("attempts.json", Some(&attempts))?;
        Ok(attempt)
    }

    /// Whether an order with this id has succeeded in this boot.
    pub fn was_done(&self, order: &str) -> bool {
        self.read::<BTreeSet<String>>("done.json").is_some_and(|done| done.contains(order))
    }

    pub fn was_done_now(&self, order: &str) -> io::Result<()> {
        let mut done: BTreeSet<String> = self.read("done.json").unwrap_or_default();
        done.insert(order.to_owned());
        self.write("done.json", Some(&done))
    }

    fn write(&self, name: &str, value: Option<&impl Serialize>) -> io::Result<()> {
        let path = self.directory.join(name);
        let Some(value) = value else {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        };
        std::fs::create_dir_all(&self.directory)?;
        let new = self.directory.join(format!(".{name}.new"));
        std::fs::write(&new, serde_json::to_vec(value)?)?;
        std::fs::rename(&new, &path)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.directory.join(name)).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_found_until_it_is_done_with() {
        let directory = tempfile::tempdir().unwrap();
        let memory = Memory::new(&directory.path().join("run"));
        assert_eq!(memory.last_state(), None);
        memory.remember(None).unwrap();
        let state = LastState {
            order: "o".into(),
            attempt: 1,
            stage: Some("write".into()),
            plan_digest: None,
            receipt_pending: false,
        };
        memory.remember(Some(&state)).unwrap();
        assert_eq!(memory.last_state(), Some(state));
        memory.remember(None).unwrap();
        assert_eq!(memory.last_state(), None);
        std::fs::write(directory.path().join("run/last-state.json"), "{torn").unwrap();
        assert_eq!(memory.last_state(), None);
    }
}

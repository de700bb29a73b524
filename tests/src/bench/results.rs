//! Measurements kept in a file, one line of JSON for each run, so that an interrupted benchmark can continue.

use super::Result;
use super::error::BenchError;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One run of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The row's id.
    pub id: String,
    /// Whether the command exited with 0.
    pub ok: bool,
    /// Whether the device contained the image afterwards.
    pub same: bool,
    /// Seconds.
    pub wall: f64,
    pub cpu: f64,
    /// CPU seconds of the whole machine.
    pub machine: f64,
    /// Bytes, like all following fields.
    pub rss: u64,
    pub read: u64,
    pub written: u64,
    pub zeroed: u64,
    pub discarded: u64,
    pub sent: u64,
    /// Why there is no measurement, or the last output of a failed command.
    pub note: String,
}

impl Measurement {
    /// A row that could not be run.
    pub fn missing(id: String, why: &str) -> Self {
        Self {
            id,
            ok: false,
            same: false,
            wall: 0.0,
            cpu: 0.0,
            machine: 0.0,
            rss: 0,
            read: 0,
            written: 0,
            zeroed: 0,
            discarded: 0,
            sent: 0,
            note: why.to_owned(),
        }
    }
}

#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    pub entries: Vec<Measurement>,
}

impl Results {
    /// The contents of the file at `path`; empty if it does not exist.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(BenchError::file("read", path)(error)),
        };
        let parse =
            |line: &str| serde_json::from_str(line).map_err(|_| BenchError::odd(path.display().to_string(), line));
        let entries = text.lines().map(parse).collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), entries })
    }

    /// Drops all measurements of a row.
    pub fn forget(&mut self, id: &str) -> Result<()> {
        self.entries.retain(|entry| entry.id != id);
        let mut text = String::new();
        for entry in &self.entries {
            text += &line(entry);
        }
        std::fs::write(&self.path, text).map_err(BenchError::file("write", &self.path))
    }

    pub fn add(&mut self, entry: Measurement) -> Result<()> {
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line(&entry).as_bytes()));
        written.map_err(BenchError::file("write", &self.path))?;
        self.entries.push(entry);
        Ok(())
    }

    pub fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Measurement> {
        self.entries.iter().filter(move |entry| entry.id == id)
    }
}

fn line(entry: &Measurement) -> String {
    let mut line = serde_json::to_string(entry).unwrap_or_default();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_outlive_the_program_and_a_row_can_start_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results");
        let mut results = Results::load(&path).unwrap();
        results.add(Measurement::missing("a".into(), "not there")).unwrap();
        results.add(Measurement { wall: 1.5, ..Measurement::missing("b".into(), "") }).unwrap();
        assert_eq!(Results::load(&path).unwrap().entries, results.entries);
        results.forget("a").unwrap();
        let again = Results::load(&path).unwrap();
        assert_eq!((again.of("a").count(), again.of("b").count()), (0, 1));
    }
}

//! A recorded machine: every answer its sources gave, kept in one `tar.zst`.
//!
//! The archive holds `manifest.json`, the files under `root/` as they were read, the answers to queries under
//! `queries/`, and `index.json` with what a tar archive cannot say: listings, links and errors.

use super::{Query, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

pub const FORMAT: &str = "hwinventory-snapshot/v1";
/// A snapshot of a large machine unpacks to some 20 MB.
const UNPACKED_LIMIT: u64 = 512 << 20;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// An answer, or the errno of the refusal.
pub type Answer<T> = Result<T, i32>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recording {
    pub manifest: Manifest,
    pub files: BTreeMap<String, Answer<Vec<u8>>>,
    pub queries: BTreeMap<String, Answer<Vec<u8>>>,
    pub lists: BTreeMap<String, Answer<Vec<String>>>,
    pub links: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: String,
    pub agent_version: String,
    /// Serial numbers, hardware addresses and UUIDs are replaced by keyed hashes.
    pub redacted: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Index {
    lists: BTreeMap<String, Vec<String>>,
    links: BTreeMap<String, String>,
    file_errors: BTreeMap<String, i32>,
    list_errors: BTreeMap<String, i32>,
    query_errors: BTreeMap<String, i32>,
}

impl Recording {
    /// Whether a file begins like a snapshot.
    pub fn is_snapshot(head: &[u8]) -> bool {
        head.starts_with(&MAGIC)
    }

    pub fn load(archive: impl Read) -> io::Result<Recording> {
        let unpacked = zstd::Decoder::new(archive)?.take(UNPACKED_LIMIT);
        let mut recording = Recording::default();
        for entry in tar::Archive::new(unpacked).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            if let Some(file) = path.strip_prefix("root/") {
                recording.files.insert(format!("/{file}"), Ok(bytes));
            } else if let Some(key) = path.strip_prefix("queries/") {
                recording.queries.insert(key.to_owned(), Ok(bytes));
            } else if path == "manifest.json" {
                recording.manifest = serde_json::from_slice(&bytes)?;
            } else if path == "index.json" {
                let index: Index = serde_json::from_slice(&bytes)?;
                recording.links = index.links;
                recording.lists.extend(index.lists.into_iter().map(|(path, names)| (path, Ok(names))));
                recording.lists.extend(index.list_errors.into_iter().map(|(path, errno)| (path, Err(errno))));
                recording.files.extend(index.file_errors.into_iter().map(|(path, errno)| (path, Err(errno))));
                recording.queries.extend(index.query_errors.into_iter().map(|(key, errno)| (key, Err(errno))));
            }
        }
        if recording.manifest.format != FORMAT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("not a snapshot in format {FORMAT}")));
        }
        Ok(recording)
    }

    /// The same recording gives the same bytes.
    pub fn save(&self, out: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(zstd::Encoder::new(out, 12)?);
        append(&mut archive, "manifest.json", &serde_json::to_vec_pretty(&self.manifest)?)?;
        let mut index = Index { links: self.links.clone(), ..Index::default() };
        for (path, answer) in &self.lists {
            match answer {
                Ok(names) => drop(index.lists.insert(path.clone(), names.clone())),
                Err(errno) => drop(index.list_errors.insert(path.clone(), *errno)),
            }
        }
        for (from, to) in [(&self.files, &mut index.file_errors), (&self.queries, &mut index.query_errors)] {
            to.extend(from.iter().filter_map(|(path, answer)| Some((path.clone(), *answer.as_ref().err()?))));
        }
        append(&mut archive, "index.json", &serde_json::to_vec_pretty(&index)?)?;
        for (path, bytes) in self.files.iter().filter_map(|(p, a)| Some((p, a.as_ref().ok()?))) {
            append(&mut archive, &format!("root{path}"), bytes)?;
        }
        for (key, bytes) in self.queries.iter().filter_map(|(k, a)| Some((k, a.as_ref().ok()?))) {
            append(&mut archive, &format!("queries/{key}"), bytes)?;
        }
        archive.into_inner()?.finish()?.flush()
    }
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes)
}

fn answer<T: Clone>(map: &BTreeMap<String, Answer<T>>, key: &str) -> io::Result<T> {
    match map.get(key) {
        Some(Ok(value)) => Ok(value.clone()),
        Some(Err(errno)) => Err(io::Error::from_raw_os_error(*errno)),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

impl Source for Recording {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        answer(&self.files, path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        answer(&self.lists, path)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        self.links.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        answer(&self.queries, &query.key())
    }
}

//! The output directory.

use super::{BuildError, MANIFEST, UKI};
use crate::manifest::Manifest;
use crate::options::Options;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

/// Each file is either complete or absent: it is written under a temporary name and renamed. The manifest comes last.
pub(super) fn write_all(
    options: &Options,
    outputs: Vec<(&str, Vec<u8>)>,
    manifest: &Manifest,
) -> Result<(), BuildError> {
    let dir = &options.output;
    fs::create_dir_all(dir).map_err(|source| BuildError::Write { path: dir.clone(), source })?;
    if options.stub.is_none() {
        remove_stale(&dir.join(UKI))?;
    }
    for (name, data) in &outputs {
        write_file(&dir.join(name), data)?;
    }
    let mut json = serde_json::to_vec_pretty(manifest)
        .map_err(|e| BuildError::Write { path: dir.join(MANIFEST), source: e.into() })?;
    json.push(b'\n');
    write_file(&dir.join(MANIFEST), &json)
}

/// A unified image from an earlier build would not match the rest.
fn remove_stale(path: &Path) -> Result<(), BuildError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(BuildError::Write { path: path.to_owned(), source: e }),
        _ => Ok(()),
    }
}

fn write_file(path: &Path, data: &[u8]) -> Result<(), BuildError> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        // World-readable, unlike other temporary files, because a web server serves them.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mut file = tempfile::Builder::new().prefix(".burin-").permissions(mode).tempfile_in(dir)?;
        file.write_all(data)?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| BuildError::Write { path: path.to_owned(), source })
}

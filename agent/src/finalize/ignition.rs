//! Finds where systems look for Ignition's configuration at first boot.
//!
//! Fedora CoreOS and RHEL CoreOS: `ignition/config.ign` on the filesystem labelled `boot`, as coreos-installer writes
//! it; `ignition.firstboot` beside it triggers Ignition, and stays. Flatcar: `config.ign` on the filesystem labelled
//! `OEM`, as flatcar-install writes it.

use super::filesystem::{self, FilesystemError, Kind};
use super::mount::Mounted;
use super::root::Root;
use super::rootfs::{Candidate, RootError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What one kind of system looks for.
struct Row {
    /// Label of the filesystem.
    label: &'static str,
    /// A file that must exist for Ignition to run at all.
    mark: Option<&'static str>,
    directory: &'static str,
}

const ROWS: [Row; 2] = [
    Row { label: "boot", mark: Some("ignition.firstboot"), directory: "ignition" },
    Row { label: "OEM", mark: None, directory: "" },
];

/// A partition in which Ignition looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnitionPlace {
    pub number: u32,
    pub kind: Kind,
    pub label: String,
    /// From the root of the filesystem.
    pub directory: String,
}

/// All of them. Partitions are mounted read-only below `mounts` to look inside.
pub fn find(candidates: &[Candidate], mounts: &Path) -> Result<Vec<IgnitionPlace>, RootError> {
    let mut found = Vec::new();
    for candidate in candidates {
        let content = match filesystem::probe(&candidate.node) {
            Err(FilesystemError::Ambivalent { .. }) => continue,
            content => content?,
        };
        let row = ROWS.iter().find(|row| content.label.as_deref() == Some(row.label));
        let (Some(kind), Some(row)) = (content.filesystem(), row) else { continue };
        if row.mark.is_none_or(|mark| has(candidate, kind, mark, mounts).unwrap_or(false)) {
            let (label, directory) = (row.label.to_owned(), row.directory.to_owned());
            found.push(IgnitionPlace { number: candidate.number, kind, label, directory });
        }
    }
    Ok(found)
}

fn has(candidate: &Candidate, kind: Kind, mark: &str, mounts: &Path) -> Result<bool, RootError> {
    let mounted = Mounted::look(&candidate.node, kind.name(), mounts)?;
    let there = Root::open(mounted.path()).and_then(|root| root.has(mark));
    mounted.unmount()?;
    there.map_err(|source| RootError::Io { path: candidate.node.clone(), source })
}

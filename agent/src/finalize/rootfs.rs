//! Which partition of a just-written image holds its root filesystem: by GPT type, else by what is in it; never by guess.

use super::filesystem::{self, FilesystemError, Kind};
use super::guid::Arch;
use super::mount::{MountError, Mounted};
use super::root::Root;
use crate::aside::errno;
use crate::error::Coded;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What makes a directory the root of a Linux system (os-release(5)).
const MARKS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Where installers put the root when it is not the top of a btrfs filesystem: Fedora, Ubuntu and Arch, Debian.
const SUBVOLUMES: [&str; 3] = ["root", "@", "@rootfs"];

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
pub enum RootError {
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{path}: cannot be searched")]
    Io {
        path: PathBuf,
        #[serde(with = "errno")]
        source: io::Error,
    },
    #[error("no partition holds a root filesystem; looked at {looked}")]
    None { looked: String },
    #[error("more than one partition could be the root: {found}")]
    Ambiguous { found: String },
    #[error("{device}: the root partition holds {found}, which cannot be opened")]
    Unsupported { device: PathBuf, found: String },
}

impl Coded for RootError {
    fn code(&self) -> &'static str {
        match self {
            Self::Filesystem(error) => error.code(),
            Self::Mount(error) => error.code(),
            Self::Io { .. } => "finalize.root_io",
            Self::None { .. } => "finalize.root_none",
            Self::Ambiguous { .. } => "finalize.root_ambiguous",
            Self::Unsupported { .. } => "finalize.root_unsupported",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Mount(error) => error.hint(),
            Self::None { .. } | Self::Ambiguous { .. } => {
                Some("give the root partition the type of the Discoverable Partitions Specification".to_owned())
            }
            _ => None,
        }
    }
}

/// A partition to consider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    pub number: u32,
    /// None on MBR.
    pub type_guid: Option<Uuid>,
    /// Its device node.
    pub node: PathBuf,
}

/// The root filesystem of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFilesystem {
    pub number: u32,
    pub node: PathBuf,
    pub kind: Kind,
    /// Where in the filesystem the root is; empty but for btrfs subvolumes.
    pub prefix: PathBuf,
}

/// Finds the root. Partitions are mounted read-only below `mount_base` to look inside; no journal is replayed.
pub fn find(candidates: &[Candidate], arch: Arch, mount_base: &Path) -> Result<RootFilesystem, RootError> {
    let typed: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.type_guid == Some(arch.root_type())).collect();
    if let [only] = typed.as_slice() {
        let content = filesystem::probe(&only.node)?;
        let Some(kind) = content.filesystem() else {
            let found = content.kind.unwrap_or_else(|| "no known filesystem".to_owned());
            return Err(RootError::Unsupported { device: only.node.clone(), found });
        };
        // The type is the image's own word: a root that is only filled in at first boot needs no os-release.
        let prefix = look(only, kind, mount_base)?.unwrap_or_default();
        return Ok(RootFilesystem { number: only.number, node: only.node.clone(), kind, prefix });
    }
    let considered = if typed.is_empty() { candidates.iter().collect() } else { typed };
    let mut found = Vec::new();
    let mut looked = Vec::new();
    for candidate in considered {
        let content = filesystem::probe(&candidate.node)?;
        let shown = content.kind.as_deref().unwrap_or("unknown");
        looked.push(format!("{} ({shown})", candidate.node.display()));
        let Some(kind) = content.filesystem() else { continue };
        if let Some(prefix) = look(candidate, kind, mount_base)? {
            found.push(RootFilesystem { number: candidate.number, node: candidate.node.clone(), kind, prefix });
        }
    }
    match found.len() {
        1 => found.pop().ok_or(RootError::None { looked: String::new() }),
        0 => Err(RootError::None { looked: looked.join(", ") }),
        _ => {
            let names: Vec<String> = found.iter().map(|root| root.node.display().to_string()).collect();
            Err(RootError::Ambiguous { found: names.join(", ") })
        }
    }
}

fn look(candidate: &Candidate, kind: Kind, mount_base: &Path) -> Result<Option<PathBuf>, RootError> {
    let mounted = Mounted::look(&candidate.node, kind.name(), mount_base)?;
    let prefix = prefix(mounted.path(), kind);
    mounted.unmount()?;
    prefix
}

/// Where below `mounted` the root is: at the top, or in one of the subvolumes that installers use.
fn prefix(mounted: &Path, kind: Kind) -> Result<Option<PathBuf>, RootError> {
    let io = |source| RootError::Io { path: mounted.to_owned(), source };
    let top = Root::open(mounted).map_err(io)?;
    if is_root(&top).map_err(io)? {
        return Ok(Some(PathBuf::new()));
    }
    if kind != Kind::Btrfs {
        return Ok(None);
    }
    let mut found = Vec::new();
    for name in SUBVOLUMES {
        if top.has(name).map_err(io)?
            && let Ok(subtree) = top.subtree(Path::new(name))
            && is_root(&subtree).map_err(io)?
        {
            found.push(name);
        }
    }
    match found.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(PathBuf::from(only))),
        several => Err(RootError::Ambiguous { found: format!("subvolumes {}", several.join(", ")) }),
    }
}

fn is_root(root: &Root) -> io::Result<bool> {
    for mark in MARKS {
        if root.has(mark)? {
            return Ok(true);
        }
    }
    Ok(false)
}

//! Finds the partition of a written image with the root filesystem: by GPT type, or by its contents; never by guessing.

use super::filesystem::{self, FilesystemError, Kind};
use super::guid::Arch;
use super::mount::{MountError, Mounted};
use super::root::Root;
use super::system::ostree::{self, Deployment};
use crate::error::Coded;
use crate::isolate::errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What makes a directory the root of a Linux system (os-release(5)).
const MARKS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// Where installers put the root if it is not at the top of a btrfs filesystem: Fedora, Ubuntu and Arch, Debian.
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
                let hint = "give the root partition its type from the Discoverable Partitions Specification, or the seed a \
                            partition of its own: `\"format\": \"cidata\"`";
                Some(hint.to_owned())
            }
            Self::Unsupported { .. } => {
                Some("give the seed a partition of its own: `\"format\": \"cidata\"`".to_owned())
            }
            _ => None,
        }
    }
}

/// A partition to consider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Candidate {
    pub number: u32,
    /// `None` on an MBR.
    pub type_guid: Option<Uuid>,
    /// As in `PARTUUID=`, lower case.
    pub guid: Option<String>,
    /// Its GPT name.
    pub name: Option<String>,
    /// Its device node.
    pub node: PathBuf,
}

/// The root filesystem of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFilesystem {
    pub number: u32,
    pub node: PathBuf,
    pub kind: Kind,
    /// The path of the root in the filesystem; empty except for btrfs subvolumes.
    pub prefix: PathBuf,
    /// The ostree deployment that is booted, below the prefix.
    pub deployment: Option<Deployment>,
}

/// Where a root was found in a filesystem.
#[derive(Debug, Default)]
struct Place {
    prefix: PathBuf,
    deployment: Option<Deployment>,
}

impl RootFilesystem {
    fn new(candidate: &Candidate, kind: Kind, place: Place) -> Self {
        let Place { prefix, deployment } = place;
        Self { number: candidate.number, node: candidate.node.clone(), kind, prefix, deployment }
    }
}

/// The root filesystem in this partition, whatever it contains.
pub fn within(candidate: &Candidate, mount_base: &Path) -> Result<RootFilesystem, RootError> {
    let content = filesystem::probe(&candidate.node)?;
    let Some(kind) = content.filesystem() else {
        let found = content.kind.unwrap_or_else(|| "no known filesystem".to_owned());
        return Err(RootError::Unsupported { device: candidate.node.clone(), found });
    };
    Ok(RootFilesystem::new(candidate, kind, look(candidate, kind, mount_base)?.unwrap_or_default()))
}

/// Finds the root. Partitions are mounted read-only below `mount_base` to look inside; no journal is replayed.
pub fn find(candidates: &[Candidate], arch: Arch, mount_base: &Path) -> Result<RootFilesystem, RootError> {
    let typed: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.type_guid == Some(arch.root_type())).collect();
    if let [only] = typed.as_slice() {
        // The image declares the type itself: a root that is filled at first boot needs no os-release.
        return within(only, mount_base);
    }
    let considered = if typed.is_empty() { candidates.iter().collect() } else { typed };
    let mut found = Vec::new();
    let mut looked = Vec::new();
    for candidate in considered {
        let content = filesystem::probe(&candidate.node)?;
        let shown = content.kind.as_deref().unwrap_or("unknown");
        looked.push(format!("{} ({shown})", candidate.node.display()));
        let Some(kind) = content.filesystem() else { continue };
        if let Some(place) = look(candidate, kind, mount_base)? {
            found.push(RootFilesystem::new(candidate, kind, place));
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

fn look(candidate: &Candidate, kind: Kind, mount_base: &Path) -> Result<Option<Place>, RootError> {
    let mounted = Mounted::look(&candidate.node, kind.name(), mount_base)?;
    let place = place(mounted.path(), kind);
    mounted.unmount()?;
    place
}

/// The path of the root below `mounted`: at the top, or in one of the subvolumes that installers use; either directly,
/// or as an ostree deployment.
fn place(mounted: &Path, kind: Kind) -> Result<Option<Place>, RootError> {
    let io = |source| RootError::Io { path: mounted.to_owned(), source };
    let top = Root::open(mounted).map_err(io)?;
    if is_root(&top).map_err(io)? {
        return Ok(Some(Place::default()));
    }
    let mut found = deployed(&top, Path::new("")).map_err(io)?;
    if kind == Kind::Btrfs {
        for name in SUBVOLUMES {
            let Ok(subtree) = top.subtree(Path::new(name)) else { continue };
            if is_root(&subtree).map_err(io)? {
                found.push(Place { prefix: name.into(), deployment: None });
            } else {
                found.extend(deployed(&subtree, Path::new(name)).map_err(io)?);
            }
        }
    }
    if found.len() > 1 {
        let words = |place: &Place| match &place.deployment {
            Some(deployment) => place.prefix.join(&deployment.root).display().to_string(),
            None => place.prefix.display().to_string(),
        };
        let words: Vec<String> = found.iter().map(words).collect();
        return Err(RootError::Ambiguous { found: format!("the directories {}", words.join(", ")) });
    }
    Ok(found.pop())
}

fn deployed(sysroot: &Root, prefix: &Path) -> io::Result<Vec<Place>> {
    let place = |deployment| Place { prefix: prefix.to_owned(), deployment: Some(deployment) };
    Ok(ostree::deployments(sysroot)?.into_iter().map(place).collect())
}

pub(super) fn is_root(root: &Root) -> io::Result<bool> {
    for mark in MARKS {
        if root.has(mark)? {
            return Ok(true);
        }
    }
    Ok(false)
}

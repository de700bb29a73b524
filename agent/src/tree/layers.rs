//! Stacked layers of a container image (OCI image specification 1.1, "Image Layer Filesystem Changeset").
//!
//! `.wh.NAME` hides NAME of lower layers, `.wh..wh..opq` everything of lower layers in its directory; entries of the
//! same layer are never hidden, wherever the whiteout is in its archive. Directories are resolved like entries: within
//! the root, whatever links say.

use super::TreeError;
use super::archive::Archive;
use super::manifest::forget;
use super::unpack::{EntryPlace, Unpacker, inside};
use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use twox_hash::XxHash3_128;

const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Maximum nesting of removed directories; each level takes a file descriptor.
const DEEPEST: usize = 256;
/// Maximum number of entries in a layer above others, 32 bytes each.
const MOST_TOUCHED: usize = 4 << 20;

/// What a whiteout hides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    One(OsString),
    All,
    /// AUFS metadata.
    Nothing,
}

impl Hidden {
    fn of(name: &OsStr) -> Option<Self> {
        let rest = name.as_bytes().strip_prefix(MARK)?;
        Some(match rest {
            _ if name.as_bytes() == OPAQUE => Self::All,
            _ if rest.starts_with(MARK) => Self::Nothing,
            rest => Self::One(OsStr::from_bytes(rest).to_owned()),
        })
    }
}

/// Paths made by this layer, and their parents. Their digests suffice.
#[derive(Debug, Default)]
pub struct Touched(HashSet<u128>);

impl Touched {
    fn add(&mut self, path: &Path) -> bool {
        path.ancestors().all(|path| {
            self.0.insert(digest(path));
            self.0.len() <= MOST_TOUCHED
        })
    }

    fn has(&self, path: &Path) -> bool {
        self.0.contains(&digest(path))
    }
}

fn digest(path: &Path) -> u128 {
    XxHash3_128::oneshot(path.as_os_str().as_bytes())
}

impl Unpacker<'_> {
    /// Unpacks the next layer over the existing ones; the first one has none below.
    pub fn layer(&mut self, archive: &mut dyn Read, first: bool) -> Result<(), TreeError> {
        self.layer = (!first).then(Touched::default);
        self.entries(Archive::layer(archive), &Hidden::of)?;
        self.layer = None;
        Ok(())
    }

    /// Removes what is in the way of an entry, if it belongs to a lower layer.
    pub(super) fn take_over(&mut self, place: &EntryPlace, directory: bool) -> Result<(), TreeError> {
        let path = place.canonical(self.root)?;
        let mine = self.layer.as_ref().is_some_and(|touched| touched.has(&path));
        if place.name.is_some() && place.is_directory() != directory && !mine {
            self.remove(place.parent.as_fd(), place.name(), &path, 0)?;
        }
        match self.layer.as_mut().is_none_or(|touched| touched.add(&path)) {
            true => Ok(()),
            false => Err(place.unsupported("a layer with more entries than are kept in mind (4 million)")),
        }
    }

    /// Removes what the whiteout at `path` hides.
    pub(super) fn hide(&mut self, path: &Path, hidden: Hidden) -> Result<(), TreeError> {
        let shown = path.display().to_string();
        let failed = |source| TreeError::Io { path: shown.clone(), action: "find the directory of", source };
        let directory = path.parent().unwrap_or(Path::new(""));
        let name = match hidden {
            Hidden::Nothing => return Ok(()),
            Hidden::All => None,
            Hidden::One(name) => match name.as_bytes() {
                b"" | b"." | b".." => return Err(TreeError::Escape { path: shown }),
                _ => Some(name),
            },
        };
        // There is nothing to hide below the first layer.
        if self.layer.is_none() {
            return Ok(());
        }
        let parent = match self.root.open_directory(&inside(directory.as_os_str().as_bytes())?) {
            Ok(parent) => parent,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let place = EntryPlace::found(parent, name, shown.clone());
        let path = place.canonical(self.root)?;
        match &place.name {
            Some(name) => self.remove(place.parent.as_fd(), name, &path, 0),
            None => self.remove_below(place.parent.as_fd(), OsStr::new("."), &path, 0),
        }
    }

    /// Removes `name` at `path`, except for what this layer made.
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr, path: &Path, depth: usize) -> Result<(), TreeError> {
        let failed = |error: nix::Error| TreeError::Io {
            path: path.display().to_string(),
            action: "remove",
            source: error.into(),
        };
        let mine = self.layer.as_ref().is_some_and(|touched| touched.has(path));
        if !mine {
            match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) => {
                    self.forget(path);
                    return Ok(());
                }
                Err(nix::Error::ENOENT) => return Ok(()),
                Err(nix::Error::EISDIR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.remove_below(parent, name, path, depth)?;
        if mine {
            return Ok(());
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) => self.forget(path),
            // A separate filesystem stays where it is mounted.
            Err(nix::Error::EBUSY) => {}
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }

    /// Removes the directory's contents, except for what this layer made. Anything but a directory has none.
    fn remove_below(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), TreeError> {
        let shown = || path.display().to_string();
        if depth == DEEPEST {
            let what = "directories too deep to be hidden by a layer".to_owned();
            return Err(TreeError::Unsupported { path: shown(), what });
        }
        let failed = |error: nix::Error| TreeError::Io { path: shown(), action: "empty", source: error.into() };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut directory = match Dir::openat(parent, name, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(nix::Error::ENOTDIR | nix::Error::ELOOP) => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        let mut names: Vec<OsString> = Vec::new();
        for entry in directory.iter() {
            let name = OsStr::from_bytes(entry.map_err(failed)?.file_name().to_bytes()).to_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        for name in names {
            self.remove(directory.as_fd(), &name, &path.join(&name), depth + 1)?;
        }
        Ok(())
    }

    fn forget(&mut self, path: &Path) {
        if let Some(manifest) = self.manifest.as_deref_mut() {
            manifest.forget(path);
        }
        forget(&mut self.directories, path);
        forget(&mut self.late, path);
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;

//! Unpacks the entries of a tar sequentially, below a directory that they cannot escape from.

use super::TreeError;
use super::archive::{Archive, TarEntry};
use super::attributes::FileAttributes;
use super::layers::{Hidden, Touched};
use super::manifest::{BLOCK, Contents, Digest, TreeManifest, fill, link_digest};
use crate::disk::zero;
use crate::finalize::root::Root;
use nix::fcntl::{AtFlags, OFlag, openat, readlink};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// Size limit of attributes kept until the end of the archive: those of directories, and ACLs with names.
const MOST_KEPT: usize = 64 << 20;
/// The result of unpacking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unpacked {
    pub entries: u64,
    /// Of regular files, holes included.
    pub file_bytes: u64,
}

/// Unpacks all of `archive`; `stopped` is called between blocks. An existing file is replaced, links are never written
/// through, and links on the way are resolved within `root`. `manifest` gets the data for reading back.
pub fn unpack(
    archive: &mut dyn Read,
    root: &Root,
    manifest: Option<&mut TreeManifest>,
    stopped: &dyn Fn() -> bool,
) -> Result<Unpacked, TreeError> {
    let mut unpacker = Unpacker::new(root, manifest, stopped);
    unpacker.archive(archive)?;
    unpacker.finish()
}

/// A tree being unpacked, from one archive or from several stacked ones.
pub struct Unpacker<'t> {
    pub(super) root: &'t Root,
    pub(super) manifest: Option<&'t mut TreeManifest>,
    stopped: &'t dyn Fn() -> bool,
    done: Unpacked,
    /// By their paths without links, because another entry may replace one of them by any other path. Times are set
    /// last, since adding files changes them. Of two entries for one directory the later counts.
    pub(super) directories: BTreeMap<PathBuf, FileAttributes>,
    /// The same for those with ACLs whose names the tree did not know yet.
    pub(super) late: BTreeMap<PathBuf, (FileAttributes, Digest)>,
    kept: usize,
    /// What this layer made, if there are others below it.
    pub(super) layer: Option<Touched>,
}

impl std::fmt::Debug for Unpacker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").field("root", &self.root.path()).field("done", &self.done).finish_non_exhaustive()
    }
}

impl<'t> Unpacker<'t> {
    pub fn new(root: &'t Root, manifest: Option<&'t mut TreeManifest>, stopped: &'t dyn Fn() -> bool) -> Self {
        let (done, directories, late) = (Unpacked::default(), BTreeMap::new(), BTreeMap::new());
        Self { root, manifest, stopped, done, directories, late, kept: 0, layer: None }
    }

    /// Unpacks the next archive, in which no name is a whiteout.
    pub fn archive(&mut self, archive: &mut dyn Read) -> Result<(), TreeError> {
        self.entries(Archive::new(archive), &|_| None)
    }

    /// `hides` recognises whiteouts, and says what they hide.
    pub(super) fn entries(
        &mut self,
        mut archive: Archive<'_>,
        hides: &dyn Fn(&OsStr) -> Option<Hidden>,
    ) -> Result<(), TreeError> {
        let failed = |source| TreeError::Archive { source };
        while let Some(entry) = archive.next().map_err(failed)? {
            if (self.stopped)() {
                return Err(TreeError::Stopped);
            }
            let path = inside(&entry.path)?;
            match path.file_name().and_then(hides) {
                Some(hidden) => self.hide(&path, hidden)?,
                None => self.entry(&path, &entry, &mut archive)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, entry: &TarEntry, archive: &mut Archive<'_>) -> Result<(), TreeError> {
        let attributes = FileAttributes::read(entry)
            .map_err(|what| TreeError::Unsupported { path: path.display().to_string(), what })?;
        let place = EntryPlace::new(self.root, path)?;
        if !self.late.is_empty() {
            self.late.remove(&place.canonical(self.root)?);
        }
        self.done.entries += 1;
        if self.layer.is_some() {
            self.take_over(&place, entry.kind == EntryType::Directory)?;
        }
        let mut contents = 0;
        match entry.kind {
            EntryType::Directory => {
                place.directory()?;
                self.kept = keep(&place, self.kept, &attributes)?;
                self.directories.insert(place.canonical(self.root)?, attributes);
                return Ok(());
            }
            _ if place.name.is_none() => return Err(place.unsupported("the root is no directory")),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                contents = place.file(entry, archive, self.stopped)?;
                self.done.file_bytes += entry.size;
            }
            EntryType::Link => {
                let other = place.link(self.root, &inside(&entry.link)?)?;
                if let Some(manifest) = self.manifest.as_deref_mut() {
                    manifest.link(place.canonical(self.root)?, &other.canonical(self.root)?);
                }
                // It shares the attributes of the file that it is another name of.
                return Ok(());
            }
            EntryType::Symlink => {
                place.symlink(&entry.link)?;
                contents = link_digest(&entry.link);
            }
            EntryType::Char => place.node(SFlag::S_IFCHR, makedev(entry.device.0, entry.device.1))?,
            EntryType::Block => place.node(SFlag::S_IFBLK, makedev(entry.device.0, entry.device.1))?,
            EntryType::Fifo => place.node(SFlag::S_IFIFO, 0)?,
            other => return Err(place.unsupported(&format!("entries of type {other:?} are not known"))),
        }
        if !attributes.named.is_empty() {
            self.kept = keep(&place, self.kept, &attributes)?;
            self.late.insert(place.canonical(self.root)?, (attributes, contents));
            return Ok(());
        }
        place.set(&attributes, entry.kind != EntryType::Symlink)?;
        place.note(self.root, self.manifest.as_deref_mut(), contents, &attributes)
    }

    /// Sets what had to wait for the last entry.
    pub fn finish(mut self) -> Result<Unpacked, TreeError> {
        for (path, (mut attributes, contents)) in self.late {
            let place = EntryPlace::new(self.root, &path)?;
            attributes.resolve(self.root).map_err(|what| place.unsupported(&what))?;
            place.set(&attributes, true)?;
            place.note(self.root, self.manifest.as_deref_mut(), contents, &attributes)?;
        }
        for (path, mut attributes) in self.directories.into_iter().rev() {
            let place = EntryPlace::new(self.root, &path)?;
            // A later entry may have replaced it.
            if place.is_directory() {
                attributes.resolve(self.root).map_err(|what| place.unsupported(&what))?;
                place.set(&attributes, true)?;
                place.note(self.root, self.manifest.as_deref_mut(), 0, &attributes)?;
            }
        }
        Ok(self.done)
    }
}

/// Size of what is kept with these attributes.
fn keep(place: &EntryPlace, kept: usize, attributes: &FileAttributes) -> Result<usize, TreeError> {
    let kept = kept.saturating_add(attributes.bytes());
    if kept > MOST_KEPT {
        return Err(place.unsupported("the attributes of directories, and ACLs of names, take too much memory"));
    }
    Ok(kept)
}

/// Converts a path in the archive to one below the root: leading `/` and `.` are dropped, `..` is refused.
pub(super) fn inside(bytes: &[u8]) -> Result<PathBuf, TreeError> {
    let escape = || TreeError::Escape { path: String::from_utf8_lossy(bytes).into_owned() };
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(escape()),
        }
    }
    if bytes.contains(&0) { Err(escape()) } else { Ok(path) }
}

/// The location of an entry: its directory, opened, and its name in it; `None` for the root itself.
pub(super) struct EntryPlace {
    pub parent: OwnedFd,
    pub name: Option<OsString>,
    path: String,
}

impl EntryPlace {
    fn new(root: &Root, path: &Path) -> Result<Self, TreeError> {
        let shown = path.display().to_string();
        let parent = root.make_directories(path.parent().unwrap_or(Path::new("")));
        let parent =
            parent.map_err(|source| TreeError::Io { path: shown.clone(), action: "make its directory", source })?;
        Ok(Self { parent, name: path.file_name().map(OsStr::to_owned), path: shown })
    }

    /// In an existing directory.
    pub fn found(parent: OwnedFd, name: Option<OsString>, path: String) -> Self {
        Self { parent, name, path }
    }

    pub fn name(&self) -> &OsStr {
        self.name.as_deref().unwrap_or(OsStr::new("."))
    }

    pub fn failed(&self, action: &'static str) -> impl Fn(nix::Error) -> TreeError {
        move |error| TreeError::Io { path: self.path.clone(), action, source: error.into() }
    }

    pub fn unsupported(&self, what: &str) -> TreeError {
        TreeError::Unsupported { path: self.path.clone(), what: what.to_owned() }
    }

    /// Removes what is there, except a directory that is not empty.
    fn clear(&self) -> Result<(), TreeError> {
        match unlinkat(&self.parent, self.name(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::Error::ENOENT) => Ok(()),
            Err(nix::Error::EISDIR) => {
                unlinkat(&self.parent, self.name(), UnlinkatFlags::RemoveDir).map_err(self.failed("replace"))
            }
            Err(error) => Err(self.failed("replace")(error)),
        }
    }

    fn directory(&self) -> Result<(), TreeError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        if openat(&self.parent, self.name(), flags, Mode::empty()).is_ok() {
            return Ok(());
        }
        self.clear()?;
        mkdirat(&self.parent, self.name(), Mode::S_IRWXU).map_err(self.failed("make"))
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == Some(SFlag::S_IFDIR)
    }

    pub fn kind(&self) -> Option<SFlag> {
        let found = fstatat(&self.parent, self.name(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        Some(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)
    }

    /// Zero blocks stay holes. Returns the digest of the contents.
    fn file(
        &self,
        entry: &TarEntry,
        stored: &mut Archive<'_>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Digest, TreeError> {
        self.clear()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.parent, self.name(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let file = File::from(file.map_err(self.failed("make"))?);
        let failed = |source| TreeError::Io { path: self.path.clone(), action: "write", source };
        let size = BLOCK as u64;
        let (mut digest, mut block, mut at) = (Contents::default(), vec![0; BLOCK], 0);
        let mut put = |at: u64, block: &mut Vec<u8>| -> Result<(), TreeError> {
            let start = at * size;
            let length = usize::try_from(entry.size.saturating_sub(start)).unwrap_or(BLOCK).min(BLOCK);
            let bytes = block.get(..length).unwrap_or_default();
            if !zero::is_zero(bytes) {
                file.write_all_at(bytes, start).map_err(failed)?;
                digest.block(start, bytes);
                block.fill(0);
            }
            Ok(())
        };
        for segment in &entry.segments {
            let (mut offset, end) = (segment.offset, segment.offset.saturating_add(segment.length));
            while offset < end {
                if stopped() {
                    return Err(TreeError::Stopped);
                }
                if offset / size != at {
                    put(at, &mut block)?;
                    at = offset / size;
                }
                let from = usize::try_from(offset % size).unwrap_or(0);
                let room = usize::try_from(end - offset).unwrap_or(BLOCK).min(BLOCK - from);
                let place = block.get_mut(from..from + room).unwrap_or_default();
                if fill(stored, place).map_err(|source| TreeError::Archive { source })? < room {
                    return Err(TreeError::Archive { source: io::ErrorKind::UnexpectedEof.into() });
                }
                offset += room as u64;
            }
        }
        put(at, &mut block)?;
        file.set_len(entry.size).map_err(failed)?;
        Ok(digest.finish(entry.size))
    }

    /// Returns the location of the file's other name.
    fn link(&self, root: &Root, target: &Path) -> Result<EntryPlace, TreeError> {
        let other = EntryPlace::new(root, target)?;
        self.clear()?;
        // The link's own name, never the target of a symbolic link there.
        linkat(&other.parent, other.name(), &self.parent, self.name(), LinkatFlags::empty())
            .map_err(self.failed("link"))?;
        Ok(other)
    }

    fn symlink(&self, target: &[u8]) -> Result<(), TreeError> {
        self.clear()?;
        symlinkat(OsStr::from_bytes(target), &self.parent, self.name()).map_err(self.failed("link"))
    }

    fn node(&self, kind: SFlag, device: u64) -> Result<(), TreeError> {
        self.clear()?;
        mknodat(&self.parent, self.name(), kind, Mode::S_IRUSR | Mode::S_IWUSR, device).map_err(self.failed("make"))
    }

    /// Owner first: changing it clears set-uid bits and capabilities.
    fn set(&self, attributes: &FileAttributes, has_mode: bool) -> Result<(), TreeError> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        fchownat(&self.parent, self.name(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(self.failed("give its owner to"))?;
        if has_mode {
            // Not a link, because it was just made; a link's mode would apply to any file.
            if self.kind() == Some(SFlag::S_IFLNK) {
                return Err(self.unsupported("it is a link by now"));
            }
            let mode = Mode::from_bits_truncate(attributes.mode);
            fchmodat(&self.parent, self.name(), mode, FchmodatFlags::FollowSymlink)
                .map_err(self.failed("set the mode of"))?;
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.parent.as_raw_fd())).join(self.name());
        for (name, value) in &attributes.extended {
            xattr::set(&path, name, value).map_err(|source| TreeError::Io {
                path: self.path.clone(),
                action: "set an extended attribute of",
                source,
            })?;
        }
        let (atime, flags) = (TimeSpec::UTIME_NOW, UtimensatFlags::NoFollowSymlink);
        utimensat(&self.parent, self.name(), &atime, &attributes.mtime, flags).map_err(self.failed("set the time of"))
    }

    /// Its path below the root, without links on the way.
    pub fn canonical(&self, root: &Root) -> Result<PathBuf, TreeError> {
        let shown = |directory: &OwnedFd| {
            let path = readlink(format!("/proc/self/fd/{}", directory.as_raw_fd()).as_str());
            path.map_err(self.failed("find the place of"))
        };
        let io = |source| TreeError::Io { path: self.path.clone(), action: "find the place of", source };
        let top = PathBuf::from(shown(&root.open_directory(Path::new("")).map_err(io)?)?);
        let parent = PathBuf::from(shown(&self.parent)?);
        let below = parent.strip_prefix(&top).map_err(|_| TreeError::Escape { path: self.path.clone() })?;
        Ok(match &self.name {
            Some(name) => below.join(name),
            None => below.to_owned(),
        })
    }

    fn note(
        &self,
        root: &Root,
        manifest: Option<&mut TreeManifest>,
        contents: Digest,
        attributes: &FileAttributes,
    ) -> Result<(), TreeError> {
        let Some(manifest) = manifest else { return Ok(()) };
        let path = self.canonical(root)?;
        let noted = manifest.note(path, self.parent.as_fd(), self.name(), contents, &attributes.extended);
        noted.map_err(self.failed("look at"))
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
pub(super) mod tests;

//! The entries of a tar, made one after the other below a directory that nothing leads out of.

use super::{TreeError, acl};
use crate::disk::zero;
use crate::finalize::root::Root;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, makedev, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// Bytes copied at once; zeros of this length become holes.
const BLOCK: usize = 64 * 1024;

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Unpacked {
    pub entries: u64,
    /// Of regular files, holes included.
    pub file_bytes: u64,
}

/// Unpacks all of `archive`; `stopped` is asked between blocks. What is at an entry's place is replaced, links are never
/// written through, and links on the way to it are resolved inside `root`.
pub fn unpack(archive: &mut dyn Read, root: &Root, stopped: &dyn Fn() -> bool) -> Result<Unpacked, TreeError> {
    let failed = |source| TreeError::Archive { source };
    let mut archive = tar::Archive::new(archive);
    let mut done = Unpacked::default();
    // Their times last: making what is in them changes those.
    let mut directories: Vec<(PathBuf, Attributes)> = Vec::new();
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        if stopped() {
            return Err(TreeError::Stopped);
        }
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let path = inside(&entry.path_bytes())?;
        let attributes = Attributes::read(&mut entry, &path).map_err(|error| match error {
            Bad::Archive(source) => failed(source),
            Bad::Unsupported(what) => TreeError::Unsupported { path: path.display().to_string(), what },
        })?;
        let place = Place::new(root, &path)?;
        let kind = entry.header().entry_type();
        done.entries += 1;
        match kind {
            EntryType::Directory => {
                place.directory()?;
                directories.push((path, attributes));
                continue;
            }
            _ if place.name.is_none() => return Err(place.unsupported("the root is no directory")),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let length = place.file(&mut entry, stopped)?;
                if length != entry.size() {
                    return Err(failed(io::ErrorKind::UnexpectedEof.into()));
                }
                done.file_bytes += length;
            }
            EntryType::Link => {
                place.link(root, &inside(&entry.link_name_bytes().unwrap_or_default())?)?;
                // The attributes are those of the file that it is another name of.
                continue;
            }
            EntryType::Symlink => place.symlink(&entry.link_name_bytes().unwrap_or_default())?,
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let number = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
                let (major, minor) = (number(entry.header().device_major()), number(entry.header().device_minor()));
                let kind = match kind {
                    EntryType::Char => SFlag::S_IFCHR,
                    EntryType::Block => SFlag::S_IFBLK,
                    _ => SFlag::S_IFIFO,
                };
                place.node(kind, makedev(major.into(), minor.into()))?;
            }
            other => return Err(place.unsupported(&format!("entries of type {other:?} are not known"))),
        }
        place.set(&attributes, kind != EntryType::Symlink)?;
    }
    for (path, attributes) in directories.iter().rev() {
        Place::new(root, path)?.set(attributes, true)?;
    }
    Ok(done)
}

/// A path of the archive as one below the root: leading `/` and `.` mean nothing, `..` is refused.
fn inside(bytes: &[u8]) -> Result<PathBuf, TreeError> {
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

enum Bad {
    Archive(io::Error),
    Unsupported(String),
}

/// What an entry has beside its contents.
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: TimeSpec,
    extended: Vec<(OsString, Vec<u8>)>,
}

impl Attributes {
    fn read(entry: &mut tar::Entry<'_, impl Read>, path: &Path) -> Result<Self, Bad> {
        let mut extended = Vec::new();
        let mut nanoseconds = None;
        for record in entry.pax_extensions().map_err(Bad::Archive)?.into_iter().flatten() {
            let record = record.map_err(Bad::Archive)?;
            let (key, value) = (record.key_bytes(), record.value_bytes());
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                extended.push((OsString::from_vec(name.to_vec()), value.to_vec()));
            } else if key == b"RHT.security.selinux" {
                extended.push((OsString::from("security.selinux"), value.to_vec()));
            } else if key == b"SCHILY.acl.access" || key == b"SCHILY.acl.default" {
                let name =
                    if key.ends_with(b"access") { "system.posix_acl_access" } else { "system.posix_acl_default" };
                let text = String::from_utf8_lossy(value);
                let bytes = acl::attribute(&text)
                    .ok_or_else(|| Bad::Unsupported(format!("the ACL {:?} has names without numbers", text.trim())))?;
                extended.push((OsString::from(name), bytes));
            } else if key == b"mtime" {
                nanoseconds = time(&String::from_utf8_lossy(value));
            } else if key.starts_with(b"GNU.sparse.") {
                let what = "sparse files in pax form are not supported (make the archive with --format=gnu, or without --sparse)";
                return Err(Bad::Unsupported(what.to_owned()));
            }
        }
        let header = entry.header();
        let seconds = || header.mtime().map(|mtime| TimeSpec::new(i64::try_from(mtime).unwrap_or(0), 0));
        let id = |id: io::Result<u64>| {
            let id = id.map_err(Bad::Archive)?;
            u32::try_from(id).map_err(|_| Bad::Unsupported(format!("{}: owner {id}", path.display())))
        };
        Ok(Self {
            mode: header.mode().map_err(Bad::Archive)? & 0o7777,
            uid: id(header.uid())?,
            gid: id(header.gid())?,
            mtime: nanoseconds.map_or_else(seconds, Ok).map_err(Bad::Archive)?,
            extended,
        })
    }
}

/// Seconds with a fraction, as pax has them.
fn time(text: &str) -> Option<TimeSpec> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let (seconds, nanoseconds): (i64, i64) = (seconds.parse().ok()?, digits.parse().ok()?);
    // Before 1970 the fraction counts backwards.
    Some(match text.starts_with('-') && nanoseconds > 0 {
        true => TimeSpec::new(seconds - 1, 1_000_000_000 - nanoseconds),
        false => TimeSpec::new(seconds, nanoseconds),
    })
}

/// Where an entry goes: its directory, opened, and its name in it; none for the root itself.
struct Place {
    parent: OwnedFd,
    name: Option<OsString>,
    path: String,
}

impl Place {
    fn new(root: &Root, path: &Path) -> Result<Self, TreeError> {
        let shown = path.display().to_string();
        let parent = root.make_directories(path.parent().unwrap_or(Path::new("")));
        let parent =
            parent.map_err(|source| TreeError::Io { path: shown.clone(), action: "make its directory", source })?;
        Ok(Self { parent, name: path.file_name().map(OsStr::to_owned), path: shown })
    }

    fn name(&self) -> &OsStr {
        self.name.as_deref().unwrap_or(OsStr::new("."))
    }

    fn failed(&self, action: &'static str) -> impl Fn(nix::Error) -> TreeError {
        move |error| TreeError::Io { path: self.path.clone(), action, source: error.into() }
    }

    fn unsupported(&self, what: &str) -> TreeError {
        TreeError::Unsupported { path: self.path.clone(), what: what.to_owned() }
    }

    /// Removes what is there, except a directory with something in it.
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

    fn file(&self, contents: &mut dyn Read, stopped: &dyn Fn() -> bool) -> Result<u64, TreeError> {
        self.clear()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.parent, self.name(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let mut file = File::from(file.map_err(self.failed("make"))?);
        let failed = |source| TreeError::Io { path: self.path.clone(), action: "write", source };
        let mut block = vec![0; BLOCK];
        let mut length = 0;
        loop {
            if stopped() {
                return Err(TreeError::Stopped);
            }
            let count = fill(contents, &mut block).map_err(|source| TreeError::Archive { source })?;
            let bytes = block.get(..count).unwrap_or_default();
            if count == 0 {
                file.set_len(length).map_err(failed)?;
                return Ok(length);
            }
            match zero::is_zero(bytes) {
                true => file.seek(SeekFrom::Current(count as i64)).map(|_| ()).map_err(failed)?,
                false => file.write_all(bytes).map_err(failed)?,
            }
            length += count as u64;
        }
    }

    fn link(&self, root: &Root, target: &Path) -> Result<(), TreeError> {
        let other = Place::new(root, target)?;
        self.clear()?;
        // The link's own name, never what a symbolic link there points to.
        linkat(&other.parent, other.name(), &self.parent, self.name(), LinkatFlags::empty())
            .map_err(self.failed("link"))
    }

    fn symlink(&self, target: &[u8]) -> Result<(), TreeError> {
        self.clear()?;
        symlinkat(OsStr::from_bytes(target), &self.parent, self.name()).map_err(self.failed("link"))
    }

    fn node(&self, kind: SFlag, device: u64) -> Result<(), TreeError> {
        self.clear()?;
        mknodat(&self.parent, self.name(), kind, Mode::S_IRUSR | Mode::S_IWUSR, device).map_err(self.failed("make"))
    }

    /// Owner first: changing it takes set-uid bits and capabilities away.
    fn set(&self, attributes: &Attributes, has_mode: bool) -> Result<(), TreeError> {
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        fchownat(&self.parent, self.name(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(self.failed("give its owner to"))?;
        if has_mode {
            // What was just made is no link.
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
}

/// Reads until the block is full or the entry ends.
fn fill(from: &mut dyn Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

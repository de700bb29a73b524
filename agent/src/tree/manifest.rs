//! A record of everything that was unpacked, kept in memory until it has been read back: about 200 bytes for each file,
//! whatever its size.

use super::TreeError;
use crate::finalize::root::Root;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};
use nix::sys::statfs::{MSDOS_SUPER_MAGIC, fstatfs};
use nix::unistd::{Whence, lseek};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;
use twox_hash::xxhash3_128::Hasher;

/// Size of blocks that are written, compared and skipped.
pub(super) const BLOCK: usize = 64 * 1024;

/// XXH3-128. What is read back is compared with what was just written: a disk makes errors, but does not forge. Many
/// servers have no SHA-256 instructions, and would spend more time on it than on everything else.
pub(super) type Digest = u128;

/// Digest of a file's contents: every non-zero block with its offset, and the length. Holes and written zeros are
/// equal.
#[derive(Clone, Default)]
pub(super) struct Contents(Hasher);

impl Contents {
    /// A non-zero block; `offset` is a multiple of [`BLOCK`].
    pub fn block(&mut self, offset: u64, bytes: &[u8]) {
        self.0.write(&offset.to_le_bytes());
        self.0.write(bytes);
    }

    pub fn finish(mut self, length: u64) -> Digest {
        self.0.write(&length.to_le_bytes());
        self.0.finish_128()
    }

    /// The digest of an open file.
    pub fn of(file: &File, stopped: &dyn Fn() -> bool) -> io::Result<Digest> {
        let (mut digest, mut block, mut offset) = (Self::default(), vec![0; BLOCK], 0);
        let length = file.metadata()?.len();
        while offset < length && !stopped() {
            match lseek(file, i64::try_from(offset).map_err(io::Error::other)?, Whence::SeekData) {
                Ok(data) => offset = u64::try_from(data).unwrap_or(offset) / BLOCK as u64 * BLOCK as u64,
                // Only a hole follows.
                Err(nix::Error::ENXIO) => break,
                Err(_) => {}
            }
            let room = usize::try_from(length - offset).unwrap_or(BLOCK).min(BLOCK);
            let bytes = block.get_mut(..room).unwrap_or_default();
            file.read_exact_at(bytes, offset)?;
            if !crate::disk::zero::is_zero(bytes) {
                digest.block(offset, bytes);
            }
            offset += room as u64;
        }
        Ok(digest.finish(length))
    }
}

/// Reads until the block is full or the stream ends.
pub(super) fn fill(from: &mut (impl Read + ?Sized), block: &mut [u8]) -> io::Result<usize> {
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

/// A file's metadata right after it was made.
#[derive(Debug, Clone)]
struct Record {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, i64),
    rdev: u64,
    size: u64,
    /// Digest of a file's contents, or of a link's target.
    contents: Digest,
    /// Names and digests of extended attributes.
    extended: Box<[(OsString, Digest)]>,
    /// The same for all names of one file.
    file: u32,
}

/// Everything that an archive contained, by path below the root, without links on the way.
#[derive(Debug, Default)]
pub struct TreeManifest {
    records: BTreeMap<PathBuf, Record>,
    files: u32,
}

/// The result of reading back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    pub entries: u64,
    /// Of regular files, holes included.
    pub file_bytes: u64,
}

impl TreeManifest {
    pub(super) fn note(
        &mut self,
        path: PathBuf,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        contents: Digest,
        extended: &[(OsString, Vec<u8>)],
    ) -> nix::Result<()> {
        let found = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        self.files = self.files.wrapping_add(1);
        let extended = extended.iter().map(|(name, value)| (name.clone(), XxHash3_128::oneshot(value))).collect();
        let record = Record { contents, extended, file: self.files, ..Record::of(&found) };
        self.records.insert(path, record);
        Ok(())
    }

    /// Another name of a recorded file.
    pub(super) fn link(&mut self, path: PathBuf, other: &Path) {
        if let Some(record) = self.records.get(other).cloned() {
            self.records.insert(path, record);
        }
    }

    /// Drops what was removed, with everything below it.
    pub(super) fn forget(&mut self, path: &Path) {
        forget(&mut self.records, path);
    }

    /// Compares everything with what is below `root`, which must have been mounted again: cached data would prove
    /// nothing.
    pub fn verify(&self, root: &Root, stopped: &dyn Fn() -> bool) -> Result<Verified, TreeError> {
        let mut done = Verified::default();
        let mut inodes: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        let mut last: Option<(PathBuf, OwnedFd)> = None;
        for (path, record) in &self.records {
            let shown = || path.display().to_string();
            let failed = |source: io::Error| TreeError::Io { path: shown(), action: "read back", source };
            let differs = |what: &'static str| Err(TreeError::Differs { path: shown(), what });
            if stopped() {
                return Err(TreeError::Stopped);
            }
            let parent = path.parent().unwrap_or(Path::new(""));
            if last.as_ref().is_none_or(|(open, _)| open != parent) {
                last = Some((parent.to_owned(), root.open_directory(parent).map_err(failed)?));
            }
            let Some((_, directory)) = &last else { return Err(TreeError::Stopped) };
            let name = path.file_name().unwrap_or(OsStr::new("."));
            let found = match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(nix::Error::ENOENT) => return differs("it is not there"),
                found => found.map_err(|error| failed(error.into()))?,
            };
            if let Some(what) = record.difference(&Record::of(&found), is_fat(directory.as_fd())) {
                return differs(what);
            }
            let inode = (found.st_dev, found.st_ino);
            let known = inodes.insert(record.file, inode);
            if known.is_some_and(|known| known != inode) {
                return differs("it is no longer another name of the same file");
            }
            match record.mode & SFlag::S_IFMT.bits() {
                // Once for all names.
                kind if kind == SFlag::S_IFREG.bits() && known.is_none() => {
                    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
                    let file = File::from(
                        openat(directory, name, flags, Mode::empty()).map_err(|error| failed(error.into()))?,
                    );
                    let contents = Contents::of(&file, stopped);
                    if stopped() {
                        return Err(TreeError::Stopped);
                    }
                    if contents.map_err(failed)? != record.contents {
                        return differs("its contents differ");
                    }
                    done.file_bytes += record.size;
                }
                kind if kind == SFlag::S_IFLNK.bits() => {
                    let target = readlinkat(directory, name).map_err(|error| failed(error.into()))?;
                    if link_digest(target.as_bytes()) != record.contents {
                        return differs("it points elsewhere");
                    }
                }
                _ => {}
            }
            let place = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
            for (attribute, digest) in &record.extended {
                let value = xattr::get(&place, attribute).map_err(failed)?;
                if value.is_none_or(|value| XxHash3_128::oneshot(&value) != *digest) {
                    return differs("an extended attribute differs");
                }
            }
            done.entries += 1;
        }
        Ok(done)
    }
}

/// Removes `path`, and everything below it, from a map by path.
pub(super) fn forget<T>(known: &mut BTreeMap<PathBuf, T>, path: &Path) {
    let below = known.range(path.to_owned()..).take_while(|(found, _)| found.starts_with(path));
    let gone: Vec<PathBuf> = below.map(|(found, _)| found.clone()).collect();
    gone.iter().for_each(|path| drop(known.remove(path)));
}

/// Used instead of contents for a symbolic link.
pub(super) fn link_digest(target: &[u8]) -> Digest {
    XxHash3_128::oneshot(target)
}

/// FAT has no owners, modes and exact times; the rest of a file is compared there too.
fn is_fat(directory: BorrowedFd<'_>) -> bool {
    fstatfs(directory).is_ok_and(|found| found.filesystem_type() == MSDOS_SUPER_MAGIC)
}

impl Record {
    fn of(found: &FileStat) -> Self {
        let directory = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        Self {
            mode: found.st_mode,
            uid: found.st_uid,
            gid: found.st_gid,
            mtime: (found.st_mtime, found.st_mtime_nsec),
            rdev: found.st_rdev,
            // A directory's size depends on the filesystem.
            size: if directory { 0 } else { u64::try_from(found.st_size).unwrap_or(0) },
            contents: 0,
            extended: Box::default(),
            file: 0,
        }
    }

    fn difference(&self, found: &Record, fat: bool) -> Option<&'static str> {
        let kind = |record: &Record| record.mode & SFlag::S_IFMT.bits();
        if kind(self) != kind(found) {
            return Some("it is another kind of file");
        }
        let checks = [
            (self.size == found.size, "its size differs"),
            (fat || self.mode == found.mode, "its mode differs"),
            (fat || (self.uid, self.gid) == (found.uid, found.gid), "its owner differs"),
            (fat || self.rdev == found.rdev, "its device number differs"),
            (fat || self.mtime == found.mtime, "its time differs"),
        ];
        checks.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
    }
}

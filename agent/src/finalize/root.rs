//! Reads and writes below a directory with untrusted contents: symbolic links in an image may point anywhere, and are
//! resolved within the directory (openat2, RESOLVE_IN_ROOT), so that nothing leads out of it.

use nix::dir::Dir;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use xattr::FileExt;

pub const SELINUX: &str = "security.selinux";

/// An untrusted directory tree.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { directory, path: path.to_owned() })
    }

    /// A tree within this one.
    pub fn subtree(&self, path: &Path) -> io::Result<Self> {
        let directory = self.resolve(path, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok(Self { directory, path: self.path.join(path) })
    }

    /// The same for a directory that may be this one.
    pub fn below(&self, path: &Path) -> io::Result<Self> {
        let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let directory = self.resolve(here, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        Ok(Self { directory, path: self.path.join(path) })
    }

    /// The path of an existing file as the running system sees it, with links followed within this tree.
    pub fn real(&self, path: &Path) -> io::Result<PathBuf> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let found = self.resolve(path, OFlag::O_PATH)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// The same for a path that need not exist: resolves as much of it as does, and appends the rest. Also returns
    /// whether all of it exists.
    pub fn nearest(&self, path: &Path) -> io::Result<(PathBuf, bool)> {
        let (mut here, mut rest) = (path.to_owned(), Vec::new());
        loop {
            match self.real(&here) {
                Ok(real) => {
                    let whole = rest.is_empty();
                    return Ok((rest.into_iter().rev().fold(real, |path: PathBuf, name| path.join(name)), whole));
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    let Some(name) = here.file_name().map(std::ffi::OsStr::to_owned) else { return Err(error) };
                    rest.push(name);
                    here.pop();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `path` exists, even as a dangling link.
    pub fn has(&self, path: &str) -> io::Result<bool> {
        match self.resolve(Path::new(path), OFlag::O_PATH | OFlag::O_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ELOOP) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a regular file for reading.
    pub fn open_file(&self, path: &str) -> io::Result<File> {
        // Non-blocking, because it could be a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = File::from(self.resolve(Path::new(path), flags)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }

    /// Contents of a regular file of at most `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open_file(path)?;
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    /// Names in a directory, without `.` and `..` and names that are not UTF-8.
    pub fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let directory = self.resolve(Path::new(path), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::from_fd(directory)?.iter() {
            if let Ok(name) = entry?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Replaces or creates the file `directory`/`name`, owned by root, atomically: a reader, or a power cut, sees the
    /// old file or the new one. Missing directories are made with mode 0755. A link at `name` is replaced, not
    /// followed.
    pub fn write(&self, directory: &str, name: &str, mut bytes: &[u8], mode: u32) -> io::Result<()> {
        self.copy(directory, name, &mut bytes, mode).map(|_| ())
    }

    /// Like [`Root::write`], with everything from `from`. Returns its SHA-256.
    pub fn copy(&self, directory: &str, name: &str, from: &mut dyn Read, mode: u32) -> io::Result<[u8; 32]> {
        self.put(directory, name, from, Put { mode, owner: None, label: None })
    }

    /// The same with a given owner and label.
    pub fn put(&self, directory: &str, name: &str, from: &mut dyn Read, put: Put<'_>) -> io::Result<[u8; 32]> {
        let directory = File::from(self.make_directories(Path::new(directory))?);
        let temporary = format!(".{name}.burin");
        remove(&directory, &temporary)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&directory, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        let mut digest = Sha256::new();
        each_piece(from, |piece| {
            digest.update(piece);
            file.write_all(piece)
        })?;
        // Changing the owner clears set-uid and set-gid bits.
        if let Some((uid, gid)) = put.owner {
            nix::unistd::fchown(&file, Some(uid.into()), Some(gid.into()))?;
        }
        fchmod(&file, Mode::from_bits_truncate(put.mode))?;
        self.label(&directory, name, &file, put.label)?;
        file.sync_all()?;
        renameat(&directory, temporary.as_str(), &directory, name)?;
        directory.sync_all()?;
        Ok(digest.finalize().into())
    }

    /// The given label; else that of the replaced file, or of the directory.
    fn label(&self, directory: &File, name: &str, file: &File, given: Option<&str>) -> io::Result<()> {
        if let Some(label) = given {
            return set_label(file, label);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let old = openat(directory, name, flags, Mode::empty()).ok().map(File::from);
        match old.and_then(|old| old.get_xattr(SELINUX).ok().flatten()) {
            Some(label) => file.set_xattr(SELINUX, &label),
            None => inherit_label(directory, file),
        }
    }

    /// Whether it is a symbolic link.
    pub fn is_link(&self, path: &str) -> io::Result<bool> {
        let found = File::from(self.resolve(Path::new(path), OFlag::O_PATH | OFlag::O_NOFOLLOW)?);
        Ok(found.metadata()?.file_type().is_symlink())
    }

    /// Removes a file if it exists.
    pub fn remove(&self, directory: &str, name: &str) -> io::Result<()> {
        match self.resolve(Path::new(directory), OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(directory) => remove(&File::from(directory), name),
            Err(nix::Error::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the mode of an existing directory.
    pub fn set_mode(&self, directory: &str, mode: u32) -> io::Result<()> {
        let directory = self.resolve(Path::new(directory), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        Ok(fchmod(&directory, Mode::from_bits_truncate(mode))?)
    }

    /// Opens an existing directory.
    pub(crate) fn open_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        Ok(self.resolve(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?)
    }

    /// The directory at `path`, created with mode 0755 if missing.
    pub(crate) fn make_directories(&self, path: &Path) -> io::Result<OwnedFd> {
        self.make_directories_with(path, &|_| None)
    }

    /// The same; each new one gets the label that `label` returns for its real path, or its parent's.
    pub(crate) fn make_directories_with(
        &self,
        path: &Path,
        label: &dyn Fn(&Path) -> Option<String>,
    ) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let mut reached = PathBuf::from(".");
        let mut directory = self.resolve(&reached, flags)?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            reached.push(name);
            directory = match self.resolve(&reached, flags) {
                Ok(directory) => directory,
                Err(nix::Error::ENOENT) => {
                    // A dangling link with this name fails here with EEXIST, which is fine.
                    mkdirat(&directory, name, Mode::S_IRWXU)?;
                    let made = self.resolve(&reached, flags)?;
                    let made = File::from(made);
                    fchmod(&made, Mode::from_bits_truncate(0o755))?;
                    match label(&fs::read_link(format!("/proc/self/fd/{}", made.as_raw_fd()))?) {
                        Some(label) => set_label(&made, &label)?,
                        None => inherit_label(&File::from(directory), &made)?,
                    }
                    made.into()
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(directory)
    }

    fn resolve(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.directory, path, how)
    }
}

/// Attributes of a file to write into a tree.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    pub mode: u32,
    /// Numbers of user and group; default root.
    pub owner: Option<(u32, u32)>,
    /// SELinux label, without the terminating zero.
    pub label: Option<&'a str>,
}

/// SHA-256 of the rest of a file.
pub fn digest(mut file: &File) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    each_piece(&mut file, |piece| {
        digest.update(piece);
        Ok(())
    })?;
    Ok(digest.finalize().into())
}

fn each_piece(from: &mut dyn Read, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => each(piece.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn remove(directory: &File, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_label(file: &File, label: &str) -> io::Result<()> {
    let mut bytes = label.as_bytes().to_vec();
    bytes.push(0);
    match file.set_xattr(SELINUX, &bytes) {
        // FAT has no labels, and none are expected there.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        done => done,
    }
}

/// The SELinux label of the directory, as its kernel would have set it: an unlabelled file in an enforcing system may
/// be unreadable to the service that needs it.
fn inherit_label(directory: &File, file: &File) -> io::Result<()> {
    // No label, or a filesystem without labels: nothing to inherit.
    let Ok(Some(label)) = directory.get_xattr(SELINUX) else { return Ok(()) };
    file.set_xattr(SELINUX, &label)
}

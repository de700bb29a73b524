//! Reads `/proc` and `/sys`: of this machine, or of another one, copied into a directory.

use super::{FILE_LIMIT, Query, Source};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The running machine, or a plain directory that holds a copy of another machine's `/proc` and `/sys`.
#[derive(Debug)]
pub struct FsSource {
    /// `None` is the running machine.
    tree: Option<Tree>,
}

impl FsSource {
    /// The running machine.
    pub fn live() -> FsSource {
        FsSource { tree: None }
    }

    /// A directory that looks like the root of a machine. Links in it never lead out of it, and no device is asked.
    pub fn directory(root: &Path) -> io::Result<FsSource> {
        let root = File::open(root)?.into();
        Ok(FsSource { tree: Some(Tree { root, recent: Mutex::default() }) })
    }
}

impl Source for FsSource {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let (mut file, size) = match &self.tree {
            // sysfs does not say how long its files are.
            None => (File::from(nix::fcntl::open(path, FILE, Mode::empty())?), 0),
            Some(tree) => tree.open(path)?,
        };
        let mut bytes = Vec::new();
        if size > 0 {
            // What is as long as it says needs no second look for its end.
            bytes.resize(usize::try_from(size.min(FILE_LIMIT)).unwrap_or_default() + 1, 0);
            let length = file.read(&mut bytes)?;
            bytes.truncate(length);
            if length as u64 == size {
                return Ok(bytes);
            }
        }
        file.take(FILE_LIMIT - bytes.len().min(FILE_LIMIT as usize) as u64).read_to_end(&mut bytes)?;
        bytes.truncate(FILE_LIMIT as usize);
        Ok(bytes)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = Dir::from_fd(match &self.tree {
            None => nix::fcntl::open(path, flags, Mode::empty())?,
            Some(tree) => tree.beneath(path, flags)?,
        })?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            match entry?.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        names.sort();
        Ok(names)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        let target = match &self.tree {
            None => std::fs::read_link(path)?.into_os_string(),
            Some(tree) => tree.link(path)?,
        };
        target.into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        match self.tree {
            None => crate::sys::answer(query),
            Some(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// How many directories of a copy are held open.
const RECENT: usize = 32;

type Opened = Result<Arc<OwnedFd>, Errno>;

/// A copied tree. A device has dozens of files in one directory: those that were looked into last are held open, so that
/// the way there is walked once, and so is what is not there.
#[derive(Debug)]
struct Tree {
    root: OwnedFd,
    recent: Mutex<VecDeque<(String, Opened)>>,
}

impl Tree {
    /// Opens a file, and nothing else, and says how long it is. What it is is found out first: opening a device node would
    /// ask a device of this machine, and a FIFO would wait for somebody.
    fn open(&self, path: &str) -> io::Result<(File, u64)> {
        if let Some((directory, name)) = self.place(path)? {
            let about = fstatat(&*directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if kind(&about) != libc::S_IFLNK {
                let size = size_of_file(&about)?;
                return Ok((File::from(openat(&*directory, name, FILE | OFlag::O_NOFOLLOW, Mode::empty())?), size));
            }
        }
        // Where a link leads is for the kernel to find out, within the tree.
        let found = self.beneath(path, OFlag::O_PATH | OFlag::O_CLOEXEC)?;
        let size = size_of_file(&fstat(&found)?)?;
        let own = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok((File::from(nix::fcntl::open(own.as_str(), FILE, Mode::empty())?), size))
    }

    fn link(&self, path: &str) -> io::Result<OsString> {
        match self.place(path)? {
            Some((directory, name)) => Ok(readlinkat(&*directory, name)?),
            None => Ok(readlinkat(self.beneath(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)?, "")?),
        }
    }

    /// Opens what lies at `path` with the tree as its root, for links and for `..`, too.
    fn beneath(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let path = path.trim_start_matches('/');
        openat2(&self.root, if path.is_empty() { "." } else { path }, how)
    }

    /// The directory that `path` is in, and what it is called there. `None` for what has no name of its own.
    fn place<'a>(&self, path: &'a str) -> nix::Result<Option<(Arc<OwnedFd>, &'a str)>> {
        match path.rsplit_once('/') {
            Some((directory, name)) if !matches!(name, "" | "." | "..") => {
                self.directory(directory).map(|opened| Some((opened, name)))
            }
            _ => Ok(None),
        }
    }

    fn directory(&self, path: &str) -> Opened {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = recent.iter().position(|(known, _)| known == path) {
            let found = recent.remove(at).ok_or(Errno::ENOENT)?;
            let opened = found.1.clone();
            recent.push_front(found);
            return opened;
        }
        drop(recent);
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let opened = self.beneath(path, flags).map(Arc::new);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.truncate(RECENT - 1);
        recent.push_front((path.to_owned(), opened.clone()));
        opened
    }
}

const FILE: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

fn kind(about: &FileStat) -> libc::mode_t {
    about.st_mode & libc::S_IFMT
}

fn size_of_file(about: &FileStat) -> io::Result<u64> {
    if kind(about) != libc::S_IFREG {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(u64::try_from(about.st_size).unwrap_or(0))
}

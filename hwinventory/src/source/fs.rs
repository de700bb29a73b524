use super::{FILE_LIMIT, Query, Source};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The running machine, or a plain directory that holds a copy of another machine's `/proc` and `/sys`.
#[derive(Debug)]
pub struct FsSource {
    /// `None` is the running machine.
    root: Option<(PathBuf, OwnedFd)>,
}

impl FsSource {
    /// The running machine.
    pub fn live() -> FsSource {
        FsSource { root: None }
    }

    /// A directory that looks like the root of a machine. Links in it never lead out of it, and no device is asked.
    pub fn directory(root: &Path) -> io::Result<FsSource> {
        let fd = File::open(root)?;
        Ok(FsSource { root: Some((root.to_owned(), fd.into())) })
    }

    fn open(&self, path: &str, flags: OFlag) -> io::Result<File> {
        let flags = flags | OFlag::O_CLOEXEC;
        let fd = match &self.root {
            None => nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?,
            Some((_, root)) => {
                let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
                openat2(root, path.trim_start_matches('/'), how)?
            }
        };
        Ok(File::from(fd))
    }
}

impl FsSource {
    /// Opens a file of a copied tree, and nothing else, and says how long it is: opening a device node would ask a device of this machine, and a FIFO
    /// would wait for somebody. What it is is found out before it is opened.
    fn regular(&self, path: &str) -> io::Result<(File, u64)> {
        let found = self.open(path, OFlag::O_PATH)?;
        let about = nix::sys::stat::fstat(&found)?;
        if about.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let own = format!("/proc/self/fd/{}", found.as_raw_fd());
        let file = nix::fcntl::open(own.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
        Ok((File::from(file), u64::try_from(about.st_size).unwrap_or(0)))
    }
}

impl Source for FsSource {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let (mut file, size) = match &self.root {
            // sysfs does not say how long its files are.
            None => (self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?, 0),
            Some(_) => self.regular(path)?,
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
        let directory = self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn link(&self, path: &str) -> io::Result<String> {
        let target = match &self.root {
            None => std::fs::read_link(path)?.into_os_string(),
            Some(_) => readlinkat(self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?, "")?,
        };
        target.into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        match self.root {
            None => crate::sys::answer(query),
            Some(_) => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

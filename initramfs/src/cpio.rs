//! cpio archives in the "newc" format that the kernel unpacks (Documentation/driver-api/early-userspace/
//! buffer-format.rst). Reproducible: entries are sorted by name, owned by root, numbered in order, and all have the
//! same time.

use std::collections::BTreeMap;

/// The kind of node at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CpioNode {
    /// A directory.
    Directory,
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link and its target.
    Symlink(String),
    /// A character device: major, minor.
    CharDevice(u32, u32),
}

/// A node with its permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpioEntry {
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// The node.
    pub node: CpioNode,
}

/// Why an archive cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CpioError {
    /// A path that is not absolute, or contains `.`, `..`, empty parts or NUL.
    #[error("`{0}` is not an absolute path without `.` and `..`")]
    Path(String),
    /// Two nodes for one path.
    #[error("{0} is put into the ramdisk twice")]
    Twice(String),
    /// A path below something that is not a directory.
    #[error("{path} is below {parent}, which is not a directory")]
    Parent { path: String, parent: String },
    /// The format stores sizes in 32 bits.
    #[error("{0} is larger than 4 GiB, more than a cpio archive can hold")]
    TooLarge(String),
}

/// An archive being built. Parent directories are created automatically, with mode 0755.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    entries: BTreeMap<String, CpioEntry>,
}

impl Archive {
    /// Adds a node at an absolute path.
    pub fn add(&mut self, path: &str, mode: u32, node: CpioNode) -> Result<(), CpioError> {
        let name = relative(path)?;
        let parents: Vec<&str> = name.match_indices('/').filter_map(|(n, _)| name.get(..n)).collect();
        for parent in parents {
            let made = CpioEntry { mode: 0o755, node: CpioNode::Directory };
            if self.entries.entry(parent.to_owned()).or_insert(made).node != CpioNode::Directory {
                return Err(CpioError::Parent { path: path.to_owned(), parent: format!("/{parent}") });
            }
        }
        match self.entries.get_mut(&name) {
            // A directory that was created as a parent may still get its mode.
            Some(there) if there.node == CpioNode::Directory && node == CpioNode::Directory => {
                there.mode = mode & 0o7777
            }
            Some(_) => return Err(CpioError::Twice(path.to_owned())),
            None => {
                self.entries.insert(name, CpioEntry { mode: mode & 0o7777, node });
            }
        }
        Ok(())
    }

    /// Names (relative, as in the archive) and entries, sorted.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &CpioEntry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// The archive's bytes; `mtime` is the time of every entry in seconds since 1970.
    pub fn to_bytes(&self, mtime: u32) -> Result<Vec<u8>, CpioError> {
        let payload: usize =
            self.entries.values().map(|e| if let CpioNode::File(d) = &e.node { d.len() } else { 0 }).sum();
        let mut out = Vec::with_capacity(payload + self.entries.len() * 256 + 1024);
        for (n, (name, entry)) in self.entries.iter().enumerate() {
            let (kind, data, device): (u32, &[u8], (u32, u32)) = match &entry.node {
                CpioNode::Directory => (0o040_000, &[], (0, 0)),
                CpioNode::File(data) => (0o100_000, data, (0, 0)),
                CpioNode::Symlink(target) => (0o120_000, target.as_bytes(), (0, 0)),
                CpioNode::CharDevice(major, minor) => (0o020_000, &[], (*major, *minor)),
            };
            let size = u32::try_from(data.len()).map_err(|_| CpioError::TooLarge(format!("/{name}")))?;
            let inode = u32::try_from(n + 1).map_err(|_| CpioError::TooLarge(format!("/{name}")))?;
            let links = if entry.node == CpioNode::Directory { 2 } else { 1 };
            header(&mut out, [inode, kind | entry.mode, links, mtime, size, device.0, device.1], name);
            out.extend_from_slice(data);
            pad(&mut out, 4);
        }
        header(&mut out, [0, 0, 1, 0, 0, 0, 0], "TRAILER!!!");
        pad(&mut out, 512);
        Ok(out)
    }
}

/// inode, mode, links, mtime, size, device major and minor; owner and the file system's own device are always 0.
fn header(out: &mut Vec<u8>, [inode, mode, links, mtime, size, major, minor]: [u32; 7], name: &str) {
    let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(b"070701");
    for field in [inode, mode, 0, 0, links, mtime, size, 0, 0, major, minor, name_size, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out, 4);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

/// `/a/b/` to `a/b`.
fn relative(path: &str) -> Result<String, CpioError> {
    let wrong = || CpioError::Path(path.to_owned());
    let name = path.strip_prefix('/').ok_or_else(wrong)?;
    let name = name.strip_suffix('/').unwrap_or(name);
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains('\0');
    // The kernel's PATH_MAX, its limit for entry names.
    if name.split('/').any(bad) || name.len() >= 4096 {
        return Err(wrong());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
#[path = "cpio_tests.rs"]
mod tests;

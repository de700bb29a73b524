//! Files of a system across all of its mounted trees; symbolic links are followed within the system.

use crate::tree::{Entry, FsError, Metadata, NodeType, Tree};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Limit for links on one path, as in the kernel.
const MOST_LINKS: usize = 40;
/// Limit for text files with configuration.
const LARGEST_TEXT: u64 = 8 << 20;

/// A tree and its mount point.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct Mount {
    /// `/`, `/boot`, ...
    pub at: String,
    pub tree: Rc<dyn Tree>,
    /// The folder of the tree that is mounted there; empty for all of it.
    pub below: String,
}

pub struct Files {
    mounts: Vec<Mount>,
    unread: RefCell<BTreeSet<String>>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.mounts.iter().map(|mount| &mount.at)).finish()
    }
}

impl Files {
    /// One tree.
    pub fn of(tree: Rc<dyn Tree>, below: &str) -> Self {
        let root = Mount { at: "/".to_owned(), tree, below: below.trim_end_matches('/').to_owned() };
        Self { mounts: vec![root], unread: RefCell::default() }
    }

    /// Mounts a tree. Later mounts hide earlier ones.
    pub fn mount(&mut self, mount: Mount) {
        self.mounts.retain(|known| known.at != mount.at);
        self.mounts.push(mount);
    }

    pub fn is_mounted(&self, at: &str) -> bool {
        self.mounts.iter().any(|mount| mount.at == at)
    }

    /// Paths that could not be read, and why.
    pub fn unread(&self) -> Vec<String> {
        self.unread.borrow().iter().cloned().collect()
    }

    fn place(&self, path: &str) -> Option<(&Mount, String)> {
        let below = |mount: &&Mount| {
            mount.at == "/"
                || path == mount.at
                || path.strip_prefix(&mount.at).is_some_and(|rest| rest.starts_with('/'))
        };
        let mount = self.mounts.iter().filter(below).max_by_key(|mount| mount.at.len())?;
        let rest = if mount.at == "/" { path } else { path.get(mount.at.len()..).unwrap_or_default() };
        let inside = format!("{}/{}", mount.below, rest.trim_start_matches('/'));
        Some((mount, if inside.len() > 1 { inside.trim_end_matches('/').to_owned() } else { inside }))
    }

    /// Asks a tree. Errors other than absence are recorded.
    fn ask<T>(&self, path: &str, ask: impl FnOnce(&dyn Tree, &str) -> Result<T, FsError>) -> Option<T> {
        let (mount, inside) = self.place(path)?;
        match ask(&*mount.tree, &inside) {
            Ok(answer) => Some(answer),
            Err(FsError::NotFound | FsError::OtherType) => None,
            Err(error) => {
                self.unread.borrow_mut().insert(format!("{path}: {error}"));
                None
            }
        }
    }

    /// The final path without links; `None` if nothing is there.
    pub fn real(&self, path: &str) -> Option<String> {
        let mut left: Vec<String> = parts(path).rev().map(str::to_owned).collect();
        let (mut done, mut links) = (Vec::<String>::new(), 0);
        while let Some(part) = left.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            done.push(part);
            let here = format!("/{}", done.join("/"));
            let metadata = self.ask(&here, |tree, path| tree.metadata(path))?;
            if metadata.node == NodeType::Symlink {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                let target = self.ask(&here, |tree, path| tree.readlink(path))?;
                if target.starts_with('/') {
                    done.clear();
                } else {
                    done.pop();
                }
                left.extend(parts(&target).rev().map(str::to_owned));
            }
        }
        Some(format!("/{}", done.join("/")))
    }

    /// Metadata of the file at the end of a path.
    pub fn metadata(&self, path: &str) -> Option<Metadata> {
        let real = self.real(path)?;
        if real == "/" {
            return Some(Metadata { node: NodeType::Directory, size: 0, mode: 0o755, uid: 0 });
        }
        self.ask(&real, |tree, path| tree.metadata(path))
    }

    /// The target, if the last component is a link.
    pub fn link(&self, path: &str) -> Option<String> {
        let (folder, name) = path.rsplit_once('/')?;
        let here = format!("{}/{name}", self.real(folder)?.trim_end_matches('/'));
        self.ask(&here, |tree, path| tree.readlink(path))
    }

    pub fn is_file(&self, path: &str) -> bool {
        self.metadata(path).is_some_and(|found| found.node == NodeType::File)
    }

    pub fn is_folder(&self, path: &str) -> bool {
        self.metadata(path).is_some_and(|found| found.node == NodeType::Directory)
    }

    /// Entries in the order of their names; empty if there is no such folder.
    pub fn list(&self, folder: &str) -> Vec<Entry> {
        let Some(real) = self.real(folder) else { return Vec::new() };
        let mut entries = self.ask(&real, |tree, path| tree.list(path)).unwrap_or_default();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// Paths of the files in a folder whose names end with `end`.
    pub fn ending(&self, folder: &str, end: &str) -> Vec<String> {
        let entries = self.list(folder).into_iter();
        let named = entries.filter(|entry| entry.name.to_ascii_lowercase().ends_with(end));
        named.map(|entry| format!("{}/{}", folder.trim_end_matches('/'), entry.name)).collect()
    }

    pub fn bytes(&self, path: &str, limit: u64) -> Option<Vec<u8>> {
        let real = self.real(path)?;
        self.ask(&real, |tree, path| tree.read(path, limit))
    }

    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path, LARGEST_TEXT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether a file exists and is not empty.
    pub fn has(&self, path: &str) -> bool {
        self.metadata(path).is_some_and(|found| found.node == NodeType::File && found.size > 0)
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

/// Lines with content: without comments and surrounding blanks.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
}

/// The value of `NAME=VALUE` in a shell file, without quotes; the last one counts.
pub fn variable(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let key = key.trim().trim_start_matches("export ").trim().trim_end_matches('+');
        (key == name).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    lines(text).filter_map(value).last()
}

//! A tar archive as a tree: headers are read once, file contents on demand.

use super::{Entry, FsError, Metadata, NodeType, Tree};
use crate::disk::Disk;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// Limit for members: no operating system has more.
const MOST: usize = 4 << 20;

#[derive(Debug)]
struct Member {
    metadata: Metadata,
    offset: u64,
    link: Option<String>,
}

/// Members by absolute path.
#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct TarTree {
    disk: Disk,
    members: BTreeMap<String, Member>,
}

struct Cursor {
    disk: Disk,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.disk.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let count = out.len().min(left);
        let Some(part) = out.get_mut(..count) else { return Ok(0) };
        self.disk.read_exact(self.at, part).map_err(io::Error::other)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.disk.len().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

/// `./usr/bin/`, `usr/bin` and `/usr/bin` are the same. `None` for paths that lead out.
fn path(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

impl TarTree {
    pub fn open(disk: &Disk) -> Result<Self, FsError> {
        let mut archive = tar::Archive::new(Cursor { disk: disk.clone(), at: 0 });
        let wrong = |error: io::Error| FsError::damaged(format!("the archive: {error}"));
        let mut members = BTreeMap::new();
        let root = Metadata { node: NodeType::Directory, size: 0, mode: 0o755, uid: 0 };
        members.insert("/".to_owned(), Member { metadata: root, offset: 0, link: None });
        for entry in archive.entries_with_seek().map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let Some(path) = path(&String::from_utf8_lossy(&entry.path_bytes())) else { continue };
            let header = entry.header();
            let kind = header.entry_type();
            let node = match () {
                () if kind.is_dir() => NodeType::Directory,
                () if kind.is_symlink() => NodeType::Symlink,
                () if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() || kind.is_hard_link() => {
                    NodeType::File
                }
                () if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() => NodeType::Special,
                () => continue,
            };
            let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
            if kind.is_hard_link() {
                let target = link.as_deref().and_then(self::path).and_then(|target| members.get(&target));
                if let Some(Member { metadata, offset, .. }) = target {
                    let (metadata, offset) = (*metadata, *offset);
                    members.insert(path, Member { metadata, offset, link: None });
                }
                continue;
            }
            let mode = header.mode().unwrap_or(0o644) & 0o7777;
            let uid = u32::try_from(header.uid().unwrap_or(0)).unwrap_or(0);
            let metadata = Metadata { node, size: entry.size(), mode, uid };
            let member = Member { metadata, offset: entry.raw_file_position(), link };
            if members.len() >= MOST {
                return Err(FsError::unsupported("an archive of millions of members"));
            }
            members.insert(path, member);
        }
        Ok(Self { disk: disk.clone(), members })
    }

    fn member(&self, path: &str) -> Result<&Member, FsError> {
        self.members.get(path).ok_or(FsError::NotFound)
    }
}

impl Tree for TarTree {
    fn list(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let mut found: BTreeMap<&str, NodeType> = BTreeMap::new();
        for (name, member) in self.members.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix)) {
            let rest = name.get(prefix.len()..).unwrap_or_default();
            match rest.split_once('/') {
                // Archives need not contain entries for directories.
                Some((directory, _)) => drop(found.entry(directory).or_insert(NodeType::Directory)),
                None if rest.is_empty() => {}
                None => drop(found.insert(rest, member.metadata.node)),
            }
        }
        if found.is_empty() && self.member(path)?.metadata.node != NodeType::Directory {
            return Err(FsError::OtherType);
        }
        Ok(found.into_iter().map(|(name, node)| Entry { name: name.to_owned(), node }).collect())
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        let member = self.member(path)?;
        if member.metadata.node != NodeType::File {
            return Err(FsError::OtherType);
        }
        if member.metadata.size > limit {
            return Err(FsError::TooLarge { limit });
        }
        Ok(self.disk.read(member.offset, member.metadata.size as usize)?)
    }

    fn readlink(&self, path: &str) -> Result<String, FsError> {
        let member = self.member(path)?;
        member.link.clone().filter(|_| member.metadata.node == NodeType::Symlink).ok_or(FsError::OtherType)
    }

    fn metadata(&self, path: &str) -> Result<Metadata, FsError> {
        match self.member(path) {
            Ok(member) => Ok(member.metadata),
            Err(_) if self.list(path).is_ok_and(|found| !found.is_empty()) => {
                Ok(Metadata { node: NodeType::Directory, size: 0, mode: 0o755, uid: 0 })
            }
            Err(error) => Err(error),
        }
    }
}

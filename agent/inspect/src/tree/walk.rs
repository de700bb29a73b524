//! Resolves paths on filesystems that are based on inodes.

use super::{Entry, FsError, Metadata, NodeType, Tree};

/// A directory entry that leads to an inode.
#[derive(Debug, Clone)]
pub struct Child<I> {
    pub name: Vec<u8>,
    pub inode: I,
}

/// A filesystem, accessed by inodes.
pub trait Inodes {
    type Inode: Clone;

    fn root(&self) -> Self::Inode;
    /// Without `.` and `..`.
    fn children(&self, inode: &Self::Inode) -> Result<Vec<Child<Self::Inode>>, FsError>;
    fn metadata(&self, inode: &Self::Inode) -> Result<Metadata, FsError>;
    /// The contents of a file or link: `size` bytes.
    fn data(&self, inode: &Self::Inode, size: u64) -> Result<Vec<u8>, FsError>;
    /// Whether two names are the same.
    fn same(&self, name: &[u8], wanted: &[u8]) -> bool {
        name == wanted
    }
}

/// Limit for the target of a link.
const LONGEST_LINK: u64 = 4096;

#[derive(Debug)]
pub struct Walk<F>(pub F);

impl<F: Inodes> Walk<F> {
    fn find(&self, path: &str) -> Result<F::Inode, FsError> {
        let mut inode = self.0.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if self.0.metadata(&inode)?.node != NodeType::Directory {
                return Err(FsError::NotFound);
            }
            let mut children = self.0.children(&inode)?.into_iter();
            let child = children.find(|child| self.0.same(&child.name, name.as_bytes()));
            inode = child.ok_or(FsError::NotFound)?.inode;
        }
        Ok(inode)
    }

    fn content(&self, path: &str, node: NodeType, limit: u64) -> Result<Vec<u8>, FsError> {
        let inode = self.find(path)?;
        let metadata = self.0.metadata(&inode)?;
        if metadata.node != node {
            return Err(FsError::OtherType);
        }
        if metadata.size > limit {
            return Err(FsError::TooLarge { limit });
        }
        self.0.data(&inode, metadata.size)
    }
}

impl<F: Inodes> Tree for Walk<F> {
    fn list(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        let inode = self.find(path)?;
        if self.0.metadata(&inode)?.node != NodeType::Directory {
            return Err(FsError::OtherType);
        }
        let children = self.0.children(&inode)?.into_iter();
        children
            .map(|child| {
                let node = self.0.metadata(&child.inode)?.node;
                Ok(Entry { name: String::from_utf8_lossy(&child.name).into_owned(), node })
            })
            .collect()
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        self.content(path, NodeType::File, limit)
    }

    fn readlink(&self, path: &str) -> Result<String, FsError> {
        let target = self.content(path, NodeType::Symlink, LONGEST_LINK)?;
        Ok(String::from_utf8_lossy(&target).into_owned())
    }

    fn metadata(&self, path: &str) -> Result<Metadata, FsError> {
        self.0.metadata(&self.find(path)?)
    }
}

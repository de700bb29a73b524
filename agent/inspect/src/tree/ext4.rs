//! ext2, ext3 and ext4, by the crate `ext4-view`, which also reads an unclean journal and never writes.

use super::{Entry, FsError, Metadata, NodeType, Tree};
use crate::disk::Disk;
use burin_image::ImageError;
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};
use std::error::Error;

#[allow(missing_debug_implementations, reason = "trees have nothing to print")]
pub struct Ext4Tree(Ext4);

struct Reader(Disk);

impl Ext4Read for Reader {
    fn read(&mut self, start: u64, out: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {
        Ok(self.0.read_exact(start, out)?)
    }
}

fn typed(error: Ext4Error) -> FsError {
    match error {
        Ext4Error::NotFound => FsError::NotFound,
        Ext4Error::NotADirectory | Ext4Error::NotASymlink | Ext4Error::IsADirectory | Ext4Error::IsASpecialFile => {
            FsError::OtherType
        }
        Ext4Error::Io(error) => match error.downcast::<ImageError>() {
            Ok(error) => FsError::Image(*error),
            Err(error) => FsError::damaged(error.to_string()),
        },
        Ext4Error::Encrypted | Ext4Error::Incompatible(_) => FsError::unsupported(error.to_string()),
        other => FsError::damaged(other.to_string()),
    }
}

fn node(found: FileType) -> NodeType {
    match found {
        FileType::Regular => NodeType::File,
        FileType::Directory => NodeType::Directory,
        FileType::Symlink => NodeType::Symlink,
        _ => NodeType::Special,
    }
}

impl Ext4Tree {
    pub fn open(disk: &Disk) -> Result<Self, FsError> {
        Ext4::load(Box::new(Reader(disk.clone()))).map(Self).map_err(typed)
    }
}

impl Tree for Ext4Tree {
    fn list(&self, path: &str) -> Result<Vec<Entry>, FsError> {
        let mut found = Vec::new();
        for entry in self.0.read_dir(path).map_err(typed)? {
            let entry = entry.map_err(typed)?;
            let name = String::from_utf8_lossy(entry.file_name().as_ref()).into_owned();
            if name != "." && name != ".." {
                found.push(Entry { node: node(entry.file_type().map_err(typed)?), name });
            }
        }
        Ok(found)
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FsError> {
        let metadata = self.metadata(path)?;
        if metadata.node != NodeType::File {
            return Err(FsError::OtherType);
        }
        if metadata.size > limit {
            return Err(FsError::TooLarge { limit });
        }
        self.0.read(path).map_err(typed)
    }

    fn readlink(&self, path: &str) -> Result<String, FsError> {
        let target = self.0.read_link(path).map_err(typed)?;
        Ok(String::from_utf8_lossy(target.as_ref()).into_owned())
    }

    fn metadata(&self, path: &str) -> Result<Metadata, FsError> {
        let found = self.0.symlink_metadata(path).map_err(typed)?;
        Ok(Metadata {
            node: node(found.file_type()),
            size: found.len(),
            mode: u32::from(found.mode()) & 0o7777,
            uid: found.uid(),
        })
    }
}

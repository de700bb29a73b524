//! btrfs on one device, for reading (kernel, include/uapi/linux/btrfs_tree.h): subvolumes, and extents that are inline,
//! plain or compressed by zlib or zstd. No crate reads it. What only the log holds is not seen.

use super::btrfs_node::{BtreeKey, BtreeNode, Chunk, chunk};
use super::bytes::{le16, le32, le64, u8_at};
use super::walk::{Child, Inodes, Walk};
use super::{FsError, Metadata, NodeType, OpenedTree, Subvolume};
use crate::disk::Disk;
use std::io::Read;

const SUPER: u64 = 0x1_0000;
const SUPER_LEN: usize = 4096;
const FS_TREE: u64 = 5;
const ROOT_DIR: u64 = 256;
const INODE_ITEM: u8 = 1;
const INODE_REF: u8 = 12;
const DIR_ITEM: u8 = 84;
const DIR_INDEX: u8 = 96;
const EXTENT_DATA: u8 = 108;
const ROOT_ITEM: u8 = 132;
const ROOT_BACKREF: u8 = 144;
const CHUNK_ITEM: u8 = 228;
const DEEPEST: u8 = 8;
const MOST_SUBVOLUMES: usize = 4096;
/// The largest extent that the kernel compresses.
const LARGEST_COMPRESSED: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct Btrfs {
    disk: Disk,
    node_size: usize,
    chunks: Vec<Chunk>,
    roots: Root,
    start: InodeRef,
}

/// The root node of a tree.
#[derive(Debug, Clone, Copy)]
struct Root {
    logical: u64,
    level: u8,
}

/// An inode of a subvolume.
#[derive(Debug, Clone, Copy)]
pub struct InodeRef {
    tree: Root,
    inode: u64,
}

pub fn open(disk: &Disk) -> Result<OpenedTree, FsError> {
    let base = Btrfs::open(disk)?;
    let mut subvolumes = Vec::new();
    let default = base.default_subvolume();
    for (id, root) in base.subvolume_roots()? {
        let path = base.path_of(id, 0)?;
        let tree = Walk(Btrfs { start: InodeRef { tree: root, inode: ROOT_DIR }, ..base.clone() });
        let tree: Box<dyn super::Tree> = Box::new(tree);
        subvolumes.push((Subvolume { id, path, default: default == Some(id) }, tree));
    }
    Ok(OpenedTree { tree: Box::new(Walk(base)), subvolumes })
}

impl Btrfs {
    fn open(disk: &Disk) -> Result<Self, FsError> {
        let sb = disk.read(SUPER, SUPER_LEN)?;
        let wrong = || FsError::damaged("the superblock makes no sense");
        if le64(&sb, 0x88) != Some(1) {
            return Err(FsError::unsupported("btrfs over several devices"));
        }
        let node_size = le32(&sb, 0x94).filter(|size| (4096..=65_536).contains(size)).ok_or_else(wrong)? as usize;
        let root = |at: usize, level: usize| {
            Some(Root { logical: le64(&sb, at)?, level: u8_at(&sb, level).filter(|level| *level < DEEPEST)? })
        };
        let (roots, chunk_root) = (root(0x50, 0xc6).ok_or_else(wrong)?, root(0x58, 0xc7).ok_or_else(wrong)?);
        let start = InodeRef { tree: roots, inode: ROOT_DIR };
        let device = le64(&sb, 0xc9).ok_or_else(wrong)?;
        let mut btrfs = Self { disk: disk.clone(), node_size, chunks: Vec::new(), roots, start };
        let array = le32(&sb, 0xa0).ok_or_else(wrong)? as usize;
        let mut array = sb.get(0x32b..0x32b + array).ok_or_else(wrong)?;
        while !array.is_empty() {
            let (key, rest) = BtreeKey::split(array).ok_or_else(wrong)?;
            let (chunk, length) = chunk(key.offset, rest, device).ok_or_else(wrong)?;
            btrfs.chunks.push(chunk);
            array = rest.get(length..).ok_or_else(wrong)?;
        }
        let mut all = Vec::new();
        btrfs.search(
            chunk_root,
            BtreeKey::new(0, 0, 0),
            BtreeKey::new(u64::MAX, u8::MAX, u64::MAX),
            &mut |key, data| {
                if key.kind == CHUNK_ITEM {
                    all.extend(chunk(key.offset, data, device).map(|(chunk, _)| chunk));
                }
            },
        )?;
        btrfs.chunks.extend(all);
        let top = btrfs.tree_root(FS_TREE)?.ok_or_else(|| FsError::damaged("it has no tree of files"))?;
        btrfs.start = InodeRef { tree: top, inode: ROOT_DIR };
        Ok(btrfs)
    }

    fn read(&self, logical: u64, len: usize) -> Result<Vec<u8>, FsError> {
        let chunk = self.chunks.iter().find(|chunk| chunk.holds(logical, len));
        let chunk = chunk.ok_or_else(|| FsError::damaged(format!("nothing is at the logical address {logical}")))?;
        let physical = chunk.place(logical).ok_or_else(|| FsError::unsupported("striped btrfs"))?;
        Ok(self.disk.read(physical, len)?)
    }

    /// Passes the items of a tree from `from` to `to` to `take`.
    fn search(
        &self,
        root: Root,
        from: BtreeKey,
        to: BtreeKey,
        take: &mut dyn FnMut(BtreeKey, &[u8]),
    ) -> Result<(), FsError> {
        let wrong = || FsError::damaged(format!("the node at the logical address {}", root.logical));
        let bytes = self.read(root.logical, self.node_size)?;
        match BtreeNode::parse(&bytes).filter(|node| node.level() == root.level).ok_or_else(wrong)? {
            BtreeNode::Leaf(items) => {
                for (key, range) in items {
                    if key >= from && key <= to {
                        take(key, bytes.get(range).ok_or_else(wrong)?);
                    }
                }
            }
            BtreeNode::Inner(_, children) => {
                for (index, (key, logical)) in children.iter().enumerate() {
                    let next = children.get(index + 1).map(|(key, _)| *key);
                    // A child contains the keys from its own up to the next one's.
                    if *key > to || next.is_some_and(|next| next <= from) {
                        continue;
                    }
                    self.search(Root { logical: *logical, level: root.level - 1 }, from, to, take)?;
                }
            }
        }
        Ok(())
    }

    fn first<T>(
        &self,
        root: Root,
        from: BtreeKey,
        to: BtreeKey,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, FsError> {
        let mut found = None;
        self.search(root, from, to, &mut |_, data| {
            if found.is_none() {
                found = read(data);
            }
        })?;
        Ok(found)
    }

    fn tree_root(&self, id: u64) -> Result<Option<Root>, FsError> {
        let (from, to) = (BtreeKey::new(id, ROOT_ITEM, 0), BtreeKey::new(id, ROOT_ITEM, u64::MAX));
        self.first(self.roots, from, to, root_item)
    }

    /// The subvolumes that users have made, by number.
    fn subvolume_roots(&self) -> Result<Vec<(u64, Root)>, FsError> {
        let mut found: Vec<(u64, Root)> = Vec::new();
        let (from, to) = (BtreeKey::new(256, 0, 0), BtreeKey::new(u64::MAX - 256, u8::MAX, u64::MAX));
        self.search(self.roots, from, to, &mut |key, data| {
            if key.kind == ROOT_ITEM && found.len() < MOST_SUBVOLUMES {
                found.extend(root_item(data).map(|root| (key.object, root)));
            }
        })?;
        Ok(found)
    }

    fn default_subvolume(&self) -> Option<u64> {
        // The directory of the tree of roots has one name: "default".
        let (from, to) = (BtreeKey::new(6, DIR_ITEM, 0), BtreeKey::new(6, DIR_ITEM, u64::MAX));
        self.first(self.roots, from, to, |data| le64(data, 0)).ok().flatten()
    }

    /// A subvolume's path from the top.
    fn path_of(&self, id: u64, depth: u8) -> Result<String, FsError> {
        if id == FS_TREE || depth > 16 {
            return Ok(String::new());
        }
        let mut found = None;
        let (from, to) = (BtreeKey::new(id, ROOT_BACKREF, 0), BtreeKey::new(id, ROOT_BACKREF, u64::MAX));
        self.search(self.roots, from, to, &mut |key, data| {
            let name = le16(data, 16).and_then(|len| data.get(18..18 + usize::from(len)));
            found = name.zip(le64(data, 0)).map(|(name, folder)| (key.offset, folder, name.to_vec()));
        })?;
        // A subvolume that is being deleted no longer has a name.
        let Some((parent, mut folder, name)) = found else { return Ok(format!("(deleted {id})")) };
        let mut path = String::from_utf8_lossy(&name).into_owned();
        let tree = self.tree_root(parent)?.ok_or_else(|| FsError::damaged("a subvolume without a parent"))?;
        for _ in 0..64 {
            if folder == ROOT_DIR {
                break;
            }
            let mut up = None;
            let (from, to) = (BtreeKey::new(folder, INODE_REF, 0), BtreeKey::new(folder, INODE_REF, u64::MAX));
            self.search(tree, from, to, &mut |key, data| {
                let name = le16(data, 8).and_then(|len| data.get(10..10 + usize::from(len)));
                up = name.map(|name| (key.offset, String::from_utf8_lossy(name).into_owned()));
            })?;
            let Some((next, name)) = up else { break };
            path = format!("{name}/{path}");
            folder = next;
        }
        let above = self.path_of(parent, depth + 1)?;
        Ok(if above.is_empty() { path } else { format!("{above}/{path}") })
    }

    fn extent(&self, data: &[u8], into: &mut [u8]) -> Result<(), FsError> {
        let wrong = || FsError::damaged("an extent");
        let (ram, compression, kind) = (le64(data, 8), u8_at(data, 16), u8_at(data, 20));
        let (Some(ram), Some(compression), Some(kind)) = (ram, compression, kind) else { return Err(wrong()) };
        if kind == 0 {
            let inline = data.get(21..).unwrap_or_default();
            let bytes = unpacked(compression, inline, ram)?;
            let count = bytes.len().min(into.len());
            into.get_mut(..count).ok_or_else(wrong)?.copy_from_slice(bytes.get(..count).ok_or_else(wrong)?);
            return Ok(());
        }
        let numbers = (le64(data, 21), le64(data, 29), le64(data, 37), le64(data, 45));
        let (Some(logical), Some(stored), Some(skip), Some(count)) = numbers else { return Err(wrong()) };
        // A hole, or space that was allocated but not written.
        if logical == 0 || kind == 2 {
            return Ok(());
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..count).ok_or_else(wrong)?;
        if compression == 0 {
            for (index, part) in into.chunks_mut(1 << 20).enumerate() {
                let at = logical.checked_add(skip).and_then(|at| at.checked_add((index as u64) << 20));
                part.copy_from_slice(&self.read(at.ok_or_else(wrong)?, part.len())?);
            }
            return Ok(());
        }
        if stored > LARGEST_COMPRESSED {
            return Err(wrong());
        }
        let bytes = unpacked(compression, &self.read(logical, stored as usize)?, ram)?;
        let skip = usize::try_from(skip).map_err(|_| wrong())?;
        let part = skip.checked_add(count).and_then(|end| bytes.get(skip..end));
        into.copy_from_slice(part.ok_or_else(wrong)?);
        Ok(())
    }
}

fn root_item(data: &[u8]) -> Option<Root> {
    let level = u8_at(data, 238).filter(|level| *level < DEEPEST)?;
    Some(Root { logical: le64(data, 176)?, level })
}

fn unpacked(compression: u8, bytes: &[u8], ram: u64) -> Result<Vec<u8>, FsError> {
    let wrong = |error: std::io::Error| FsError::damaged(format!("a compressed extent: {error}"));
    if ram > LARGEST_COMPRESSED && compression != 0 {
        return Err(FsError::damaged("a compressed extent that is too large"));
    }
    let mut out = Vec::new();
    match compression {
        0 => out.extend_from_slice(bytes),
        1 => drop(flate2::read::ZlibDecoder::new(bytes).take(ram).read_to_end(&mut out).map_err(wrong)?),
        3 => {
            let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(wrong)?.single_frame();
            decoder.take(ram).read_to_end(&mut out).map_err(wrong)?;
        }
        2 => return Err(FsError::unsupported("btrfs extents compressed by lzo")),
        other => return Err(FsError::unsupported(format!("btrfs compression {other}"))),
    }
    // Missing data is zeros.
    out.resize(out.len().max(usize::try_from(ram).unwrap_or(0).min(LARGEST_COMPRESSED as usize)), 0);
    Ok(out)
}

impl Inodes for Btrfs {
    type Inode = InodeRef;

    fn root(&self) -> InodeRef {
        self.start
    }

    fn children(&self, place: &InodeRef) -> Result<Vec<Child<InodeRef>>, FsError> {
        let mut names = Vec::new();
        let (from, to) = (BtreeKey::new(place.inode, DIR_INDEX, 0), BtreeKey::new(place.inode, DIR_INDEX, u64::MAX));
        self.search(place.tree, from, to, &mut |_, data| {
            let name = le16(data, 27).and_then(|len| data.get(30..30 + usize::from(len)));
            if let (Some((location, _)), Some(name)) = (BtreeKey::split(data), name) {
                names.push((name.to_vec(), location));
            }
        })?;
        let mut found = Vec::new();
        for (name, location) in names {
            let inode = match location.kind {
                ROOT_ITEM => match self.tree_root(location.object)? {
                    Some(tree) => InodeRef { tree, inode: ROOT_DIR },
                    None => continue,
                },
                _ => InodeRef { tree: place.tree, inode: location.object },
            };
            found.push(Child { name, inode });
        }
        Ok(found)
    }

    fn metadata(&self, place: &InodeRef) -> Result<Metadata, FsError> {
        let key = BtreeKey::new(place.inode, INODE_ITEM, 0);
        let read = |data: &[u8]| Some((le64(data, 16)?, le32(data, 44)?, le32(data, 52)?));
        let found = self.first(place.tree, key, key, read)?;
        let (size, uid, mode) = found.ok_or_else(|| FsError::damaged(format!("inode {}", place.inode)))?;
        Ok(Metadata { node: NodeType::of_mode(mode), size, mode: mode & 0o7777, uid })
    }

    fn data(&self, place: &InodeRef, size: u64) -> Result<Vec<u8>, FsError> {
        let mut extents = Vec::new();
        let (from, to) =
            (BtreeKey::new(place.inode, EXTENT_DATA, 0), BtreeKey::new(place.inode, EXTENT_DATA, u64::MAX));
        self.search(place.tree, from, to, &mut |key, data| extents.push((key.offset, data.to_vec())))?;
        let mut out = vec![0; usize::try_from(size).map_err(|_| FsError::damaged("a size"))?];
        for (offset, extent) in extents {
            if let Some(into) = usize::try_from(offset).ok().and_then(|offset| out.get_mut(offset..)) {
                self.extent(&extent, into)?;
            }
        }
        Ok(out)
    }
}

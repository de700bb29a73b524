//! Fuzzing entry points, one for each parser of image contents. They must return for every input, and limit their
//! memory by themselves.

use crate::disk::Disk;
use crate::tree::{self, NodeType, Tree};
use crate::{pe, ramdisk, volumes};
use burin_image::{ImageError, ReadAt};
use burin_table::Head;

pub type Target = fn(&[u8]);

pub const TARGETS: &[(&str, Target)] = &[
    ("ext4", |bytes| filesystem("ext4", bytes)),
    ("vfat", |bytes| filesystem("vfat", bytes)),
    ("xfs", |bytes| filesystem("xfs", bytes)),
    ("btrfs", |bytes| filesystem("btrfs", bytes)),
    ("ramdisk", |bytes| drop(ramdisk::read(bytes))),
    ("pe", program),
    ("volumes", find_volumes),
];

struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&mut self, out: &mut [u8], offset: u64) -> Result<(), ImageError> {
        let short = || ImageError::Truncated { source_name: "memory".into(), offset, expected: None };
        let start = usize::try_from(offset).map_err(|_| short())?;
        let end = start.checked_add(out.len()).ok_or_else(short)?;
        out.copy_from_slice(self.0.get(start..end).ok_or_else(short)?);
        Ok(())
    }
}

pub(crate) fn disk(bytes: &[u8]) -> Disk {
    Disk::new(Box::new(Memory(bytes.to_vec())))
}

fn filesystem(name: &str, bytes: &[u8]) {
    if let Ok(opened) = tree::open(name, &disk(bytes)) {
        walk(&*opened.tree, "/", &mut 200);
        opened.subvolumes.iter().for_each(|(_, tree)| walk(&**tree, "/", &mut 50));
    }
}

fn walk(tree: &dyn Tree, folder: &str, left: &mut u32) {
    for entry in tree.list(folder).unwrap_or_default() {
        if *left == 0 {
            return;
        }
        *left -= 1;
        let path = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
        match entry.node {
            NodeType::Directory if path.len() < 200 => walk(tree, &path, left),
            NodeType::Symlink => drop(tree.readlink(&path)),
            _ => drop(tree.read(&path, 1 << 20)),
        }
    }
}

fn program(bytes: &[u8]) {
    if let Some(program) = pe::PeFile::parse(bytes) {
        let _ = (program.is(), program.is_signed(), program.fallback_name());
    }
}

fn find_volumes(bytes: &[u8]) {
    let _ =
        volumes::find(&disk(bytes), &Head::parse(bytes.get(..bytes.len().min(1 << 20)).unwrap_or_default().to_vec()));
}

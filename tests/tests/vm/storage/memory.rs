//! The memory of a machine with a RAM disk whose blocks are page-aligned, like those of scsi_debug.

use burin_tests::vm::OLD_MARK;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub const PAGE: usize = 4096;

/// A memory dump by QEMU.
#[derive(Debug)]
pub struct Memory {
    file: File,
    size: u64,
}

impl Memory {
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Self { size: file.metadata()?.len(), file })
    }

    pub fn page(&self, address: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; PAGE];
        self.file.read_exact_at(&mut page, address)?;
        Ok(page)
    }

    /// Addresses of the pages that contain noise blocks with this seed, by block offset. A block has several addresses
    /// if a buffer contains it as well.
    pub fn blocks(&self, seed: u64) -> io::Result<BTreeMap<u64, Vec<u64>>> {
        let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut chunk = vec![0; 1024 * PAGE];
        for start in (0..self.size).step_by(chunk.len()) {
            self.file.read_exact_at(&mut chunk, start)?;
            for (number, page) in chunk.chunks_exact(PAGE).enumerate() {
                let field = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap_or_default());
                if page.starts_with(OLD_MARK) && field(8) == seed {
                    found.entry(field(16)).or_default().push(start + (number * PAGE) as u64);
                }
            }
        }
        Ok(found)
    }
}

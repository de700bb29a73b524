//! A disk in memory on which changes are tried before they are made. It starts with the head of an image on a disk of
//! the real size. The code is the same that will change the disk, so whatever succeeds here can be done there.

use super::Sectors;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The head is there; whatever lies behind it reads as zeros until it is written. Nothing reaches a device.
#[derive(Debug)]
pub struct Rehearsal {
    path: PathBuf,
    sector_size: u32,
    size: u64,
    /// By number; those that are missing are zeros.
    sectors: RefCell<BTreeMap<u64, Vec<u8>>>,
}

impl Rehearsal {
    /// `path` is for messages, `size` in bytes. `None`: no disk has such sectors.
    pub fn new(path: &Path, sector_size: u32, size: u64, head: &[u8]) -> Option<Self> {
        if !super::layout::SECTOR_SIZES.contains(&sector_size) {
            return None;
        }
        let sector = sector_size as usize;
        let whole = |bytes: &[u8]| {
            let mut whole = bytes.to_vec();
            whole.resize(sector, 0);
            whole
        };
        let sectors = (0..).zip(head.chunks(sector)).filter(|(_, bytes)| bytes.iter().any(|&byte| byte != 0));
        let sectors = RefCell::new(sectors.map(|(number, bytes)| (number, whole(bytes))).collect());
        Some(Self { path: path.to_owned(), sector_size, size, sectors })
    }

    fn inside(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = offset.checked_add(length as u64);
        if end.is_some_and(|end| end <= self.size) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Sectors for Rehearsal {
    fn path(&self) -> &Path {
        &self.path
    }

    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inside(offset, buffer.len())?;
        let sector = u64::from(self.sector_size);
        let sectors = self.sectors.borrow();
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let within = (at % sector) as usize;
            let length = (sector as usize - within).min(rest.len());
            let (piece, behind) = rest.split_at_mut(length);
            match sectors.get(&(at / sector)).and_then(|bytes| bytes.get(within..within + length)) {
                Some(bytes) => piece.copy_from_slice(bytes),
                None => piece.fill(0),
            }
            (at, rest) = (at + length as u64, behind);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inside(offset, bytes.len())?;
        let sector = u64::from(self.sector_size);
        if !offset.is_multiple_of(sector) || !(bytes.len() as u64).is_multiple_of(sector) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not whole sectors"));
        }
        let mut sectors = self.sectors.borrow_mut();
        for (number, bytes) in (offset / sector..).zip(bytes.chunks(self.sector_size as usize)) {
            sectors.insert(number, bytes.to_vec());
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

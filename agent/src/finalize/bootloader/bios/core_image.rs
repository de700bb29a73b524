//! Builds GRUB's core image for BIOS from the parts in its packages: bytes in, bytes out.
//!
//! It is what `grub-mkimage -O i386-pc` makes from the same parts (GRUB 2.06: util/mkimage.c, include/grub/kernel.h,
//! include/grub/offsets.h): a sector that reads the rest by a block list (diskboot.img), a decompressor with two
//! lengths in it, and, compressed by LZMA, the kernel's sections as they lie in memory, followed by modules, a
//! configuration and the prefix. The compressed bytes differ from grub-mkimage's: liblzma chooses other matches than
//! LZMA's SDK, and ends the stream with a marker.

use liblzma::stream::{Action, Filters, LzmaOptions, Status, Stream};

/// Sector size for GRUB on BIOS: disks with other sizes are refused.
pub const SECTOR: usize = 512;
/// The kernel's link address (GRUB_KERNEL_I386_PC_LINK_ADDR).
const LINK: u32 = 0x9000;
/// GRUB refuses to load beyond this.
const MEMORY_END: usize = 0x78000;
/// The decompressor lies between its load address, 0x8200, and the kernel.
const LARGEST_DECOMPRESSOR: usize = LINK as usize - 0x8200;
/// Offsets in the decompressor.
const COMPRESSED_SIZE: usize = 0x08;
const UNCOMPRESSED_SIZE: usize = 0x0c;
/// `mimg`, then the offset of the first module from here, then the total length.
const MAGIC: u32 = 0x676d_696d;
/// The block list grows from the end of diskboot.img to its front: LBA, sectors, load segment.
const BLOCK: usize = SECTOR - 12;
/// The segment after diskboot.img itself, which is loaded to 0x8000.
const SEGMENT: u16 = 0x820;
/// In boot.img: the LBA of the core image, the drive (0xff: the one reported by firmware), and a jump that is only for
/// floppies.
const KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE: usize = 0x64;
const DRIVE_CHECK: usize = 0x66;
/// From here on a boot sector has the disk signature and the partition table.
const TABLE: usize = 0x1b8;
/// More than any kernel needs; limits allocations caused by an ELF header.
const LARGEST_KERNEL: usize = 8 << 20;

/// What is wrong with a part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{0}")]
    Part(&'static str),
    #[error("the core image has {have} bytes, of {most} that GRUB can load")]
    TooLarge { have: usize, most: usize },
}

/// The parts of a core image.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub diskboot: &'a [u8],
    pub decompressor: &'a [u8],
    /// An ELF program.
    pub kernel: &'a [u8],
    /// ELF objects, each after those that it needs.
    pub modules: &'a [Vec<u8>],
    /// Run before anything else.
    pub config: &'a str,
    /// Directory of further modules and grub.cfg, without a device.
    pub prefix: &'a str,
}

/// The whole image, in whole sectors, without its position yet.
pub fn build(parts: Parts<'_>) -> Result<Vec<u8>, Fault> {
    if parts.diskboot.len() != SECTOR {
        return Err(Fault::Part("diskboot.img has not the size of a sector"));
    }
    if !(UNCOMPRESSED_SIZE + 4..=LARGEST_DECOMPRESSOR).contains(&parts.decompressor.len()) {
        return Err(Fault::Part("lzma_decompress.img has no size that it can have"));
    }
    let plain = plain(parts)?;
    let packed = compress(&plain).ok_or(Fault::Part("the kernel cannot be compressed"))?;
    let mut image = parts.diskboot.to_vec();
    let mut decompressor = parts.decompressor.to_vec();
    put(&mut decompressor, COMPRESSED_SIZE, &length(packed.len()).to_le_bytes());
    put(&mut decompressor, UNCOMPRESSED_SIZE, &length(plain.len()).to_le_bytes());
    image.extend(decompressor);
    image.extend(packed);
    let most = MEMORY_END - LINK as usize;
    if image.len() - SECTOR > most {
        return Err(Fault::TooLarge { have: image.len() - SECTOR, most });
    }
    image.resize(image.len().next_multiple_of(SECTOR), 0);
    Ok(image)
}

/// Adds its position on a disk: `lba` is that of its first sector.
pub fn place(mut image: Vec<u8>, lba: u64) -> Vec<u8> {
    let sectors = u16::try_from((image.len() / SECTOR).saturating_sub(1)).unwrap_or(u16::MAX);
    put(&mut image, BLOCK, &(lba + 1).to_le_bytes());
    put(&mut image, BLOCK + 8, &sectors.to_le_bytes());
    put(&mut image, BLOCK + 10, &SEGMENT.to_le_bytes());
    image
}

/// boot.img for a core image at `lba`, with the partition table of the sector that it replaces.
pub fn boot_sector(boot: &[u8], old: &[u8], lba: u64) -> Result<Vec<u8>, Fault> {
    if boot.len() != SECTOR || boot.get(SECTOR - 2..) != Some(&[0x55, 0xaa]) {
        return Err(Fault::Part("boot.img is no boot sector"));
    }
    let table = old.get(TABLE..SECTOR - 2).ok_or(Fault::Part("the disk has no sectors of 512 bytes"))?;
    let mut sector = boot.to_vec();
    put(&mut sector, KERNEL_SECTOR, &lba.to_le_bytes());
    put(&mut sector, BOOT_DRIVE, &[0xff]);
    put(&mut sector, DRIVE_CHECK, &[0x90, 0x90]);
    put(&mut sector, TABLE, table);
    Ok(sector)
}

/// The decompressed contents: the kernel, then a header and a list of objects.
fn plain(parts: Parts<'_>) -> Result<Vec<u8>, Fault> {
    const ELF: u32 = 0;
    const CONFIG: u32 = 2;
    const PREFIX: u32 = 3;
    let object = |kind: u32, bytes: &[u8]| {
        let size = bytes.len().next_multiple_of(4);
        let mut object = [kind, length(size + 8)].map(u32::to_le_bytes).concat();
        object.extend(bytes);
        object.resize(size + 8, 0);
        object
    };
    let ended = |text: &str| [text.as_bytes(), &[0]].concat();
    let mut objects: Vec<u8> = parts.modules.iter().flat_map(|module| object(ELF, module)).collect();
    objects.extend(object(CONFIG, &ended(parts.config)));
    objects.extend(object(PREFIX, &ended(parts.prefix)));
    let mut plain = kernel(parts.kernel)?;
    plain.extend([MAGIC, 12, length(objects.len() + 12)].map(u32::to_le_bytes).concat());
    plain.extend(objects);
    Ok(plain)
}

/// The sections of an ELF program that have contents, each at its address.
fn kernel(elf: &[u8]) -> Result<Vec<u8>, Fault> {
    const ALLOCATED: u32 = 2;
    const NOTHING: [u32; 2] = [0, 8];
    let bad = Fault::Part("kernel.img is no ELF program for this");
    let u16_at = |at: usize| Some(u16::from_le_bytes(elf.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at.checked_add(4)?)?.try_into().ok()?));
    // 32 bits, little endian, a program (2) for Intel 80386 (3).
    let right = elf.get(..6) == Some(b"\x7fELF\x01\x01") && (u16_at(16), u16_at(18)) == (Some(2), Some(3));
    if !right {
        return Err(bad);
    }
    let read = || -> Option<Vec<u8>> {
        let (table, size, count) = (u32_at(32)? as usize, usize::from(u16_at(46)?), usize::from(u16_at(48)?));
        let mut memory = Vec::new();
        for number in 0..count {
            let header = table.checked_add(number.checked_mul(size)?)?;
            let (kind, flags) = (u32_at(header + 4)?, u32_at(header + 8)?);
            if flags & ALLOCATED == 0 || NOTHING.contains(&kind) {
                continue;
            }
            let start = u32_at(header + 12)?.checked_sub(LINK)? as usize;
            let (offset, size) = (u32_at(header + 16)? as usize, u32_at(header + 20)? as usize);
            let bytes = elf.get(offset..offset.checked_add(size)?)?;
            let end = start.checked_add(size).filter(|end| *end <= LARGEST_KERNEL)?;
            if memory.len() < end {
                memory.resize(end, 0);
            }
            memory.get_mut(start..end)?.copy_from_slice(bytes);
        }
        (!memory.is_empty()).then_some(memory)
    };
    read().ok_or(bad)
}

/// LZMA without a header, as GRUB's decompressor requires: the parameters are in its code.
fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut options = LzmaOptions::new_preset(9).ok()?;
    options.dict_size(1 << 16).literal_context_bits(3).literal_position_bits(0).position_bits(2);
    let mut filters = Filters::new();
    filters.lzma1(&options);
    let mut stream = Stream::new_raw_encoder(&filters).ok()?;
    let mut packed = Vec::with_capacity(bytes.len() + 4096);
    loop {
        let done = usize::try_from(stream.total_in()).ok()?;
        match stream.process_vec(bytes.get(done..)?, &mut packed, Action::Finish).ok()? {
            Status::StreamEnd => return Some(packed),
            _ => packed.reserve(4096),
        }
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

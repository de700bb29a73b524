//! Unified kernel images: an EFI stub with kernel, ramdisk and command line as PE sections, following the UAPI group's
//! specification (https://uapi-group.org/specifications/specs/unified_kernel_image/).
//!
//! The PE is extended in place: section headers go into the slack after the stub's own, contents after its end. The
//! stub's code and timestamp stay, so the same input gives the same bytes.

use crate::arch::Arch;
use crate::bytes::{put_u16, put_u32, u16_at, u32_at};

/// The parts added to the stub.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// os-release(5) text, shown in boot menus.
    pub os_release: &'a str,
    /// Kernel command line.
    pub cmdline: &'a str,
    /// Kernel release.
    pub uname: &'a str,
    /// The kernel image.
    pub kernel: &'a [u8],
    /// The ramdisk.
    pub initrd: &'a [u8],
    /// SBAT lines for this image (https://github.com/rhboot/shim/blob/main/SBAT.md), appended to the stub's own.
    pub sbat: &'a str,
}

/// Why the stub cannot be extended.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UkiError {
    /// The stub is damaged or not a PE file.
    #[error("the EFI stub is not a PE32+ program: {0}")]
    Stub(&'static str),
    /// The stub is for another architecture.
    #[error("the EFI stub is for PE machine {found:#06x}, the kernel for {arch} ({expected:#06x})", expected = arch.pe_machine())]
    Arch { found: u16, arch: Arch },
    /// No slack for more section headers.
    #[error("the EFI stub has no room for {0} more section headers")]
    HeadersFull(usize),
    /// The stub already has a section of that name.
    #[error("the EFI stub already has a section {0}")]
    Section(&'static str),
    /// PE stores sizes in 32 bits.
    #[error("the unified image would be larger than 4 GiB")]
    TooLarge,
}

/// Memory and file alignment of the added sections: whole pages, whatever the stub itself uses.
const PAGE: u32 = 4096;
/// IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ.
const READ_ONLY_DATA: u32 = 0x4000_0040;
const SECTION_HEADER: usize = 40;

const SBAT: &str = ".sbat";
const OLD_SBAT: &[u8; 8] = b".sbatold";
const SBAT_HEAD: &str = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";

/// Offsets of the PE header fields that change.
struct Layout {
    coff: usize,
    optional: usize,
    section_table: usize,
    sections: usize,
    headers_size: usize,
    section_alignment: u32,
    file_alignment: u32,
    image_end: u32,
    first_content: usize,
}

/// Builds the image.
pub fn build(stub: &[u8], parts: &Parts<'_>, arch: Arch) -> Result<Vec<u8>, UkiError> {
    let layout = Layout::read(stub, arch)?;
    let old_sbat = layout.section(stub, SBAT);
    let mut sbat = old_sbat.and_then(|at| layout.contents(stub, at)).unwrap_or(SBAT_HEAD.as_bytes()).to_vec();
    sbat.extend_from_slice(parts.sbat.as_bytes());
    // The kernel comes second to last and the ramdisk last, as in ukify: small sections first.
    let added: [(&'static str, &[u8]); 6] = [
        (SBAT, &sbat),
        (".osrel", parts.os_release.as_bytes()),
        (".cmdline", parts.cmdline.as_bytes()),
        (".uname", parts.uname.as_bytes()),
        (".linux", parts.kernel),
        (".initrd", parts.initrd),
    ];
    layout.require_room(stub, &added)?;

    let mut image = stub.to_vec();
    // It cannot grow in place. Everything there refers to it by name only.
    if let Some(name) = old_sbat.and_then(|at| image.get_mut(at..at + 8)) {
        name.copy_from_slice(OLD_SBAT);
    }
    let align = PAGE.max(layout.section_alignment);
    let mut address = align_up(layout.image_end, align)?;
    let mut data_size = 0u32;
    for (n, (name, content)) in added.iter().enumerate() {
        let size = u32::try_from(content.len()).map_err(|_| UkiError::TooLarge)?;
        let raw_size = align_up(size, layout.file_alignment)?;
        image.resize(align_up(to_u32(image.len())?, layout.file_alignment.max(16))? as usize, 0);
        let offset = to_u32(image.len())?;
        image.extend_from_slice(content);
        image.resize(offset as usize + raw_size as usize, 0);

        let at = layout.section_table + (layout.sections + n) * SECTION_HEADER;
        let mut header = [0u8; SECTION_HEADER];
        for (to, from) in header.iter_mut().take(8).zip(name.bytes()) {
            *to = from;
        }
        let fields = [(8, size), (12, address), (16, raw_size), (20, offset), (36, READ_ONLY_DATA)];
        for (field, value) in fields {
            put_u32(&mut header, field, value).ok_or(UkiError::TooLarge)?;
        }
        image.get_mut(at..at + SECTION_HEADER).ok_or(UkiError::HeadersFull(added.len()))?.copy_from_slice(&header);
        address = align_up(address.checked_add(size).ok_or(UkiError::TooLarge)?, align)?;
        data_size = data_size.checked_add(raw_size).ok_or(UkiError::TooLarge)?;
    }
    layout.finish(&mut image, added.len(), address, data_size).ok_or(UkiError::Stub("header fields out of bounds"))?;
    Ok(image)
}

impl Layout {
    fn read(stub: &[u8], arch: Arch) -> Result<Layout, UkiError> {
        let truncated = UkiError::Stub("truncated header");
        if !stub.starts_with(b"MZ") {
            return Err(UkiError::Stub("no MZ magic"));
        }
        let pe = u32_at(stub, 0x3c).ok_or(truncated)? as usize;
        let coff = pe.checked_add(4).ok_or(UkiError::Stub("header offset"))?;
        if stub.get(pe..coff) != Some(b"PE\0\0") {
            return Err(UkiError::Stub("no PE magic"));
        }
        let field16 = |at: usize| u16_at(stub, at).ok_or(UkiError::Stub("truncated header"));
        let field32 = |at: usize| u32_at(stub, at).ok_or(UkiError::Stub("truncated header"));
        let found = field16(coff)?;
        if found != arch.pe_machine() {
            return Err(UkiError::Arch { found, arch });
        }
        let sections = usize::from(field16(coff + 2)?);
        let optional = coff + 20;
        if field16(optional)? != 0x20b {
            return Err(UkiError::Stub("not PE32+"));
        }
        let section_table = optional + usize::from(field16(coff + 16)?);
        let (section_alignment, file_alignment) = (field32(optional + 32)?, field32(optional + 36)?);
        if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
            return Err(UkiError::Stub("alignment is no power of two"));
        }
        let mut image_end = 0u32;
        let mut first_content = stub.len();
        for n in 0..sections {
            let at = section_table + n * SECTION_HEADER;
            let end = field32(at + 12)?.checked_add(field32(at + 8)?).ok_or(UkiError::TooLarge)?;
            image_end = image_end.max(end);
            if field32(at + 16)? > 0 {
                first_content = first_content.min(field32(at + 20)? as usize);
            }
        }
        let headers_size = field32(optional + 60)? as usize;
        Ok(Layout {
            coff,
            optional,
            section_table,
            sections,
            headers_size,
            section_alignment,
            file_alignment,
            image_end,
            first_content,
        })
    }

    /// The header of a section of the stub.
    fn section(&self, stub: &[u8], name: &str) -> Option<usize> {
        let mut headers = (0..self.sections).map(|n| self.section_table + n * SECTION_HEADER);
        headers.find(|at| stub.get(*at..at + 8).is_some_and(|found| trimmed(found) == name.as_bytes()))
    }

    fn contents<'a>(&self, stub: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let (size, raw) = (u32_at(stub, at + 8)?, u32_at(stub, at + 16)?);
        let offset = u32_at(stub, at + 20)? as usize;
        let bytes = stub.get(offset..offset.checked_add(size.min(raw) as usize)?)?;
        Some(trimmed(bytes))
    }

    fn require_room(&self, stub: &[u8], added: &[(&'static str, &[u8])]) -> Result<(), UkiError> {
        for n in 0..self.sections {
            let at = self.section_table + n * SECTION_HEADER;
            let name = stub.get(at..at + 8).ok_or(UkiError::Stub("truncated section table"))?;
            let name = name.split(|b| *b == 0).next().unwrap_or_default();
            let clash = |(a, _): &&(&'static str, &[u8])| *a != SBAT && a.as_bytes() == name;
            if let Some((clash, _)) = added.iter().find(clash) {
                return Err(UkiError::Section(clash));
            }
        }
        let start = self.section_table + self.sections * SECTION_HEADER;
        let end = start + added.len() * SECTION_HEADER;
        let limit = self.headers_size.min(self.first_content);
        let slack = stub.get(start..end).filter(|slack| end <= limit && is_filler(slack));
        slack.map(|_| ()).ok_or(UkiError::HeadersFull(added.len()))
    }

    /// Sets the number of sections, SizeOfInitializedData and SizeOfImage, and clears checksum and signature, which are
    /// no longer valid.
    fn finish(&self, image: &mut [u8], added: usize, end: u32, data_size: u32) -> Option<()> {
        put_u16(image, self.coff + 2, u16::try_from(self.sections + added).ok()?)?;
        let initialized = u32_at(image, self.optional + 8)?.checked_add(data_size)?;
        put_u32(image, self.optional + 8, initialized)?;
        put_u32(image, self.optional + 56, end)?;
        put_u32(image, self.optional + 64, 0)?;
        // NumberOfRvaAndSizes, and data directory 4: the certificate table.
        if u32_at(image, self.optional + 108)? > 4 {
            put_u32(image, self.optional + 112 + 4 * 8, 0)?;
            put_u32(image, self.optional + 112 + 4 * 8 + 4, 0)?;
        }
        Some(())
    }
}

/// Without trailing zeros.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// Zeros, or a single repeated instruction: assemblers pad with no-ops.
fn is_filler(slack: &[u8]) -> bool {
    slack.get(4..).is_some_and(|shifted| shifted.iter().zip(slack).all(|(a, b)| a == b))
}

fn to_u32(n: usize) -> Result<u32, UkiError> {
    u32::try_from(n).map_err(|_| UkiError::TooLarge)
}

fn align_up(n: u32, to: u32) -> Result<u32, UkiError> {
    n.checked_next_multiple_of(to).ok_or(UkiError::TooLarge)
}

#[cfg(test)]
#[path = "uki_tests.rs"]
pub(crate) mod tests;

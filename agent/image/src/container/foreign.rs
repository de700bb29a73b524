//! Formats that are passed to an imaging tool by mistake: archives, virtual machine formats, other compressions, error
//! pages. None of them is the content of a disk, so they are refused before a disk is touched.

use crate::error::ImageError;

/// Name, offset of the magic number, and the magic number.
const MAGICS: &[(&str, usize, &[u8])] = &[
    // Formats of virtual machines.
    ("a VMDK image", 0, b"KDMV"),
    ("a VMDK image", 0, b"COWD"),
    ("a VMDK descriptor, which only names the image's files", 0, b"# Disk DescriptorFile"),
    ("a VHDX image", 0, b"vhdxfile"),
    ("a dynamic VHD image", 0, b"conectix"),
    ("a VDI image", 0x40, &[0x7f, 0x10, 0xda, 0xbe]),
    ("a QED image", 0, b"QED\0"),
    ("a QCOW image of version 1", 0, b"QFI\xfb\0\0\0\x01"),
    ("a Parallels image", 0, b"WithoutFreeSpace"),
    ("a Parallels image", 0, b"WithouFreSpacExt"),
    ("a Bochs image", 0, b"Bochs Virtual HD Image"),
    ("a cloop image", 0, b"#!/bin/sh\n#V2.0 Format"),
    ("an encrypted DMG image", 0, b"encrcdsa"),
    ("an Apple sparse image", 0, b"sprs"),
    ("an Android sparse image", 0, &[0x3a, 0xff, 0x26, 0xed]),
    ("an Android boot image", 0, b"ANDROID!"),
    ("a U-Boot image", 0, &[0x27, 0x05, 0x19, 0x56]),
    ("a device tree or FIT image", 0, &[0xd0, 0x0d, 0xfe, 0xed]),
    // Images by other tools, which restore them themselves.
    ("a partclone image", 0, b"partclone-image"),
    ("a partimage image", 0, b"PaRtImAgE-VoLuMe"),
    ("an NTFSClone image", 0, b"\0ntfsclone-image"),
    ("an fsarchiver archive", 0, b"FsA"),
    ("a Windows image (WIM)", 0, b"MSWIM\0\0\0"),
    ("a split Windows image (WIM)", 0, b"WLPWM\0\0\0"),
    ("an EnCase image", 0, b"EVF\x09\x0d\x0a\xff\0"),
    ("an EnCase image", 0, b"EVF2\x0d\x0a\x81\0"),
    ("an AFF image", 0, b"AFF10\r\n\0"),
    ("a btrfs send stream", 0, b"btrfs-stream\0"),
    ("a ZFS send stream", 8, &[0xac, 0xcb, 0xba, 0xf5, 0x02, 0, 0, 0]),
    ("an XFS dump", 0, b"xFSdump0"),
    // Archives.
    ("a zip archive", 0, b"PK\x03\x04"),
    ("an empty zip archive", 0, b"PK\x05\x06"),
    ("a split zip archive", 0, b"PK\x07\x08"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a RAR archive", 0, b"Rar!\x1a\x07"),
    ("a tar archive", 257, b"ustar"),
    ("a cpio archive", 0, b"070701"),
    ("a cpio archive", 0, b"070702"),
    ("a cpio archive", 0, b"070707"),
    ("a cpio archive", 0, &[0xc7, 0x71]),
    ("a cpio archive", 0, &[0x71, 0xc7]),
    ("an ar archive or Debian package", 0, b"!<arch>\n"),
    ("an RPM package", 0, &[0xed, 0xab, 0xee, 0xdb]),
    ("a cabinet archive", 0, b"MSCF\0\0\0\0"),
    ("an ARJ archive", 0, &[0x60, 0xea]),
    ("an LHA archive", 2, b"-lh"),
    ("an ACE archive", 7, b"**ACE**"),
    ("a xar archive", 0, b"xar!"),
    ("a dar archive", 0, &[0, 0, 0, 0x7b]),
    ("a ZPAQ archive", 0, b"7kSt"),
    ("a ZPAQ archive", 0, b"zPQ"),
    ("a DwarFS archive", 0, b"DWARFS"),
    ("a casync index", 8, &[0xf9, 0x9f, 0x12, 0x7b, 0x9c, 0x4d, 0x82, 0x96]),
    // Other compressions.
    ("lzip data", 0, b"LZIP"),
    ("lzop data", 0, &[0x89, b'L', b'Z', b'O', 0, 0x0d, 0x0a, 0x1a, 0x0a]),
    ("data of compress (.Z)", 0, &[0x1f, 0x9d]),
    ("data of pack (.z)", 0, &[0x1f, 0x1e]),
    ("data of LZH compress", 0, &[0x1f, 0xa0]),
    ("lrzip data", 0, b"LRZI"),
    ("rzip data", 0, b"RZIP"),
    ("snappy data", 0, b"\xff\x06\0\0sNaPpY"),
    ("LZFSE data", 0, b"bvx2"),
    ("LZFSE data", 0, b"bvx1"),
    ("LZFSE data", 0, b"bvxn"),
    ("LZFSE data", 0, b"bvx-"),
    ("bzip3 data", 0, b"BZ3v1"),
    ("a bsdiff patch", 0, b"BSDIFF4"),
    ("an xdelta patch", 0, &[0xd6, 0xc3, 0xc4]),
    // What may be in the place of a file.
    ("a git-LFS pointer, not the file that it points to", 0, b"version https://git-lfs.github.com/spec/"),
    ("a git-LFS pointer, not the file that it points to", 0, b"version https://hawser.github.com/spec/"),
    ("a git-annex pointer, not the file that it points to", 0, b"/annex/objects/"),
    ("a torrent", 0, b"d8:announce"),
    ("a metalink", 0, b"<metalink"),
    ("an OpenPGP message", 0, b"-----BEGIN PGP"),
    ("a certificate or key", 0, b"-----BEGIN "),
    ("an age-encrypted file", 0, b"age-encryption.org/"),
    ("data of openssl enc", 0, b"Salted__"),
    ("a GPG-encrypted file", 0, &[0x85, 0x01, 0x0c, 0x03]),
    ("a GPG-encrypted file", 0, &[0x85, 0x02, 0x0c, 0x03]),
    // Files that are no disks at all.
    ("a program (ELF)", 0, b"\x7fELF"),
    ("a script", 0, b"#!"),
    ("a PDF document", 0, b"%PDF-"),
    ("a PNG picture", 0, b"\x89PNG\r\n\x1a\n"),
    ("a JPEG picture", 0, &[0xff, 0xd8, 0xff]),
    ("a GIF picture", 0, b"GIF8"),
    ("an OLE document or MSI package", 0, &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1]),
    ("an SQLite database", 0, b"SQLite format 3\0"),
];

type Test = fn(&[u8]) -> bool;

/// Formats without a magic number, recognised by their structure.
const SHAPES: &[(&str, Test)] = &[
    ("a tar archive", old_tar),
    ("lzma data (.lzma)", lzma_alone),
    ("zlib data, as a compressed DMG image begins", zlib),
    ("an HTML page", |head| {
        tag(head, "<!doctype html") || tag(head, "<html") || tag(head, "<head") || tag(head, "<body")
    }),
    ("an XML document: an error of an object store, perhaps", |head| tag(head, "<?xml") || tag(head, "<error")),
    ("a JSON document: an error of a server, perhaps", json),
    ("an ISO 9660 image without a partition table: it boots from a CD only", plain_iso),
    ("a text, not a disk image", text),
];

/// The format of `head`, the start of a file or of its decoded content; `None` if it may be that of a disk.
pub fn find(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    // Magic numbers of two bytes might be the jump of a boot sector.
    let boot = head.get(510..512) == Some(&[0x55, 0xaa]);
    let magic = MAGICS.iter().find(|(_, offset, magic)| at(*offset, magic) && !(boot && magic.len() < 4));
    let found = magic.map(|(what, ..)| *what);
    found.or_else(|| SHAPES.iter().find(|(_, is)| !boot && is(head)).map(|(what, _)| *what))
}

/// An error if the format is one of these.
pub fn refuse(name: &str, head: &[u8]) -> Result<(), ImageError> {
    match find(head) {
        None => Ok(()),
        Some(what) => Err(error(name, what)),
    }
}

pub fn error(name: &str, what: &str) -> ImageError {
    let what = format!("is {what}, not a disk image that burin can write");
    ImageError::Unsupported { source_name: name.to_owned(), what }
}

/// The same for the last sector of an image: some formats can only be recognised there.
pub fn trailer(last: &[u8]) -> Option<&'static str> {
    let last = last.get(last.len().checked_sub(512)?..)?;
    last.starts_with(b"koly\0\0\0\x04").then_some("a DMG image")
}

/// A tar header from before POSIX, without magic number: its checksum (the sum of its bytes, with its own field as
/// spaces) is correct, and its name starts like a path.
fn old_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..512) else { return false };
    let field = header.get(148..156).unwrap_or_default();
    let digits: String = field.iter().map(|byte| char::from(*byte)).collect();
    let stored = u32::from_str_radix(digits.trim_matches([' ', '\0']), 8);
    let sum: u32 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    stored == Ok(sum) && header.first().is_some_and(|byte| *byte > b' ')
}

/// The .lzma format: properties, a dictionary of a usual size, a length that is unknown or below 256 GiB (xz's own rule).
fn lzma_alone(head: &[u8]) -> bool {
    let [0..=224, a, b, c, d, length @ ..] = head else { return false };
    let dictionary = u32::from_le_bytes([*a, *b, *c, *d]);
    let Some(length) = length.get(..8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes) else {
        return false;
    };
    let usual = dictionary == u32::MAX
        || dictionary >= 4096
            && (dictionary.is_power_of_two() || (dictionary / 3).is_power_of_two() && dictionary % 3 == 0);
    // The first byte of the range coder is always zero.
    usual && head.first() == Some(&0x5d) && head.get(13) == Some(&0) && (length == u64::MAX || length < 1 << 38)
}

/// RFC 1950, 2.2: method 8, a window of 32 KiB, and a check of both bytes.
fn zlib(head: &[u8]) -> bool {
    matches!(head, [0x78, 0x01 | 0x5e | 0x9c | 0xda, rest @ ..] if rest.iter().take(64).any(|byte| *byte != 0))
}

fn tag(head: &[u8], tag: &str) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
}

fn json(head: &[u8]) -> bool {
    let text = head.trim_ascii_start();
    let rest = match text {
        [b'{', rest @ ..] => rest.trim_ascii_start(),
        [b'[', rest @ ..] => rest.trim_ascii_start(),
        _ => return false,
    };
    matches!(rest.first(), Some(b'"' | b'{' | b'}' | b']'))
}

/// ECMA-119, 8.1: a volume descriptor in sector 16, of 2048 bytes; also UDF's (ECMA-167, 2/9.1).
fn plain_iso(head: &[u8]) -> bool {
    let magic = head.get(0x8001..0x8006);
    matches!(magic, Some(b"CD001" | b"BEA01"))
}

/// A short file of printable text only: a server's response, or a note.
fn text(head: &[u8]) -> bool {
    let start = head.get(..head.len().min(512)).unwrap_or_default();
    let printable = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r' | 0x80..);
    let letters = start.iter().filter(|byte| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace()).count();
    head.len() < 4096
        && start.len() >= 8
        && start.iter().all(printable)
        && std::str::from_utf8(start.get(..start.len() & !3).unwrap_or(start)).is_ok()
        && letters * 2 > start.len()
}

#[cfg(test)]
#[path = "foreign_tests.rs"]
mod tests;

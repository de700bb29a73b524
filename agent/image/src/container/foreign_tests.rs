use super::*;

/// A whole sector that begins with `bytes`.
fn sector(bytes: &[u8]) -> Vec<u8> {
    let mut sector = bytes.to_vec();
    sector.resize(4096, 0);
    sector
}

#[test]
fn each_magic_is_refused_at_its_place_only() {
    for (what, offset, magic) in MAGICS {
        let mut head = vec![0; 4096];
        head[*offset..offset + magic.len()].copy_from_slice(magic);
        assert!(find(&head).is_some(), "{what}");
        let elsewhere = [&[0; 700][..], &head].concat();
        assert_eq!(find(&elsewhere), None, "{what}");
    }
}

#[test]
fn what_disks_begin_with_is_not_foreign() {
    assert_eq!(find(&[0; 4096]), None);
    assert_eq!(find(&[]), None);
    // Jumps of boot sectors, GRUB's and FAT's.
    for jump in [&[0xeb, 0x63, 0x90][..], &[0xeb, 0x58, 0x90], &[0x60, 0xea, 0x05], &[0x78, 0x9c, 0x01], b"#!ab"] {
        let mut head = sector(jump);
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(find(&head), None, "{jump:x?}");
    }
    let random: Vec<u8> = (0..4096u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert_eq!(find(&random), None);
}

#[test]
fn shapes_are_told_apart() {
    assert_eq!(find(b"\n <HTML><head>"), Some("an HTML page"));
    assert_eq!(find(b"\xef\xbb\xbf<!DOCTYPE html>"), Some("an HTML page"));
    assert!(find(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied").is_some_and(|what| what.contains("XML")));
    assert!(find(b"{\"message\": \"not found\"}").is_some_and(|what| what.contains("JSON")));
    assert!(find(b"404 page not found\n").is_some_and(|what| what.contains("text")));
    let mut lzma = sector(&[0x5d, 0, 0, 0x80, 0]);
    lzma[5..13].fill(0xff);
    assert!(find(&lzma).is_some_and(|what| what.contains("lzma")));
    let mut iso = vec![0; 40_000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    assert!(find(&iso).is_some_and(|what| what.contains("ISO 9660")));
    iso[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(find(&iso), None, "a hybrid one");
    let mut dmg = vec![1; 2048];
    assert_eq!(trailer(&dmg), None);
    dmg[1536..1544].copy_from_slice(b"koly\0\0\0\x04");
    assert_eq!(trailer(&dmg), Some("a DMG image"));
}

#[test]
fn tar_without_magic_is_known_by_its_checksum() {
    let mut header = tar_header();
    assert_eq!(find(&header), Some("a tar archive"));
    header[0] ^= 1;
    assert_eq!(find(&header), None);
}

/// Of `etc/`, in the form of the seventh edition.
fn tar_header() -> Vec<u8> {
    let mut header = vec![0; 512];
    header[..4].copy_from_slice(b"etc/");
    header[100..107].copy_from_slice(b"0000755");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_looked_at(head in proptest::collection::vec(proptest::num::u8::ANY, 0..1200)) {
        find(&head);
        trailer(&head);
    }
}

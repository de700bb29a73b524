use object::read::pe::PeFile64;
use object::{Object as _, ObjectSection as _};
use proptest::prelude::*;

use super::*;

/// A PE32+ file with one section, laid out as linkers do.
pub(crate) fn stub() -> Vec<u8> {
    let mut data = vec![0u8; 0x600];
    data[..2].copy_from_slice(b"MZ");
    put_u32(&mut data, 0x3c, 0x80).unwrap();
    data[0x80..0x84].copy_from_slice(b"PE\0\0");
    let (coff, optional) = (0x84, 0x98);
    put_u16(&mut data, coff, 0x8664).unwrap();
    put_u16(&mut data, coff + 2, 1).unwrap();
    put_u16(&mut data, coff + 16, 240).unwrap();
    put_u16(&mut data, coff + 18, 0x22).unwrap();
    put_u16(&mut data, optional, 0x20b).unwrap();
    put_u32(&mut data, optional + 8, 0x200).unwrap();
    put_u32(&mut data, optional + 32, 0x1000).unwrap();
    put_u32(&mut data, optional + 36, 0x200).unwrap();
    put_u32(&mut data, optional + 56, 0x2000).unwrap();
    put_u32(&mut data, optional + 60, 0x400).unwrap();
    put_u32(&mut data, optional + 64, 0xdead).unwrap();
    put_u32(&mut data, optional + 108, 16).unwrap();
    let table = optional + 240;
    data[table..table + 5].copy_from_slice(b".text");
    for (field, value) in [(8, 0x123), (12, 0x1000), (16, 0x200), (20, 0x400), (36, 0x6000_0020)] {
        put_u32(&mut data, table + field, value).unwrap();
    }
    data
}

fn parts<'a>() -> Parts<'a> {
    Parts {
        os_release: "ID=burin\n",
        cmdline: "a=1 b",
        uname: "6.1-x",
        kernel: &[7; 5000],
        initrd: &[9; 70_001],
        sbat: "burin,1,us,burin,0,https://burin.dev\n",
    }
}

#[test]
fn sections_can_be_read_back() {
    let image = build(&stub(), &parts(), Arch::X86_64).unwrap();
    let pe = PeFile64::parse(&*image).unwrap();
    let mut end = 0;
    let mut found = Vec::new();
    for section in pe.sections() {
        assert!(section.address() >= end, "{:?} overlaps", section.name());
        end = section.address() + section.size();
        found.push((section.name().unwrap().to_owned(), section.address() % 4096, section.data().unwrap().to_vec()));
    }
    let names: Vec<&str> = found.iter().map(|f| f.0.as_str()).collect();
    assert_eq!(names, [".text", ".sbat", ".osrel", ".cmdline", ".uname", ".linux", ".initrd"]);
    assert!(found.iter().all(|f| f.1 == 0));
    assert_eq!(found[3].2, b"a=1 b");
    assert_eq!(found[5].2, vec![7; 5000]);
    assert_eq!(found[6].2, vec![9; 70_001]);
    let sbat = String::from_utf8(found[1].2.clone()).unwrap();
    assert!(
        sbat.starts_with("sbat,1,SBAT Version,") && sbat.ends_with("\nburin,1,us,burin,0,https://burin.dev\n"),
        "{sbat}"
    );
    let header = pe.nt_headers().optional_header;
    assert!(u64::from(header.size_of_image.get(object::LittleEndian)) >= end);
    assert_eq!(header.check_sum.get(object::LittleEndian), 0);
    assert_eq!(image, build(&stub(), &parts(), Arch::X86_64).unwrap());
}

/// Revocation uses these lines, so the stub's own must stay.
#[test]
fn the_stubs_own_sbat_comes_first() {
    let mut data = stub();
    let table = 0x98 + 240;
    data[table..table + 8].copy_from_slice(b".sbat\0\0\0");
    let lines = b"sbat,1,SBAT Version,sbat,1,u\nsystemd,1,them,systemd,252,u\n";
    data[0x400..0x400 + lines.len()].copy_from_slice(lines);
    let image = build(&data, &parts(), Arch::X86_64).unwrap();
    let pe = PeFile64::parse(&*image).unwrap();
    let named: Vec<_> = pe.sections().filter(|section| section.name() == Ok(".sbat")).collect();
    assert_eq!(named.len(), 1, "who looks for it finds all of it");
    let text = String::from_utf8(named[0].data().unwrap().to_vec()).unwrap();
    assert_eq!(text, format!("{}burin,1,us,burin,0,https://burin.dev\n", String::from_utf8_lossy(lines)));
}

#[test]
fn a_stub_of_another_architecture_is_refused() {
    let error = build(&stub(), &parts(), Arch::Aarch64).unwrap_err();
    assert_eq!(error.to_string(), "the EFI stub is for PE machine 0x8664, the kernel for aarch64 (0xaa64)");
}

#[test]
fn a_full_header_is_refused() {
    let mut data = stub();
    put_u32(&mut data, 0x98 + 60, 0x200).unwrap();
    assert_eq!(build(&data, &parts(), Arch::X86_64).unwrap_err(), UkiError::HeadersFull(6));
}

/// The arm64 stub's headers are followed by no-ops, and it has few data directories.
#[test]
fn no_ops_are_slack_but_code_is_not() {
    let mut data = stub();
    let start = 0x98 + 240 + 40;
    for word in data[start..0x400].chunks_mut(4) {
        word.copy_from_slice(&0xd503_201f_u32.to_le_bytes()[..word.len()]);
    }
    put_u32(&mut data, 0x98 + 108, 4).unwrap();
    put_u32(&mut data, 0x98 + 112 + 32, 0xabcd).unwrap();
    let image = build(&data, &parts(), Arch::X86_64).unwrap();
    assert_eq!(u32_at(&image, 0x98 + 112 + 32), Some(0xabcd));
    data[start + 50] ^= 1;
    assert_eq!(build(&data, &parts(), Arch::X86_64).unwrap_err(), UkiError::HeadersFull(6));
}

#[test]
fn an_image_is_no_stub() {
    let image = build(&stub(), &parts(), Arch::X86_64).unwrap();
    assert!(matches!(build(&image, &parts(), Arch::X86_64), Err(UkiError::Section(_))));
    assert!(matches!(build(b"MZ", &parts(), Arch::X86_64), Err(UkiError::Stub(_))));
    assert!(matches!(build(b"", &parts(), Arch::X86_64), Err(UkiError::Stub(_))));
}

proptest! {
    #[test]
    fn no_stub_panics(patches in prop::collection::vec((0usize..0x600, any::<u8>()), 0..20)) {
        let mut data = stub();
        for (at, byte) in patches {
            data[at] = byte;
        }
        // Huge alignments would only fill memory with zeros.
        prop_assume!(u32_at(&data, 0x98 + 36).is_none_or(|a| a <= 0x10000));
        let _ = build(&data, &parts(), Arch::X86_64);
    }
}

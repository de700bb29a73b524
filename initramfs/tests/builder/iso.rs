//! ISO images, checked with the tools that made them, and by the bytes that firmware reads.

use burin_initramfs::iso::{IsoOptions, iso, set_conf};
use burin_initramfs::options::ExtraFile;
use std::path::{Path, PathBuf};
use std::process::Command;

const MTIME: u32 = 1_700_000_000;

/// The results of `build` that an image is made from.
fn built(dir: &Path) -> PathBuf {
    let from = dir.join("out");
    std::fs::create_dir_all(&from).unwrap();
    std::fs::write(from.join("vmlinuz"), vec![7; 300_000]).unwrap();
    std::fs::write(from.join("initramfs.cpio.zst"), vec![8; 2_000_000]).unwrap();
    std::fs::write(from.join("NOTICE"), "notice").unwrap();
    let manifest = r#"{"arch": "x86_64", "cmdline": "console=ttyS0 burin.attr.a=1&2"}"#;
    std::fs::write(from.join("manifest.json"), manifest).unwrap();
    from
}

fn has_tools() -> bool {
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let grub = ["i386-pc", "x86_64-efi"].iter().all(|platform| Path::new("/usr/lib/grub").join(platform).is_dir());
    ["xorriso", "mformat", "mcopy", "grub-mkimage"].iter().all(|program| there(program)) && grub
}

fn options(dir: &Path, output: &str) -> IsoOptions {
    let order = dir.join("order.json");
    std::fs::write(&order, "{}").unwrap();
    let conf = dir.join("burin.conf");
    std::fs::write(&conf, "burin.settle=1\n").unwrap();
    IsoOptions {
        from: built(dir),
        output: dir.join(output),
        label: "SITE_7".into(),
        conf: Some(conf),
        files: vec![ExtraFile { source: order, destination: "/orders/a.json".into() }],
        cmdline: vec!["quiet".into()],
        mtime: MTIME,
    }
}

/// A file in the ISO 9660 volume.
fn of_iso(image: &Path, file: &str, dir: &Path) -> Vec<u8> {
    let to = dir.join("extracted");
    let _ = std::fs::remove_file(&to);
    let output = Command::new("xorriso")
        .args(["-osirrox", "on", "-indev"])
        .arg(image)
        .args(["-extract", file])
        .arg(&to)
        .output()
        .unwrap();
    std::fs::read(&to).unwrap_or_else(|_| panic!("{file}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A file in the partition.
fn of_partition(image: &Path, file: &str) -> Vec<u8> {
    let offset = partition(&std::fs::read(image).unwrap());
    let drive = format!("{}@@{offset}", image.display());
    let output = Command::new("mtype").args(["-i", &drive, &format!("::/{file}")]).output().unwrap();
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The offset of the EFI system partition, from the GPT.
fn partition(bytes: &[u8]) -> usize {
    assert_eq!(&bytes[512..520], b"EFI PART");
    let entry = bytes[1024..].chunks_exact(128).take(128).find(|entry| entry.starts_with(&[0x28, 0x73, 0x2a, 0xc1]));
    u64::from_le_bytes(entry.expect("an EFI system partition")[32..40].try_into().unwrap()) as usize * 512
}

#[test]
fn the_same_input_gives_the_same_bytes_and_both_volumes_say_the_same() {
    if !has_tools() {
        return burin_skip::skip!("xorriso, mtools or GRUB is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let options = options(dir, "one.iso");
    iso(&options, &mut |_| {}).unwrap();
    iso(&IsoOptions { output: dir.join("two.iso"), ..options.clone() }, &mut |_| {}).unwrap();
    let image = &options.output;
    let bytes = std::fs::read(image).unwrap();
    assert!(bytes == std::fs::read(dir.join("two.iso")).unwrap(), "two images of the same input differ");

    // Firmware's view: a boot sector, El Torito's record, a UEFI program on a FAT volume.
    assert_eq!(&bytes[510..512], [0x55, 0xaa]);
    assert_eq!(&bytes[17 * 2048..17 * 2048 + 30], b"\0CD001\x01EL TORITO SPECIFICATION");
    assert!(of_partition(image, "EFI/BOOT/BOOTX64.EFI").starts_with(b"MZ"));
    assert_eq!(&bytes[16 * 2048 + 40..16 * 2048 + 47], b"SITE_7 ");

    let menu = String::from_utf8(of_iso(image, "/boot/grub/grub.cfg", dir)).unwrap();
    assert!(
        menu.contains("linux /burin/vmlinuz console=ttyS0 burin.attr.a=1\\&2 burin.medium=SITE_7 quiet\n"),
        "{menu}"
    );
    assert_eq!(of_iso(image, "/burin/vmlinuz", dir).len(), 300_000);
    for file in ["burin.conf", "orders/a.json"] {
        let both = (of_iso(image, &format!("/{file}"), dir), of_partition(image, file));
        let text = String::from_utf8(both.0).unwrap();
        assert!(text.contains(std::str::from_utf8(&both.1).unwrap()), "{file}: {text}");
    }
}

#[test]
fn parameters_are_changed_in_place_in_both_volumes() {
    if !has_tools() {
        return burin_skip::skip!("xorriso, mtools or GRUB is not installed");
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let options = options(dir, "one.iso");
    iso(&options, &mut |_| {}).unwrap();
    let size = std::fs::metadata(&options.output).unwrap().len();
    let conf = dir.join("other.conf");
    let text: String = (0..300).map(|number| format!("[serial=S{number}]\nburin.attr.number={number}\n")).collect();
    std::fs::write(&conf, &text).unwrap();
    set_conf(&options.output, &conf).unwrap();
    assert_eq!(of_partition(&options.output, "burin.conf"), text.as_bytes());
    let kept = String::from_utf8(of_iso(&options.output, "/burin.conf", dir)).unwrap();
    assert!(kept.contains(&text) && !kept.contains("burin.settle=1"));
    assert_eq!(std::fs::metadata(&options.output).unwrap().len(), size);

    let foreign = dir.join("foreign.iso");
    std::fs::write(&foreign, vec![0; 1 << 20]).unwrap();
    assert!(set_conf(&foreign, &conf).unwrap_err().to_string().contains("was not made by"));
    std::fs::write(&conf, vec![b'#'; 70_000]).unwrap();
    assert!(set_conf(&options.output, &conf).unwrap_err().to_string().contains("the maximum is"));
}

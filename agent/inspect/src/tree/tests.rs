//! FAT, in its three widths; the other filesystems are read as whole images in tests/check.

use super::*;
use crate::fuzz;
use std::process::Command;

fn tool(arguments: &[&str]) {
    let (program, arguments) = arguments.split_first().unwrap();
    let output = Command::new(program).args(arguments).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn fat_has_long_names_and_short_ones_in_every_width() {
    let there =
        |program: &str| ["/usr/bin", "/usr/sbin"].iter().any(|at| std::path::Path::new(at).join(program).exists());
    if !there("mformat") || !there("mkfs.vfat") {
        return burin_skip::skip!("mtools or dosfstools are not installed");
    }
    for (width, mib) in [("12", 4u64), ("16", 32), ("32", 40)] {
        let dir = tempfile::tempdir().unwrap();
        let (image, file) = (dir.path().join("fat"), dir.path().join("a long name with é.conf"));
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        let content: Vec<u8> = (0..70_000u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(&file, &content).unwrap();
        let (image, file) = (image.to_str().unwrap(), file.to_str().unwrap());
        tool(&["mkfs.vfat", "-F", width, image]);
        tool(&["mmd", "-i", image, "::/EFI", "::/EFI/BOOT"]);
        tool(&["mcopy", "-i", image, file, "::/EFI/BOOT/"]);
        tool(&["mcopy", "-i", image, file, "::/EFI/BOOT/GRUB.CFG"]);
        // Enough names for a directory with several clusters.
        for index in 0..40 {
            tool(&["mcopy", "-i", image, "/dev/null", &format!("::/EFI/another long file name {index}.txt")]);
        }
        let disk = fuzz::disk(&std::fs::read(image).unwrap());
        let tree = open("vfat", &disk).unwrap_or_else(|error| panic!("{width}: {error}")).tree;
        assert_eq!(tree.read("/EFI/BOOT/a long name with é.conf", 1 << 20).unwrap(), content, "{width}");
        assert_eq!(tree.read("/efi/boot/grub.cfg", 1 << 20).unwrap(), content, "{width}");
        assert_eq!(tree.list("/EFI").unwrap().len(), 41, "{width}");
        assert!(matches!(tree.read("/EFI/BOOT/GRUB.CFG", 100), Err(FsError::TooLarge { .. })));
        assert!(matches!(tree.read("/EFI", 100), Err(FsError::OtherType)));
        assert!(matches!(tree.metadata("/nothing"), Err(FsError::NotFound)));
    }
}

use super::super::grub::tests::image as grub_image;
use super::*;
use crate::error::Coded;
use crate::finalize::guid::Arch;
use std::fs;

const KERNEL: [(&str, &[u8]); 2] =
    [("boot/vmlinuz-6.1.0-10-amd64", b"MZnew"), ("boot/initrd.img-6.1.0-10-amd64", b"new")];

/// Paths of files for the ESP and for the image, with the contents of text files in the image.
fn made(files: &[(&str, &[u8])]) -> Result<(Vec<String>, Vec<String>), BootError> {
    with(files, |system| {
        let made = of_image(system)?;
        let paths = |files: Vec<BootFile>| files.iter().map(BootFile::path).collect();
        Ok((paths(made.esp), paths(made.tree)))
    })
}

fn with<T>(files: &[(&str, &[u8])], act: impl FnOnce(System<'_>) -> T) -> T {
    let tree = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let root = Root::open(tree.path()).unwrap();
    let filesystems = [("/".to_owned(), "image-uuid".to_owned())];
    let esp = image_esp(&root).unwrap();
    let (root_uuid, arch) = ("image-uuid", Arch::X86_64);
    act(System { tree: &root, filesystems: &filesystems, esp, root_uuid, cmdline: &[], arch })
}

#[test]
fn what_the_image_has_for_its_esp_is_copied_whole_and_the_loader_last() {
    let grub = grub_image("/EFI/debian");
    let own: [(&str, &[u8]); 4] = [
        ("boot/efi/EFI/BOOT/BOOTX64.EFI", b"MZ"),
        ("boot/efi/EFI/debian/grubx64.efi", &grub),
        ("boot/efi/EFI/debian/fonts/a.pf2", b"font"),
        ("boot/grub/grub.cfg", b"the image's own"),
    ];
    let (esp, tree) = made(&[own.as_slice(), &KERNEL].concat()).unwrap();
    let wanted = ["EFI/debian/grub.cfg", "EFI/debian/fonts/a.pf2", "EFI/BOOT/BOOTX64.EFI", "EFI/debian/grubx64.efi"];
    assert_eq!(esp, wanted, "GRUB was without the lines that lead to its configuration");
    assert!(tree.is_empty(), "the image's grub.cfg stays: {tree:?}");
    let with_lead: [(&str, &[u8]); 1] = [("boot/efi/EFI/debian/grub.cfg", b"configfile elsewhere")];
    let (esp, _) = made(&[own.as_slice(), &with_lead, &KERNEL].concat()).unwrap();
    assert_eq!(esp.iter().filter(|path| path.ends_with("grub.cfg")).count(), 1);
}

#[test]
fn without_anything_of_its_own_the_packages_loader_is_taken() {
    let grub = grub_image("/EFI/debian");
    let packaged: [(&str, &[u8]); 1] = [("usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", &grub)];
    let (esp, tree) = made(&[packaged.as_slice(), &KERNEL].concat()).unwrap();
    assert!(esp.contains(&"EFI/BOOT/BOOTX64.EFI".to_owned()), "{esp:?}");
    assert_eq!(tree, ["boot/grub/grub.cfg"], "there was none");
    assert_eq!(made(&KERNEL).unwrap_err().code(), "finalize.boot_no_loader");
}

#[test]
fn an_esp_at_boot_brings_no_kernels_along() {
    let own: [(&str, &[u8]); 2] = [("boot/EFI/BOOT/BOOTX64.EFI", b"MZ"), ("boot/loader/loader.conf", b"timeout 1")];
    let (esp, _) = made(&[own.as_slice(), &KERNEL].concat()).unwrap();
    assert_eq!(esp, ["loader/loader.conf", "EFI/BOOT/BOOTX64.EFI"]);
}

#[test]
fn the_esp_gets_a_line_in_fstab_unless_there_is_one() {
    let added =
        |fstab: &str| with(&[("etc/fstab", fstab.as_bytes())], |system| fstab_with_esp(system, "AB-CD").unwrap());
    let line = "UUID=AB-CD /boot/efi vfat umask=0077,nofail 0 2\n";
    assert_eq!(added("LABEL=root / ext4 defaults 0 1").unwrap(), format!("LABEL=root / ext4 defaults 0 1\n{line}"));
    assert_eq!(added("# UUID=x /boot/efi vfat\n").unwrap(), format!("# UUID=x /boot/efi vfat\n{line}"));
    assert_eq!(added("LABEL=ESP /boot/efi vfat\n"), None);
    assert_eq!(with(&[], |system| fstab_with_esp(system, "AB-CD").unwrap()), None);
}

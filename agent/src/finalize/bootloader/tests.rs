//! Trees like those of distributions, and the files that make each bootable.

use super::*;
use crate::error::Coded;
use std::fs;
use std::path::Path;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a directory"));
        for (path, bytes) in files {
            let path = tree.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, bytes).expect("writes");
        }
        tree
    }

    fn prepare(&self, wanted: Bootloader, separate_boot: bool) -> Result<Installation, BootError> {
        let root = Root::open(self.0.path()).expect("opens");
        let mut filesystems = vec![("/".to_owned(), "root-uuid".to_owned()), ("/boot/efi".into(), "AAAA-BBBB".into())];
        if separate_boot {
            filesystems.push(("/boot".to_owned(), "boot-uuid".to_owned()));
        }
        let cmdline = ["console=ttyS0".to_owned(), "opt=a;b".to_owned()];
        let system = System {
            tree: &root,
            filesystems: &filesystems,
            esp: Some("/boot/efi"),
            root_uuid: "root-uuid",
            cmdline: &cmdline,
            arch: Arch::X86_64,
        };
        prepare(system, wanted)
    }
}

const RELEASE: (&str, &[u8]) = ("etc/os-release", b"ID=debian\nPRETTY_NAME=\"Debian 12\"\n");
const KERNEL: [(&str, &[u8]); 4] = [
    ("boot/vmlinuz-6.1.0-9-amd64", b"MZold"),
    ("boot/initrd.img-6.1.0-9-amd64", b"old"),
    ("boot/vmlinuz-6.1.0-10-amd64", b"MZnew"),
    ("boot/initrd.img-6.1.0-10-amd64", b"new"),
];
const SYSTEMD: (&str, &[u8]) = ("usr/lib/systemd/boot/efi/systemd-bootx64.efi", b"MZ");

fn text<'a>(files: &'a [BootFile], path: &str) -> &'a str {
    match files.iter().find(|file| file.path() == path).map(|file| &file.from) {
        Some(Source::Text(text)) => text,
        other => panic!("{path}: {other:?}"),
    }
}

fn copied<'a>(files: &'a [BootFile], path: &str) -> &'a str {
    match files.iter().find(|file| file.path() == path).map(|file| &file.from) {
        Some(Source::Tree(path)) => path,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn systemd_boot_gets_the_newest_kernel_beside_it() {
    let tree = Tree::new(&[&[RELEASE, SYSTEMD][..], &KERNEL].concat());
    for wanted in [Bootloader::SystemdBoot, Bootloader::Auto] {
        let made = tree.prepare(wanted, false).expect("boots");
        assert_eq!((made.bootloader, made.kernel.as_str()), (Bootloader::SystemdBoot, "6.1.0-10-amd64"));
        assert_eq!(copied(&made.esp, "debian/6.1.0-10-amd64/linux"), "boot/vmlinuz-6.1.0-10-amd64");
        assert_eq!(copied(&made.esp, "debian/6.1.0-10-amd64/initrd"), "boot/initrd.img-6.1.0-10-amd64");
        assert_eq!(copied(&made.esp, "EFI/systemd/systemd-bootx64.efi"), SYSTEMD.0);
        // The program that firmware starts by itself comes last.
        assert_eq!(made.esp.last().map(BootFile::path).as_deref(), Some("EFI/BOOT/BOOTX64.EFI"));
        let entry = text(&made.esp, "loader/entries/debian-6.1.0-10-amd64.conf");
        let wanted = "title Debian 12\nversion 6.1.0-10-amd64\nsort-key debian\nlinux /debian/6.1.0-10-amd64/linux\n\
                      initrd /debian/6.1.0-10-amd64/initrd\noptions root=UUID=root-uuid ro console=ttyS0 opt=a;b\n";
        assert_eq!(entry, wanted);
        assert_eq!(text(&made.tree, "etc/kernel/cmdline"), "root=UUID=root-uuid ro console=ttyS0 opt=a;b\n");
        assert_eq!(text(&made.tree, "etc/kernel/entry-token"), "debian\n");
    }
}

#[test]
fn grub_is_led_to_the_filesystem_that_holds_its_configuration() {
    let image = grub::tests::image("/EFI/debian");
    let program: (&str, &[u8]) = ("usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", &image);
    let tree = Tree::new(&[&[RELEASE, program, ("etc/default/grub", b"")][..], &KERNEL].concat());
    for (separate, uuid, at) in [(false, "root-uuid", "/boot"), (true, "boot-uuid", "")] {
        let made = tree.prepare(Bootloader::Grub, separate).expect("boots");
        assert_eq!(copied(&made.esp, "EFI/debian/grubx64.efi"), program.0);
        assert_eq!(copied(&made.esp, "EFI/BOOT/BOOTX64.EFI"), program.0);
        let lead = text(&made.esp, "EFI/debian/grub.cfg");
        assert_eq!(
            lead,
            format!("search.fs_uuid {uuid} root\nset prefix=($root){at}/grub\nconfigfile $prefix/grub.cfg\n")
        );
        let config = text(&made.tree, "boot/grub/grub.cfg");
        let newest = format!(
            "menuentry 'Debian 12, Linux 6.1.0-10-amd64' {{\n    search.fs_uuid {uuid} root\n    \
             linux {at}/vmlinuz-6.1.0-10-amd64 root=UUID=root-uuid ro console=ttyS0 'opt=a;b'\n    \
             initrd {at}/initrd.img-6.1.0-10-amd64\n}}\n"
        );
        assert!(config.contains(&newest), "{config}");
        assert!(config.find("6.1.0-10-amd64") < config.find("6.1.0-9-amd64"));
        let words = text(&made.tree, "etc/default/grub.d/burin.cfg");
        assert_eq!(words, "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX\"' console=ttyS0 opt=a;b'\n");
    }
}

#[test]
fn shim_comes_first_where_the_tree_has_it() {
    let image = grub::tests::image("/EFI/debian");
    let signed: [(&str, &[u8]); 3] = [
        ("usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed", &image),
        ("usr/lib/shim/shimx64.efi.signed", b"MZ"),
        ("usr/lib/shim/mmx64.efi.signed", b"MZ"),
    ];
    let tree = Tree::new(&[&signed[..], &KERNEL].concat());
    let made = tree.prepare(Bootloader::Auto, false).expect("boots");
    for directory in ["EFI/debian", "EFI/BOOT"] {
        assert_eq!(copied(&made.esp, &format!("{directory}/grubx64.efi")), signed[0].0);
        assert_eq!(copied(&made.esp, &format!("{directory}/mmx64.efi")), signed[2].0);
    }
    assert_eq!(copied(&made.esp, "EFI/debian/shimx64.efi"), signed[1].0);
    assert_eq!(copied(&made.esp, "EFI/BOOT/BOOTX64.EFI"), signed[1].0);
}

#[test]
fn packages_that_fill_the_esp_themselves_are_taken_as_they_are() {
    let image = grub::tests::image("/EFI/fedora");
    let tree = Tree::new(&[
        ("boot/efi/EFI/fedora/grubx64.efi", &image),
        ("boot/efi/EFI/fedora/shimx64.efi", b"MZ"),
        ("boot/efi/EFI/BOOT/fbx64.efi", b"MZ"),
        ("boot/grub2/grubenv", b""),
        ("usr/lib/modules/6.9.1.fc40/vmlinuz", b"MZ"),
        ("boot/initramfs-6.9.1.fc40.img", b""),
    ]);
    let made = tree.prepare(Bootloader::Auto, true).expect("boots");
    assert_eq!(copied(&made.esp, "EFI/fedora/shimx64.efi"), "boot/efi/EFI/fedora/shimx64.efi");
    let config = text(&made.tree, "boot/grub2/grub.cfg");
    // The kernel is on one filesystem and its ramdisk on another.
    let wanted = "    search.fs_uuid root-uuid root\n    linux /usr/lib/modules/6.9.1.fc40/vmlinuz root=UUID=root-uuid ro \
                  console=ttyS0 'opt=a;b'\n    search.fs_uuid boot-uuid root\n    initrd /initramfs-6.9.1.fc40.img\n";
    assert!(config.contains(wanted), "{config}");
}

#[test]
fn what_is_missing_is_said() {
    let code = |files: &[(&str, &[u8])], wanted| Tree::new(files).prepare(wanted, false).expect_err("lacks it").code();
    let image = grub::tests::image("/EFI/debian");
    let grub: (&str, &[u8]) = ("usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", &image);
    assert_eq!(code(&KERNEL, Bootloader::Auto), "finalize.boot_no_loader");
    assert_eq!(code(&KERNEL, Bootloader::Grub), "finalize.boot_no_loader");
    assert_eq!(code(&[&[SYSTEMD, grub][..], &KERNEL].concat(), Bootloader::Auto), "finalize.boot_two_loaders");
    assert_eq!(code(&[SYSTEMD], Bootloader::Auto), "finalize.boot_no_kernel");
    assert_eq!(code(&[SYSTEMD, KERNEL[0]], Bootloader::Auto), "finalize.boot_no_ramdisk");
    let packed = [SYSTEMD, ("boot/vmlinuz-1", b"\x1f\x8b"), ("boot/initrd.img-1", b"")];
    assert_eq!(code(&packed, Bootloader::Auto), "finalize.boot_not_efi");
    let strange = [("usr/lib/grub/x86_64-efi/monolithic/grubx64.efi", &b"MZ"[..]), KERNEL[0], KERNEL[1]];
    assert_eq!(code(&strange, Bootloader::Grub), "finalize.boot_no_prefix");
}

#[test]
fn links_in_the_tree_stay_in_the_tree() {
    let tree = Tree::new(&[SYSTEMD, KERNEL[2], KERNEL[3]]);
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("release"), "ID=stolen\n").expect("writes");
    fs::create_dir(tree.0.path().join("etc")).expect("etc");
    std::os::unix::fs::symlink(outside.path().join("release"), tree.0.path().join("etc/os-release")).expect("a link");
    let made = tree.prepare(Bootloader::Auto, false).expect("boots");
    assert!(made.esp.iter().all(|file| !file.directory.contains("stolen")), "{made:?}");
    assert!(Path::new(&outside.path().join("release")).exists());
}

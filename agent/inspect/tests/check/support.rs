//! A small system, made into an image by mke2fs, mformat, mkfs.btrfs and mkfs.xfs, all without root.

use burin_image::{Cancel, Source, open_disk};
use burin_inspect::{CheckOptions, Report, check};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub const ROOT_UUID: &str = "6d0a1f6e-7a0e-4e0c-9d5c-111111111111";
const MIB: u64 = 1 << 20;
const ESP: (u64, u64) = (1, 8);
const ROOT: (u64, u64) = (9, 40);

/// A system in folders.
pub struct Planted {
    pub folder: TempDir,
    /// Behind the root in the table: name and type for sgdisk, MiB.
    pub behind: Option<(&'static str, u64)>,
}

/// Whether a program is there; a test without it says so.
pub fn has(program: &str) -> bool {
    let found =
        ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().any(|folder| Path::new(folder).join(program).exists());
    if !found {
        burin_skip::skip!("{program} is not installed");
    }
    found
}

pub fn run(program: &str, arguments: &[&str], input: Option<&str>) {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").env("MTOOLS_SKIP_CHECK", "1");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    }
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

/// A cpio archive (newc) of empty files.
pub fn cpio(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names.iter().copied().chain(["TRAILER!!!"]) {
        bytes.extend(b"070701");
        for (index, field) in [1, 0o100_644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.len() as u32 + 1, 0].iter().enumerate() {
            assert!(index < 13);
            bytes.extend(format!("{field:08x}").bytes());
        }
        bytes.extend(name.bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Early microcode, and behind it the modules that a server needs, compressed.
pub fn ramdisk(modules: &[&str]) -> Vec<u8> {
    let mut bytes = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    let paths: Vec<String> = modules.iter().map(|name| format!("usr/lib/modules/6.1.0/kernel/{name}.ko.xz")).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    bytes.extend(zstd::stream::encode_all(&cpio(&names)[..], 3).unwrap());
    bytes
}

pub const ALL: &[&str] = &["nvme", "ahci", "megaraid_sas", "virtio_blk", "hv_storvsc", "vmw_pvscsi", "usb-storage"];

/// A PE file of the x86_64 machine with nothing in it.
pub fn program() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x80;
    bytes[0x80..0x86].copy_from_slice(b"PE\0\0\x64\x86");
    bytes[0x98..0x9a].copy_from_slice(&[0x0b, 0x02]);
    bytes
}

impl Planted {
    /// A system in which nothing is wrong.
    pub fn clean() -> Self {
        let planted = Self { folder: TempDir::new().unwrap(), behind: None };
        let root = |path: &str, text: &str| planted.write(path, text.as_bytes());
        root("usr/lib/os-release", "PRETTY_NAME=\"Test Linux 1\"\nID=test\n");
        root("etc/machine-id", "");
        root("etc/passwd", "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
        root("etc/shadow", "root:*:1::::::\nuser:!:1::::::\n");
        root(
            "etc/fstab",
            &format!("UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID=1234-ABCD /boot/efi vfat defaults 0 2\n"),
        );
        root("etc/cloud/cloud.cfg", "datasource_list: [ NoCloud, ConfigDrive ]\n");
        root(
            "etc/netplan/10-all.yaml",
            "network:\n  ethernets:\n    all:\n      match: {name: \"en*\"}\n      dhcp4: true\n",
        );
        root("etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
        root("etc/ssh/sshd_config", "");
        root("var/lib/cloud/.keep", "");
        root("boot/vmlinuz-6.1.0", "kernel");
        root("usr/lib/modules/6.1.0/modules.dep", "kernel/igb.ko:\nkernel/virtio_net.ko:\n");
        root("usr/lib/modules/6.1.0/modules.builtin", "");
        root(
            "boot/grub/grub.cfg",
            &format!(
                "search --no-floppy --fs-uuid --set=root {ROOT_UUID}\n\
                      linux /boot/vmlinuz-6.1.0 root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0\n"
            ),
        );
        planted.write("boot/initrd.img-6.1.0", &ramdisk(ALL));
        fs::create_dir_all(planted.root().join("boot/efi")).unwrap();
        symlink("../usr/lib/os-release", planted.root().join("etc/os-release")).unwrap();
        symlink("usr/lib", planted.root().join("lib")).unwrap();
        planted.esp("EFI/BOOT/BOOTX64.EFI", &program());
        planted
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        self.put(&self.root().join(path), bytes);
    }

    pub fn esp(&self, path: &str, bytes: &[u8]) {
        self.put(&self.folder.path().join("esp").join(path), bytes);
    }

    fn put(&self, path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.folder.path().join(path)).unwrap();
    }

    /// GPT, an ESP, and the root as ext4.
    pub fn ext4(&self) -> PathBuf {
        let image = self.image();
        let offset = format!("offset={},root_owner=0:0", ROOT.0 * MIB);
        let (root, size) = (self.root(), format!("{}k", ROOT.1 * 1024));
        let root = root.to_str().unwrap();
        run(
            "mke2fs",
            &[
                "-q",
                "-F",
                "-t",
                "ext4",
                "-U",
                ROOT_UUID,
                "-L",
                "root",
                "-d",
                root,
                "-E",
                &offset,
                image.to_str().unwrap(),
                &size,
            ],
            None,
        );
        image
    }

    /// The same with another filesystem, which `make` makes in a file of 128 MiB and more.
    pub fn other(&self, make: impl FnOnce(&Path, &Path)) -> PathBuf {
        let image = self.sized(ROOT.0 + 512);
        let part = self.folder.path().join("part");
        fs::File::create(&part).unwrap().set_len(508 * MIB).unwrap();
        make(&part, &self.root());
        let (from, to) = (format!("if={}", part.display()), format!("of={}", image.display()));
        run("dd", &[&from, &to, "bs=1M", &format!("seek={}", ROOT.0), "conv=notrunc,sparse"], None);
        image
    }

    fn image(&self) -> PathBuf {
        self.sized(ROOT.0 + ROOT.1 + self.behind.map_or(0, |(_, size)| size) + 1)
    }

    fn sized(&self, mib: u64) -> PathBuf {
        let image = self.folder.path().join("image.raw");
        fs::File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        let mut script = format!("label: gpt\nstart={}MiB, size={}MiB, type=U\n", ESP.0, ESP.1);
        let size = if mib > 100 { 508 } else { ROOT.1 };
        script.push_str(&format!("start={}MiB, size={size}MiB, type=L\n", ROOT.0));
        if let Some((kind, _)) = self.behind {
            script.push_str(&format!("start={}MiB, type={kind}\n", ROOT.0 + ROOT.1));
        }
        run("sfdisk", &["-q", image.to_str().unwrap()], Some(&script));
        let esp = format!("{}@@{}M", image.display(), ESP.0);
        run("mformat", &["-i", &esp, "-T", &format!("{}", ESP.1 * 2048), "-N", "1234ABCD", "-v", "ESP", "::"], None);
        for entry in fs::read_dir(self.folder.path().join("esp")).unwrap() {
            run("mcopy", &["-s", "-i", &esp, entry.unwrap().path().to_str().unwrap(), "::"], None);
        }
        image
    }
}

/// Looks at an image file.
pub fn look(image: &Path, wanted: &CheckOptions) -> Report {
    let opened = open_disk(Source::File(image.to_owned()), &std::env::temp_dir(), &|_, _| {}, &Cancel::default());
    check(opened.unwrap(), wanted).unwrap()
}

pub fn codes(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.code.as_str()).collect()
}

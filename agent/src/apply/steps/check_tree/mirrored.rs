//! Checks whether the system of an image can boot from a mirror. It must find its root by something that only the array
//! shows (UUID or label of the filesystem), because a partition's GUID or name would lead to a member. Nothing that it
//! mounts may be on one disk only, and its ramdisks must contain mdadm.

use crate::apply::ApplyError;
use crate::finalize::root::Root;
use crate::finalize::system::fstab::{self, Name, Row};
use crate::protocol::plan::TreeNeed;
use crate::tree::TreeError;
use burin_inspect::ramdisk::{self, Ramdisk};
use serde::Serialize;
use std::io;

/// The examined directories of the system.
pub const PLACES: [&str; 2] = ["/etc", "/boot"];
/// No configuration is longer.
const LIMIT: u64 = 4 << 20;
/// The kernel unpacks a ramdisk in memory besides itself, so larger ones do not exist.
const LARGEST: u64 = 512 << 20;
const GRUB: [&str; 2] = ["boot/grub/grub.cfg", "boot/grub2/grub.cfg"];
const ENTRIES: &str = "boot/loader/entries";
const NEXT: [&str; 2] = ["etc/kernel/cmdline", "etc/default/grub"];

/// The findings, for the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Files with kernel command lines that name the root.
    pub command_lines: Vec<String>,
    pub ramdisks: Vec<String>,
    /// Ramdisks that could not be read: it is unknown whether they contain mdadm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

pub fn look(root: &Root) -> Result<Found, ApplyError> {
    let mut found = Found { command_lines: Vec::new(), ramdisks: Vec::new(), unread: Vec::new() };
    for (path, text) in texts(root)? {
        if let Some(word) = wrong_root(&path, &text) {
            return refuse(format!(
                "/{path} says {word}, by which the system would find one of the disks and not the mirror"
            ));
        }
        found.command_lines.push(path);
    }
    for row in fstab::rows(root) {
        if let Some(what) = wrong_row(&row) {
            return refuse(format!("{} is mounted from {what}, which is on one disk only", row.at));
        }
    }
    for path in ramdisks(root)? {
        let bytes = root.read(&path, LARGEST).map_err(|source| failed(&path, source))?;
        let read = ramdisk::read(&bytes);
        match (assembles(&read), &read.broken) {
            (true, _) => found.ramdisks.push(path),
            (false, Some(why)) => {
                log::warn!("/{path}: whether it has mdadm is not known: {why}");
                found.unread.push(path);
            }
            (false, None) => {
                log::warn!("/{path}: no mdadm, or no module raid1, is in this ramdisk");
                return Err(ApplyError::TreeLacks { need: TreeNeed::MirroredRoot, package: "mdadm" });
            }
        }
    }
    Ok(found)
}

fn refuse(what: String) -> Result<Found, ApplyError> {
    Err(ApplyError::NotMirrored { what })
}

fn failed(path: &str, source: io::Error) -> ApplyError {
    TreeError::Io { path: path.to_owned(), action: "read", source }.into()
}

/// Configuration that tells kernels where their root is.
fn texts(root: &Root) -> Result<Vec<(String, String)>, ApplyError> {
    let mut paths: Vec<String> = GRUB.iter().chain(&NEXT).map(|path| (*path).to_owned()).collect();
    let entries = list(root, ENTRIES)?;
    paths.extend(entries.iter().filter(|name| name.ends_with(".conf")).map(|name| format!("{ENTRIES}/{name}")));
    let mut texts = Vec::new();
    for path in paths {
        match root.read(&path, LIMIT) {
            Ok(bytes) => texts.push((path, String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    Ok(texts)
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn list(root: &Root, path: &str) -> Result<Vec<String>, ApplyError> {
    match root.list(path) {
        Err(error) if is_missing(&error) => Ok(Vec::new()),
        names => names.map_err(|error| failed(path, error)),
    }
}

/// The first kernel `root=` that leads to a partition. In grub.cfg other lines set GRUB's own root.
fn wrong_root(path: &str, text: &str) -> Option<String> {
    let is_grub = path.ends_with("grub.cfg");
    let tells = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        !first.starts_with('#') && (!is_grub || matches!(first, "linux" | "linuxefi" | "linux16"))
    };
    let words =
        text.lines().filter(tells).flat_map(|line| line.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')));
    let roots = words.filter_map(|word| Some((word, word.strip_prefix("root=")?)));
    let mut wrong = roots.filter(|(_, value)| !value.is_empty() && !value.starts_with('$') && !shows_array(value));
    wrong.next().map(|(word, _)| word.to_owned())
}

/// Whether it identifies the array, and none of its members.
fn shows_array(value: &str) -> bool {
    const BY: [&str; 6] = ["UUID=", "LABEL=", "/dev/disk/by-uuid/", "/dev/disk/by-label/", "/dev/md", "/dev/mapper/"];
    BY.iter().any(|by| value.starts_with(by))
}

/// How a row of fstab(5) refers to a partition of one disk, or to a member.
fn wrong_row(row: &Row) -> Option<&str> {
    let optional = row.options.iter().any(|option| option == "nofail");
    let wrong = match row.name() {
        Name::FilesystemUuid(_) | Name::FilesystemLabel(_) | Name::None => false,
        // Each disk has a partition of that name; but for the root, both are members.
        Name::PartitionName(_) => row.at == "/",
        Name::PartitionGuid(_) => row.at == "/" || !optional,
        Name::Unstable(device) => !shows_array(&device) && (row.at == "/" || !optional),
    };
    wrong.then_some(row.what.as_str())
}

/// The ramdisks with which boot loaders start the system, by the names that distributions use.
fn ramdisks(root: &Root) -> Result<Vec<String>, ApplyError> {
    let usual = |name: &&String| {
        let made = name.starts_with("initrd.img-") || name.starts_with("initrd-") || name.starts_with("initramfs-");
        // Ramdisks of an undone update, for crash dumps and for rescue are not used for a normal boot.
        let beside = [".old", ".bak", ".dpkg-", "kdump", "rescue", "fallback"].iter().any(|word| name.contains(word));
        made && !beside
    };
    Ok(list(root, "boot")?.iter().filter(usual).map(|name| format!("boot/{name}")).collect())
}

fn assembles(ramdisk: &Ramdisk) -> bool {
    let mut lists = ramdisk.kept.iter().filter(|(name, _)| name.ends_with("/modules.builtin"));
    let built_in = lists.any(|(_, text)| String::from_utf8_lossy(text).contains("/raid1.ko"));
    ramdisk.programs.contains("mdadm") && (built_in || ramdisk.modules.contains("raid1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded;
    use std::fs;

    #[test]
    fn a_root_is_found_by_what_only_the_array_shows() {
        let grub = "boot/grub/grub.cfg";
        for right in [
            "set root='hd0,gpt1'\nlinux /vmlinuz root=UUID=6b1f ro",
            "linux /vmlinuz root=LABEL=root",
            "linux /vmlinuz root=$uuid\n# linux /vmlinuz root=PARTUUID=1",
            "linuxefi /vmlinuz root=/dev/mapper/vg-root",
        ] {
            assert_eq!(wrong_root(grub, right), None, "{right}");
        }
        assert_eq!(wrong_root(grub, "\tlinux\t/vmlinuz root=PARTUUID=1-2 ro").as_deref(), Some("root=PARTUUID=1-2"));
        assert_eq!(wrong_root("etc/kernel/cmdline", "quiet root=/dev/sda1").as_deref(), Some("root=/dev/sda1"));
        let quoted = "GRUB_CMDLINE_LINUX=\"root=PARTLABEL=root quiet\"";
        assert_eq!(wrong_root("etc/default/grub", quoted).as_deref(), Some("root=PARTLABEL=root"));
    }

    #[test]
    fn what_is_mounted_is_on_every_disk_or_not_needed() {
        let wrong = |text: &str| fstab::parse(text).iter().any(|row| wrong_row(row).is_some());
        assert!(!wrong("UUID=1 / ext4 defaults 0 1\nLABEL=ESP /boot/efi vfat umask=0077 0 1\ntmpfs /tmp tmpfs"));
        assert!(!wrong("PARTLABEL=esp /boot/efi vfat\nPARTUUID=1 /boot/efi vfat defaults,nofail"));
        for text in [
            "PARTUUID=1 /boot/efi vfat",
            "/dev/sda15 /boot/efi vfat",
            "PARTLABEL=root / ext4",
            "PARTUUID=1 / ext4 defaults,nofail",
            "/dev/disk/by-path/pci-1-part1 /srv ext4",
        ] {
            assert!(wrong(text), "{text}");
        }
    }

    /// A cpio archive of empty files.
    fn ramdisk(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names.iter().chain(&["TRAILER!!!"]) {
            let length = name.len() + 1;
            bytes.extend(format!("070701{:08x}{:08x}", 0, 0o100_755).bytes());
            bytes.extend(format!("{:08x}", 0).repeat(9).bytes());
            bytes.extend(format!("{length:08x}{:08x}", 0).bytes());
            bytes.extend(name.bytes());
            bytes.resize((bytes.len() + 1).next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn each_ramdisk_has_mdadm_and_the_module() {
        let dir = tempfile::tempdir().unwrap();
        let boot = dir.path().join("boot");
        fs::create_dir_all(&boot).unwrap();
        let root = Root::open(dir.path()).unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(boot.join(name), bytes).unwrap();
        assert!(look(&root).unwrap().ramdisks.is_empty());
        let module = "usr/lib/modules/6.1.0/kernel/drivers/md/raid1.ko";
        put("initrd.img-6.1.0", &ramdisk(&["usr/sbin/mdadm", module]));
        put("initrd.img-6.1.0.old-dkms", b"nothing");
        assert_eq!(look(&root).unwrap().ramdisks, ["boot/initrd.img-6.1.0"]);
        put("initrd.img-6.2.0", b"no archive");
        assert_eq!(look(&root).unwrap().unread, ["boot/initrd.img-6.2.0"]);
        for lacking in [&ramdisk(&[module]), &ramdisk(&["sbin/mdadm"])] {
            put("initrd.img-6.2.0", lacking);
            let error = look(&root).unwrap_err();
            assert_eq!(error.code(), "apply.tree_lacks");
            assert!(error.hint().unwrap().contains("mdadm"));
        }
    }
}

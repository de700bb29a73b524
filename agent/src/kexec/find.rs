//! Finds a boot loader's configuration on a filesystem.

use super::entry::KexecEntry;
use super::{bls, grub};
use crate::finalize::root::Root;

/// More than any such file needs.
const LIMIT: u64 = 1 << 20;
const BLS: [&str; 2] = ["loader/entries", "boot/loader/entries"];
const GRUB: [&str; 4] = ["boot/grub/grub.cfg", "grub/grub.cfg", "boot/grub2/grub.cfg", "grub2/grub.cfg"];

/// The kernel to start from this filesystem; `uuid` is its own.
pub(super) fn entry(root: &Root, uuid: Option<&str>) -> Option<KexecEntry> {
    let usable = |entry: &KexecEntry| entry.has_root() && root.has(&entry.kernel).unwrap_or(false);
    let specified = BLS.into_iter().filter_map(|directory| entries(root, directory)).find(usable);
    let text = |path: &str| root.read(path, LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let configured = || GRUB.into_iter().filter_map(|path| grub::first_entry(&text(path)?)).find(usable);
    specified.or_else(configured).or_else(|| linked(root, uuid).filter(usable))
}

fn entries(root: &Root, directory: &str) -> Option<KexecEntry> {
    let names = root.list(directory).ok()?;
    let read = |name: &String| {
        let bytes = root.read(&format!("{directory}/{name}"), LIMIT).ok()?;
        bls::parse(name, &String::from_utf8_lossy(&bytes))
    };
    let mut entry = bls::best(names.iter().filter(|name| name.ends_with(".conf")).filter_map(read).collect())?;
    // Paths are relative to the entry's partition; if /boot is not a partition, distributions write them as if it were.
    let below = format!("/boot{}", entry.kernel);
    if directory.starts_with("boot/") && root.has(&below).unwrap_or(false) {
        entry.kernel = below;
        entry.initrds = entry.initrds.iter().map(|path| format!("/boot{path}")).collect();
    }
    Some(entry)
}

/// Debian's links to the newest kernel, with their filesystem as root.
fn linked(root: &Root, uuid: Option<&str>) -> Option<KexecEntry> {
    let place = |name: &str| ["/", "/boot/"].into_iter().map(|at| format!("{at}{name}")).find(|path| there(root, path));
    let (kernel, initrd) = (place("vmlinuz")?, place("initrd.img"));
    Some(KexecEntry::new(&kernel, initrd.as_deref(), &format!("root=UUID={} ro", uuid?)))
}

fn there(root: &Root, path: &str) -> bool {
    root.open_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    const CFG: &str = "menuentry 'x' {\n linux /boot/k-1 root=UUID=1 ro\n initrd /boot/i-1\n}\n";

    #[test]
    fn a_specified_entry_counts_before_grubs_and_grubs_before_links() {
        let kernels = [("boot/k-1", ""), ("boot/k-2", ""), ("boot/i-1", "")];
        let conf = "version 2\nlinux /k-2\ninitrd /i-1\noptions root=UUID=2\n";
        let files = [("boot/grub/grub.cfg", CFG), ("boot/loader/entries/a.conf", conf)];
        let (_directory, root) = tree(&[&kernels[..], &files].concat());
        let found = entry(&root, None).unwrap();
        assert_eq!((found.kernel.as_str(), found.options.as_str()), ("/boot/k-2", "root=UUID=2"));
        assert_eq!(found.initrds, ["/boot/i-1"]);
        let (_directory, root) = tree(&[&kernels[..], &files[..1]].concat());
        assert_eq!(entry(&root, None).unwrap().kernel, "/boot/k-1");
    }

    #[test]
    fn debians_links_lead_to_the_kernel_and_nowhere_else() {
        let (directory, root) = tree(&[("boot/vmlinuz-6.1", ""), ("boot/initrd.img-6.1", "")]);
        assert_eq!(entry(&root, Some("1")), None);
        symlink("boot/vmlinuz-6.1", directory.path().join("vmlinuz")).unwrap();
        symlink("boot/initrd.img-6.1", directory.path().join("initrd.img")).unwrap();
        let found = entry(&root, Some("1")).unwrap();
        assert_eq!((found.kernel.as_str(), found.options.as_str()), ("/vmlinuz", "root=UUID=1 ro"));
        assert_eq!(found.initrds, ["/initrd.img"]);
        assert_eq!(entry(&root, None), None, "without a root there is nothing to start");
        // A link out of the image is resolved within it.
        std::fs::remove_file(directory.path().join("vmlinuz")).unwrap();
        symlink(Path::new("/etc/hostname"), directory.path().join("vmlinuz")).unwrap();
        assert_eq!(entry(&root, Some("1")), None);
    }

    #[test]
    fn a_partition_of_its_own_for_boot() {
        let (_directory, root) = tree(&[("grub/grub.cfg", &CFG.replace("/boot/", "/")), ("k-1", ""), ("i-1", "")]);
        assert_eq!(entry(&root, None).unwrap().kernel, "/k-1");
        let (_directory, root) = tree(&[("grub/grub.cfg", CFG)]);
        assert_eq!(entry(&root, None), None, "a kernel that is not there is not started");
    }
}

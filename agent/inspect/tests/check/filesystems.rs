//! The same system on other filesystems and in other image formats.

use crate::support::{Planted, codes, has, look, run};
use burin_inspect::{CheckOptions, Report};
use std::path::Path;

/// fstab and boot loader name a filesystem by what this test makes it.
fn renamed(image: &Planted, filesystem: &str, extra: &str) {
    let uuid = crate::support::ROOT_UUID;
    let line = format!("UUID={uuid} / {filesystem} defaults{extra} 0 1\nUUID=1234-ABCD /boot/efi vfat defaults 0 2\n");
    image.write("etc/fstab", line.as_bytes());
    // Long enough to need several extents, blocks and a large directory.
    for index in 0..300 {
        image.write(&format!("usr/share/many/a-file-with-a-long-name-{index:04}"), b"x");
    }
}

fn is_clean(report: &Report, filesystem: &str) {
    assert_eq!(codes(report), Vec::<&str>::new(), "{:#?} {:?}", report.findings, report.not_looked_at);
    let system = report.system.as_ref().unwrap();
    assert_eq!((system.filesystem.as_str(), system.name.as_str()), (filesystem, "Test Linux 1"));
    assert!(report.not_looked_at.is_empty(), "{:?}", report.not_looked_at);
    assert_eq!(system.kernels[0].drivers["SATA"].ramdisk, ["ahci"]);
}

fn btrfs(part: &Path, root: &Path) {
    let (part, root) = (part.to_str().unwrap(), root.to_str().unwrap());
    run("mkfs.btrfs", &["-q", "-U", crate::support::ROOT_UUID, "--rootdir", root, part], None);
}

#[test]
fn btrfs_is_read() {
    if !["mkfs.btrfs", "sfdisk", "mformat", "dd"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    renamed(&image, "btrfs", "");
    is_clean(&look(&image.other(btrfs), &CheckOptions::default()), "btrfs");
    image.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n");
    assert_eq!(codes(&look(&image.other(btrfs), &CheckOptions::default())), ["check.machine_id"]);
}

/// A protofile (mkfs.xfs(8)) of a folder: names, modes, contents.
fn proto(folder: &Path, depth: usize, out: &mut String) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let pad = " ".repeat(depth);
        if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            out.push_str(&format!("{pad}{name} l--777 0 0 {}\n", target.display()));
        } else if meta.is_dir() {
            out.push_str(&format!("{pad}{name} d--755 0 0\n"));
            proto(&path, depth + 1, out);
            out.push_str(&format!("{pad}$\n"));
        } else {
            out.push_str(&format!("{pad}{name} ---644 0 0 {}\n", path.display()));
        }
    }
}

fn xfs(part: &Path, root: &Path, more: &[&str]) {
    let mut text = "/\n0 0\nd--755 0 0\n".to_owned();
    proto(root, 0, &mut text);
    text.push_str("$\n");
    let file = part.with_extension("proto");
    std::fs::write(&file, text).unwrap();
    let uuid = format!("uuid={}", crate::support::ROOT_UUID);
    let mut arguments = vec!["-q", "-f", "-p", file.to_str().unwrap(), "-m", &uuid];
    arguments.extend(more);
    arguments.push(part.to_str().unwrap());
    run("mkfs.xfs", &arguments, None);
}

#[test]
fn xfs_is_read_in_both_versions() {
    if !["mkfs.xfs", "sfdisk", "mformat", "dd"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    renamed(&image, "xfs", "");
    is_clean(&look(&image.other(|part, root| xfs(part, root, &[])), &CheckOptions::default()), "xfs");
    let old = |part: &Path, root: &Path| xfs(part, root, &["-m", "crc=0", "-b", "size=1024"]);
    is_clean(&look(&image.other(old), &CheckOptions::default()), "xfs");
}

#[test]
fn qcow2_compressions_and_archives_are_read() {
    if !["mke2fs", "sfdisk", "mformat", "mcopy", "qemu-img", "gzip", "tar"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    let raw = image.ext4();
    let beside = |name: &str| image.folder.path().join(name);
    let qcow2 = beside("image.qcow2");
    run("qemu-img", &["convert", "-c", "-O", "qcow2", raw.to_str().unwrap(), qcow2.to_str().unwrap()], None);
    let report = look(&qcow2, &CheckOptions::default());
    assert!(report.is_good() && report.system.is_some());
    assert_eq!(report.image.bytes, std::fs::metadata(&raw).unwrap().len());
    run("gzip", &["-k", "-1", raw.to_str().unwrap()], None);
    let report = look(&beside("image.raw.gz"), &CheckOptions::default());
    assert!(report.is_good() && report.system.is_some());
    assert_eq!(report.image.compression, "gzip");

    image.write("etc/ssh/ssh_host_rsa_key", b"key");
    let archive = beside("root.tar");
    run("tar", &["-C", image.root().to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."], None);
    let report = look(&archive, &CheckOptions::default());
    assert_eq!(codes(&report), ["check.host_keys"]);
    assert_eq!(report.system.as_ref().unwrap().kernels[0].drivers["NVMe"].ramdisk, ["nvme"]);
}

#[test]
fn mbr_with_logical_partitions_and_other_formats() {
    if !["mke2fs", "sfdisk"].into_iter().all(has) {
        return;
    }
    let image = Planted::clean();
    let path = image.folder.path().join("mbr.raw");
    std::fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let script =
        "label: dos\nstart=1MiB, size=60MiB, type=5\nstart=2MiB, size=4MiB, type=82\nstart=8MiB, size=48MiB, type=83\n";
    run("sfdisk", &["-q", path.to_str().unwrap()], Some(script));
    image.write("etc/fstab", b"");
    let (root, offset) = (image.root(), format!("offset={}", 8 << 20));
    let arguments =
        ["-q", "-F", "-t", "ext4", "-U", crate::support::ROOT_UUID, "-d", root.to_str().unwrap(), "-E", &offset];
    run("mke2fs", &[&arguments[..], &[path.to_str().unwrap(), "49152k"]].concat(), None);
    let report = look(&path, &CheckOptions::default());
    assert_eq!(report.table.volumes.iter().map(|one| one.number).collect::<Vec<_>>(), [Some(5), Some(6)]);
    assert_eq!(report.system.as_ref().unwrap().root, "partition 6");
    assert_eq!(codes(&report), ["check.no_boot"]);

    let foreign = image.folder.path().join("disk.vmdk");
    std::fs::write(&foreign, [b"KDMV".as_slice(), &[0; 2000]].concat()).unwrap();
    assert_eq!(codes(&look(&foreign, &CheckOptions::default())), ["check.foreign_format"]);
    let cut = image.folder.path().join("cut.raw");
    std::fs::write(&cut, &std::fs::read(&path).unwrap()[..20 << 20]).unwrap();
    assert!(codes(&look(&cut, &CheckOptions::default())).contains(&"check.cut_short"));
}

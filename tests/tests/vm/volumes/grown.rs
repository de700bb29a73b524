//! An image whose root is in a volume group of its own grows with its partition.

use super::{Bench, MIB, detail};
use burin_tests::deploy::built_for_storage;
use burin_tests::vm::{DiskFile, Slot};
use serde_json::json;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "on demand: scripts/test --storage"]
fn an_image_with_its_root_in_a_volume_group_grows() {
    let netboot = match built_for_storage() {
        Ok((netboot, _)) => netboot,
        Err(reason) => return burin_skip::skip!("{reason}"),
    };
    let _slot = Slot::wait().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    grouped_image(dir.path(), &images.join("grouped.raw"));
    let mut bench = Bench::new(dir.path(), &netboot, &images, 1, 1024 * MIB);
    let url = bench.controller.public_url();
    let receipt = bench.runs(&json!({
        "version": "order/v1", "id": "grouped-1",
        "images": { "grouped": { "urls": [format!("{url}/images/grouped.raw")] } },
        "layouts": [{
            "name": "grouped",
            "disks": { "os": { "on_existing": "destroy", "image": "grouped", "grow": "root" } },
        }],
        "policies": { "finish": "hold", "boot_order": "keep" },
    }));
    let grown = detail(&receipt, "grow-filesystem")[0];
    assert_eq!(grown["volume"], "debian-vg/root", "{grown}");
    assert!(grown["after"].as_u64().is_some_and(|size| size > 900 * MIB), "{grown}");
    let partition = bench.disks[0].0.partitions().unwrap()[0].extent();
    let root = partition.start + MIB..partition.start + MIB + grown["after"].as_u64().unwrap();
    let root = bench.disks[0].0.extract(&root, &dir.path().join("root")).unwrap();
    run("/usr/sbin/e2fsck", &["-f", "-n", &root.path().display().to_string()]);
}

/// A GPT with one partition, a group with one physical volume on it, and a root of 128 MiB in that. LVM writes the
/// group without using device-mapper; the filesystem is copied to where the volume begins.
fn grouped_image(dir: &Path, image: &Path) {
    std::fs::File::create(image).unwrap().set_len(260 * MIB).unwrap();
    let path = image.display().to_string();
    run("/usr/sbin/sgdisk", &["--clear", "--new=1:2048:+256M", "--typecode=1:8e00", &path]);
    let device =
        run("/usr/sbin/losetup", &["--find", "--show", "--offset", "1048576", "--sizelimit", "268435456", &path]);
    let device = device.trim();
    let config = format!(
        "devices {{ filter=[\"a|^{device}$|\",\"r|.*|\"] use_devicesfile=0 hints=\"none\" external_device_info_source=\"none\" \
         obtain_device_list_from_udev=0 }} activation {{ udev_sync=0 udev_rules=0 }} backup {{ backup=0 archive=0 }}"
    );
    let lvm = |words: &[&str]| {
        let (command, rest) = words.split_first().unwrap();
        run("/usr/sbin/lvm", &[&[*command, "--config", &config], rest].concat());
    };
    lvm(&["pvcreate", "--yes", "--dataalignment", "1m", device]);
    lvm(&["vgcreate", "--yes", "debian-vg", device]);
    let size = ["--driverloaded", "n", "-an", "--yes", "-Zn", "-Wn", "--extents", "32", "--name", "root", "debian-vg"];
    lvm(&[&["lvcreate"], &size[..]].concat());
    run("/usr/sbin/losetup", &["--detach", device]);

    let root = dir.join("grouped");
    for (file, text) in [("etc/os-release", "ID=grouped\n"), ("etc/fstab", ""), ("sbin/init", ""), ("usr/lib/x", "")] {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let filesystem = dir.join("grouped.ext4");
    std::fs::File::create(&filesystem).unwrap().set_len(128 * MIB).unwrap();
    run(
        "/usr/sbin/mke2fs",
        &["-q", "-t", "ext4", "-d", &root.display().to_string(), &filesystem.display().to_string()],
    );
    DiskFile::new(image).write(2 * MIB, &std::fs::read(&filesystem).unwrap()).unwrap();
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

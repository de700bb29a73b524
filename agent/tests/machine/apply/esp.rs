//! A boot entry for an EFI system partition in an MBR, with and without a driver for FAT in the kernel.
//!
//! Needs root, util-linux, e2fsprogs, dosfstools and mtools; without root it says that it was skipped.

use crate::support::images::{Maker, order, put};
use crate::support::{Loop, MIB, apply_on, machine, paths, run, skipped};
use burin::apply::Paths;
use burin::protocol::Control;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

#[test]
fn an_mbr_is_named_by_its_signature() {
    if skipped() {
        return;
    }
    let script = "label: dos\nlabel-id: 0x1234abcd\nstart=1MiB, size=32MiB, type=ef, bootable\nsize=24MiB, type=83\n";
    let maker = Maker::new(64, script);
    let esp = maker.node(1);
    run("mkfs.vfat", &[&esp]);
    run("mmd", &["-i", &esp, "::/EFI", "::/EFI/BOOT"]);
    let loader = maker.0.directory.path().join("loader");
    fs::write(&loader, [7; 1000]).expect("writes");
    run("mcopy", &["-i", &esp, loader.to_str().expect("UTF-8"), "::/EFI/BOOT/BOOTX64.EFI"]);
    maker.fill(2, "ext4", &[], |root| put(root, "etc/os-release", "ID=x\n"));
    let order = order(&maker.bytes(), json!({}), json!({ "policies": { "boot_order": "disk-first" } }));

    let disk = Loop::new(128 * MIB, 512);
    let sys = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir("/sys").expect("sysfs").map_while(Result::ok) {
        if entry.file_name() != "firmware" {
            symlink(entry.path(), sys.path().join(entry.file_name())).expect("links");
        }
    }
    let variables = sys.path().join("firmware/efi/efivars");
    fs::create_dir_all(&variables).expect("makes");
    fs::write(variables.join(format!("BootOrder-{GLOBAL}")), [7, 0, 0, 0, 0, 0]).expect("writes");
    let paths = Paths { sys: sys.path().to_owned(), ..paths(&disk) };
    apply_on(&order, &machine(&[disk.described("S1")]), &paths, &|| Control::Continue).1.expect("applies");

    let made = |name: String| name.starts_with("Boot0") && name.ends_with(GLOBAL) && !name.starts_with("BootOrder");
    let entry = fs::read_dir(&variables).expect("reads").map_while(Result::ok);
    let entry =
        entry.filter(|entry| made(entry.file_name().to_string_lossy().into_owned())).max_by_key(fs::DirEntry::path);
    let bytes = fs::read(entry.expect("an entry").path()).expect("reads");
    // UEFI 2.10, 10.3.5.1: hard drive, partition 1 from sector 2048, the signature, MBR and MBR.
    let mut node = vec![4, 1, 42, 0, 1, 0, 0, 0];
    node.extend(2048u64.to_le_bytes());
    node.extend((32 * MIB / 512).to_le_bytes());
    node.extend(0x1234_abcdu32.to_le_bytes());
    node.extend([0; 12]);
    node.extend([1, 1]);
    assert!(bytes.windows(node.len()).any(|window| window == node), "{bytes:?}");
}

//! What can grow, and what reports that it has not grown.
//!
//! Needs root, util-linux and btrfs-progs; without root it says that it was skipped.

use crate::support::images::{Maker, ROOT, carry_out, order, put};
use crate::support::{Loop, MIB, may_grow_ext4, run, skipped};
use serde_json::json;

fn grow(partition: serde_json::Value, filesystem: bool) -> serde_json::Value {
    json!({ "grow": { "partition": partition, "filesystem": filesystem } })
}

/// Its first device was taken out, as tools do that move a system.
#[test]
fn a_btrfs_whose_only_device_is_number_two() {
    if skipped() {
        return;
    }
    let other = Loop::new(160 * MIB, 512);
    let maker = Maker::new(160, &format!("label: gpt\nstart=1MiB, size=150MiB, type={ROOT}\n"));
    run("mkfs.btrfs", &["-q", "-f", other.node()]);
    let mount = maker.0.directory.path().join("moved");
    std::fs::create_dir(&mount).expect("makes");
    let at = mount.to_str().expect("UTF-8");
    run("mount", &["-t", "btrfs", other.node(), at]);
    run("btrfs", &["-q", "device", "add", "-f", &maker.node(1), at]);
    run("btrfs", &["-q", "device", "remove", other.node(), at]);
    put(&mount, "etc/os-release", "ID=x\n");
    run("umount", &[at]);
    let done = carry_out(&order(&maker.bytes(), grow(json!("last"), true), json!({})), 400).well();
    assert!(done.change("grow-filesystem")["after"].as_u64().expect("bytes") > 390 * MIB);
}

#[test]
fn a_logical_partition_grows_with_what_it_lies_in() {
    if skipped() {
        return;
    }
    let script = "label: dos\nstart=1MiB, size=16MiB, type=83\nstart=18MiB, size=62MiB, type=5\n\
                  start=19MiB, size=20MiB, type=83\nstart=40MiB, size=30MiB, type=83\n";
    let maker = Maker::new(90, script);
    maker.fill(6, "ext4", &[], |root| put(root, "etc/os-release", "ID=x\n"));
    for pick in [json!("root"), json!("last"), json!(6)] {
        let done = carry_out(&order(&maker.bytes(), grow(pick, may_grow_ext4()), json!({})), 200).well();
        run("sfdisk", &["--verify", "--quiet", done.disk.node()]);
        let dump = run("sfdisk", &["--json", done.disk.node()]);
        let table: serde_json::Value = serde_json::from_str(&dump).expect("JSON");
        let end = |index: usize| {
            let one = &table["partitiontable"]["partitions"][index];
            (one["start"].as_u64().expect("a start") + one["size"].as_u64().expect("a size")) * 512
        };
        // The primary one and the first logical one are as they were.
        assert_eq!([end(0), end(1), end(2), end(3)], [17 * MIB, 200 * MIB, 39 * MIB, 200 * MIB]);
        assert_eq!(done.change("grow-partition")["grown"], 6);
    }
    // What is not the last one cannot grow.
    let done = carry_out(&order(&maker.bytes(), grow(json!(5), false), json!({})), 200);
    assert_eq!(done.refused(), "image.grow_blocked");
}

#[test]
fn swap_by_its_contents_is_not_grown() {
    if skipped() {
        return;
    }
    let maker = Maker::new(64, &format!("label: gpt\nstart=1MiB, size=40MiB, type={ROOT}\nsize=16MiB\n"));
    maker.fill(1, "ext4", &[], |root| put(root, "etc/os-release", "ID=x\n"));
    run("mkswap", &[&maker.node(2)]);
    let done = carry_out(&order(&maker.bytes(), grow(json!("last"), false), json!({})), 128);
    assert_eq!(done.refused(), "image.not_growable");
}

/// As xorriso and grub-mkrescue make them; and as older tools do, where the first partition is the whole disk.
#[test]
fn a_hybrid_iso_stays_as_it_is() {
    if skipped() {
        return;
    }
    let gpt = "label: gpt\nfirst-lba: 34\nstart=64, size=224\nstart=288, size=4096, type=uefi\nstart=4384, size=8192\n";
    for script in ["label: dos\nstart=1, size=20000, type=0c\n", gpt] {
        let disk = Loop::new(12 * MIB, 512);
        let file = disk.directory.path().join("script");
        std::fs::write(&file, script).expect("writes");
        run("sh", &["-c", &format!("sfdisk --quiet --force {} < {}", disk.node(), file.display())]);
        let mut bytes = std::fs::read(&disk.node).expect("reads");
        bytes[0x8001..0x8006].copy_from_slice(b"CD001");
        bytes[0x8800..0x8820].copy_from_slice(b"\x00CD001\x01EL TORITO SPECIFICATION\0\0");
        if !script.contains("gpt") {
            // The whole disk from its first sector on, and an EFI system partition in it.
            bytes[454..458].copy_from_slice(&0u32.to_le_bytes());
            bytes[462..478].copy_from_slice(&[0, 0, 0, 0, 0xef, 0, 0, 0, 0x20, 1, 0, 0, 0, 0x10, 0, 0]);
        }
        let done = carry_out(&order(&bytes, json!({}), json!({})), 64).well();
        assert!(std::fs::read(&done.disk.node).expect("reads")[..bytes.len()] == bytes, "every byte");
    }
}

/// A volume group's, by its signature alone: its own tools do the rest.
#[test]
fn what_is_in_a_volume_group_is_told_not_to_have_grown() {
    if skipped() {
        return;
    }
    let script = "label: gpt\nstart=1MiB, size=16MiB\nsize=32MiB, type=E6D6D379-F507-44C2-A23C-238F2A3DF928\n";
    let maker = Maker::new(64, script);
    let mut bytes = maker.bytes();
    // A physical volume's label in its second sector, with its checksum (lib/format_text/layout.h of LVM2).
    let at = 17 * MIB as usize + 512;
    let label = &mut bytes[at..at + 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8..16].copy_from_slice(&1u64.to_le_bytes());
    label[20..24].copy_from_slice(&32u32.to_le_bytes());
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(b"0123456789abcdef0123456789abcdef");
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    for pick in [json!("root"), json!("last"), json!(2)] {
        let done = carry_out(&order(&bytes, grow(pick, true), json!({})), 128).well();
        assert_eq!(done.change("grow-partition")["grown"], 2);
        assert_eq!(done.change("grow-filesystem")["not_grown"], "LVM2_member");
    }
}

/// LVM's own start of the usual polynomial.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 })
    })
}

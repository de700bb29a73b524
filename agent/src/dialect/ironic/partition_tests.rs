use super::*;
use crate::protocol::plan::{Device, Step};
use serde_json::json;

/// One disk of 100 GiB.
fn machine(boot_mode: &str) -> Inventory {
    let identity = json!({"kind": "serial", "value": "ACME_S1", "strength": "strong"});
    let disk = json!({"name": "sda", "path": "/dev/sda", "status": "ok", "mounts": [], "signatures": [],
        "logical_block_size": 512, "class": "ssd", "size": 100u64 << 30, "serial": "S1", "identity": identity,
        "identities": [identity], "samples": {"looked_at_bytes": 2228224, "blank": true}});
    let inventory = json!({"schema_version": "inventory/v1", "disks": {"status": "ok", "data": [disk]},
        "cpu": {"status": "ok", "data": {"architecture": "x86_64"}},
        "firmware": {"status": "ok", "data": {"boot_mode": boot_mode}}, "nics": {"status": "ok", "data": []}});
    serde_json::from_value(inventory).unwrap()
}

/// As Ironic sends it for a partition image.
fn info(extra: Value) -> Value {
    let mut info = json!({"id": "root.ext4", "urls": ["http://192.0.2.1/root.ext4"], "disk_format": "raw",
        "os_hash_algo": "sha256", "os_hash_value": "ab".repeat(32), "image_type": "partition",
        "kernel": "http://192.0.2.1/vmlinuz", "ramdisk": "http://192.0.2.1/initrd", "root_gb": 10, "root_mb": 10240,
        "swap_mb": 512, "ephemeral_mb": 1024, "ephemeral_format": null, "preserve_ephemeral": false,
        "deploy_boot_mode": "uefi", "boot_option": "local"});
    info.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    info
}

fn refused(info: Value, node: Value, boot_mode: &str) -> String {
    let fault = layout(&info, &node, &machine(boot_mode), "image").unwrap_err();
    assert_eq!(fault.code, "ironic.partition_image");
    fault.details
}

#[test]
fn sizes_become_partitions_with_the_root_last_and_the_config_drive_before_it() {
    let machine = machine("uefi");
    let iso = {
        let mut iso = vec![0; 0x9000];
        iso[0x8001..0x8006].copy_from_slice(b"CD001");
        iso
    };
    let drive = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(iso)
    };
    let args = json!({"image_info": info(json!({})), "configdrive": drive});
    let several = super::super::disks::Several::Refuse;
    let order = super::super::order::deploy("o", &machine, &json!({}), &args, several, |_| panic!()).unwrap();
    let plan = crate::plan::plan(&machine, &order, &Default::default()).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(Step::name).collect();
    assert_eq!(
        names,
        [
            "wipe",
            "create-table",
            "make-filesystem",
            "make-filesystem",
            "make-filesystem",
            "write-partition",
            "mount",
            "install-boot",
            "write-seed",
            "boot-entry"
        ]
    );
    let table = plan.steps.iter().find_map(|step| match step {
        Step::CreateTable(table) => Some(table),
        _ => None,
    });
    let mut partitions = table.unwrap().partitions.clone();
    partitions.sort_by_key(|partition| partition.start);
    let found: Vec<(&str, u64)> = partitions.iter().map(|one| (one.name.as_str(), one.size / MIB)).collect();
    assert_eq!(found, [("efi", 550), ("ephemeral", 1024), ("swap", 512), ("config-2", 64), ("root", 10240)]);
    let written = plan.steps.iter().find_map(|step| match step {
        Step::WritePartition(it) => Some(it),
        _ => None,
    });
    let root = Device::Partition { disk: 0, name: "root".to_owned(), number: Some(4) };
    assert_eq!(written.unwrap().on, [root], "by the number that the table has for it");
}

#[test]
fn sizes_are_read_as_ironic_writes_them() {
    let sizes = |extra| {
        let made = layout(&info(extra), &json!({}), &machine("uefi"), "image").unwrap();
        made.iter().map(|one| (one.name.clone(), one.size.unwrap().bytes() / MIB)).collect::<Vec<_>>()
    };
    let root = |mib| vec![("efi".to_owned(), 550), ("root".to_owned(), mib)];
    let none = json!({"swap_mb": 0, "ephemeral_mb": "0", "root_mb": null, "root_gb": "20"});
    assert_eq!(sizes(none), root(20480));
    assert_eq!(sizes(json!({"swap_mb": null, "ephemeral_mb": null, "root_mb": "4000"})), root(4000));
    for extra in [json!({"root_mb": null, "root_gb": null}), json!({"root_mb": "big"}), json!({"swap_mb": -1})] {
        refused(info(extra), json!({}), "uefi");
    }
}

#[test]
fn what_cannot_be_kept_or_booted_is_refused_before_anything_is_written() {
    let capabilities = |text: &str| json!({"properties": {"capabilities": text}});
    for (extra, node, boot_mode, word) in [
        (json!({"preserve_ephemeral": true}), json!({}), "uefi", "preserve_ephemeral"),
        (json!({"preserve_ephemeral": "True"}), json!({}), "uefi", "preserve_ephemeral"),
        (json!({}), json!({}), "bios", "BIOS"),
        (json!({"deploy_boot_mode": "bios"}), json!({}), "uefi", "boot mode is bios"),
        (json!({"deploy_boot_mode": null}), capabilities("cpu_vt:true,boot_mode:bios"), "uefi", "boot mode is bios"),
        (json!({"disk_label": "msdos"}), json!({}), "uefi", "disk_label"),
        (json!({}), capabilities("boot_mode:uefi,disk_label:msdos"), "uefi", "disk_label"),
        (json!({"boot_option": "netboot"}), json!({}), "uefi", "netboot"),
        (json!({"ephemeral_format": "ntfs"}), json!({}), "uefi", "ntfs"),
    ] {
        let said = refused(info(extra.clone()), node, boot_mode);
        assert!(said.contains(word), "{extra}: {said}");
    }
    let gpt = capabilities("disk_label:gpt,boot_mode:uefi");
    assert!(layout(&info(json!({})), &gpt, &machine("uefi"), "image").is_ok());
}

#[test]
fn which_image_is_one() {
    assert!(is_one(&info(json!({}))));
    assert!(is_one(&info(json!({"image_type": null}))), "a kernel tells it too");
    assert!(!is_one(&info(json!({"image_type": "whole-disk"}))));
    assert!(!is_one(&json!({"id": "disk.raw", "urls": []})));
}

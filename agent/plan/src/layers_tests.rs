use super::super::testing::machine;
use super::*;
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::Order;
use burin_protocol::plan::steps::InstallBoot;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TO: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// LVM on LUKS on RAID 1, with a tree; `over` replaces keys of the layout.
fn layout(over: Value) -> Value {
    let mut layout = json!({
        "name": "deep",
        "disks": { "os": { "count": 2, "partitions": [
            { "name": "esp", "type": "esp", "size": "512MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
            { "name": "root", "type": "raid" }
        ] } },
        "raid": { "md": { "level": "raid1", "members": { "partition": "os/root" } } },
        "luks": { "crypt": { "on": { "raid": "md" }, "unlock": [
            { "passphrase": { "attribute": "word" } }, { "recovery-key": { "to": TO } }
        ] } },
        "lvm": { "vg": { "on": { "luks": "crypt" }, "volumes": {
            "root": { "size": "20GiB", "filesystem": { "type": "ext4" }, "mount": "/" },
            "swap": { "size": "4GiB", "filesystem": { "type": "swap" } },
            "srv": { "filesystem": { "type": "xfs" }, "mount": "/srv" }
        } } },
        "tree": { "image": "tree", "bootloader": "systemd-boot", "cmdline": ["quiet"] }
    });
    layout.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
    layout
}

fn ordered(layout: Value) -> Order {
    serde_json::from_value(json!({
        "version": "order/v1", "id": "deep-1", "attributes": { "word": "correct horse" },
        "images": { "tree": { "urls": ["https://x/tree.tar"], "format": "tar" } },
        "layouts": [layout]
    }))
    .unwrap()
}

fn run(layout: Value) -> Result<Plan, super::super::Refusal> {
    let disks = json!({ "disks": [{ "serial": "A" }, { "serial": "B" }] });
    super::super::plan(&machine(&disks), &ordered(layout), &BTreeMap::new())
}

#[test]
fn lvm_on_luks_on_raid_is_built_from_below_and_found_again() {
    let plan = run(layout(json!({}))).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(Step::name).collect();
    let wanted = [
        "create-raid",
        "create-luks",
        "create-group",
        "create-volume",
        "create-volume",
        "create-volume",
        "make-filesystem",
    ];
    assert!(names.windows(wanted.len()).any(|some| some == wanted), "{names:?}");
    let luks = plan.steps.iter().find_map(|step| match step {
        Step::CreateLuks(made) => Some(made),
        _ => None,
    });
    let luks = luks.unwrap();
    assert_eq!((luks.on.clone(), luks.keys.len()), (Device::Raid { name: "md".into() }, 2));
    // 480 GB without the ESP, mdadm's reserve and the LUKS header.
    assert!((479_000_000_000..479_600_000_000).contains(&luks.size), "{}", luks.size);
    let root = Device::Volume { group: "vg".into(), name: "root".into() };
    assert_eq!(plan.disks_below(&root), [0, 1]);
    assert!(plan.is_encrypted(&root) && !plan.is_encrypted(&luks.on));
    let boot = plan.steps.iter().find_map(|step| match step {
        Step::InstallBoot(InstallBoot { cmdline, .. }) => Some(cmdline.clone()),
        _ => None,
    });
    let uuid = &luks.uuid;
    let words = [
        format!("cryptopts=target=crypt,source=UUID={uuid},luks"),
        format!("rd.luks.name={uuid}=crypt"),
        "rd.lvm.lv=vg/root".to_owned(),
        "quiet".to_owned(),
    ];
    assert_eq!(boot.unwrap(), words);
    let needs = plan.steps.iter().find_map(|step| match step {
        Step::CheckTree(check) => Some(check.needs.clone()),
        _ => None,
    });
    assert_eq!(needs.unwrap(), [TreeNeed::Lvm, TreeNeed::Luks, TreeNeed::LuksRoot]);
    assert!(names.ends_with(&[
        "check-tree",
        "write-fstab",
        "write-mdadm-conf",
        "write-crypttab",
        "install-boot",
        "boot-entry"
    ]));
    // The same input gives the same plan, and the plan contains nothing that opens the volume.
    let text = serde_json::to_string(&run(layout(json!({}))).unwrap()).unwrap();
    assert_eq!(text, serde_json::to_string(&plan).unwrap());
    assert!(!text.contains("correct horse"));
    assert!(!format!("{:?}", ordered(layout(json!({})))).contains("\"correct\""));
}

#[test]
fn what_has_no_passphrase_is_refused_before_anything_is_touched() {
    let unlock = |unlock: Value| {
        let on = json!({ "crypt": { "on": { "raid": "md" }, "unlock": [unlock] } });
        run(layout(json!({ "luks": on }))).map(|_| ()).map_err(|refusal| refusal.code())
    };
    assert_eq!(unlock(json!({ "passphrase": { "attribute": "none" } })), Err("plan.no_attribute"));
    assert_eq!(unlock(json!({ "passphrase": "" })), Err("plan.bad_value"));
    assert_eq!(unlock(json!({ "passphrase": "a\nb" })), Err("plan.bad_value"));
    // The TPM as the only key, and PCRs that the next boot changes.
    assert_eq!(unlock(json!({ "tpm2": { "pcrs": [7] } })), Err("order.invalid"));
    assert_eq!(unlock(json!({ "generated": { "to": TO } })), Ok(()));
}

#[test]
fn what_the_tpm_opens_is_told_to_systemd() {
    let luks = |pcrs: Value| {
        json!({ "luks": { "crypt": { "on": { "raid": "md" }, "unlock": [
            { "passphrase": "x" }, { "tpm2": { "pcrs": pcrs } }
        ] } } })
    };
    assert_eq!(run(layout(luks(json!([4])))).unwrap_err().code(), "plan.unsupported");
    let plan = run(layout(luks(json!([7])))).unwrap();
    let text = serde_json::to_string(&plan.steps).unwrap();
    for wanted in ["luks-tpm-root", "=tpm2-device=auto", "\"options\":[\"luks\",\"tpm2-device=auto\"]"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
}

#[test]
fn grub_has_its_boot_where_it_can_read_it() {
    let tree = json!({ "image": "tree", "bootloader": "grub" });
    let refusal = run(layout(json!({ "tree": tree }))).unwrap_err();
    assert_eq!(refusal.code(), "plan.unsupported");
    assert!(refusal.to_string().contains("/boot"), "{refusal}");
    let mut layout = layout(json!({ "tree": tree }));
    layout["disks"]["os"]["partitions"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "boot", "type": "raid", "size": "1GiB" }));
    layout["raid"]["boot"] = json!({
        "level": "raid1", "members": { "partition": "os/boot" }, "filesystem": { "type": "ext4" }, "mount": "/boot"
    });
    run(layout).unwrap();
}

#[test]
fn one_over_several_disks_and_circles_are_refused() {
    let luks = json!({ "crypt": { "on": { "partition": "os/root" }, "unlock": [{ "passphrase": "x" }] } });
    let refusal = run(layout(json!({ "raid": {}, "luks": luks }))).unwrap_err();
    assert_eq!(refusal.code(), "plan.unsupported");
    let luks = json!({ "crypt": { "on": { "volume": "vg/srv" }, "unlock": [{ "passphrase": "x" }] } });
    let refusal = run(layout(json!({ "luks": luks }))).unwrap_err();
    assert_eq!(refusal.code(), "order.invalid");
    assert!(refusal.to_string().contains("/layouts/0/luks/crypt/on"), "{refusal}");
}

#[test]
fn the_seed_and_firmware_find_the_set_through_all_layers() {
    let layout: Layout = serde_json::from_value(layout(json!({}))).unwrap();
    assert_eq!(super::super::steps::system_set(&layout), Some("os"));
}

#[test]
fn uuids_are_as_lvm_writes_them() {
    let uuid = lvm_uuid(&["a", "b"]);
    let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(lengths, [6, 4, 4, 4, 4, 4, 6]);
    assert_ne!(uuid, lvm_uuid(&["a", "c"]));
    assert!(uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
}

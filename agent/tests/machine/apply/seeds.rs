//! Seeds where the system looks for them, whatever the image; otherwise a refusal that says what to do instead.
//!
//! Needs root, util-linux, e2fsprogs, xfsprogs, btrfs-progs, dosfstools and mtools; without root it says that it was
//! skipped.

use crate::support::images::{Done, Maker, ROOT, VAR, carry_out, order, put};
use crate::support::{MIB, run, skipped};
use serde_json::{Value, json};
use std::path::Path;

const META: &str = "var/lib/cloud/seed/nocloud/meta-data";

fn nocloud() -> Value {
    json!({ "seed": { "hostname": "survivor" } })
}

/// A root that is number 1 and another partition, and what the root's fstab says of it.
fn two(kind: &str, row: &dyn Fn(&str) -> String) -> Vec<u8> {
    let maker = Maker::new(
        80,
        &format!("label: gpt\nstart=1MiB, size=40MiB, type={ROOT}\nsize=32MiB, type={kind}, name=\"more\"\n"),
    );
    let uuid =
        maker.fill(2, "ext4", &["-L", "more"], |root| std::fs::create_dir_all(root.join("lib/cloud")).expect("makes"));
    maker.fill(1, "ext4", &[], |root| {
        put(root, "etc/os-release", "ID=x\n");
        put(root, "etc/fstab", &row(&uuid));
        std::fs::create_dir(root.join("var")).expect("makes");
    });
    maker.bytes()
}

fn linux() -> &'static str {
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
}

#[test]
fn var_on_a_partition_of_its_own() {
    if skipped() {
        return;
    }
    let rows: [&dyn Fn(&str) -> String; 4] = [
        &|uuid| format!("UUID={uuid} /var ext4 defaults 0 2\n"),
        &|_| "LABEL=more /var/ ext4 defaults 0 2\n".to_owned(),
        &|_| "/dev/disk/by-partlabel/more /var ext4 defaults 0 2\n".to_owned(),
        &|_| "PARTLABEL=\"more\" /var/lib ext4 defaults 0 2\n".to_owned(),
    ];
    for (number, row) in rows.into_iter().enumerate() {
        let done = carry_out(&order(&two(linux(), row), json!({}), nocloud()), 128).well();
        assert!(done.find(1, "ext4", "meta-data").is_empty());
        let at = if number == 3 { "cloud/seed/nocloud/meta-data" } else { "lib/cloud/seed/nocloud/meta-data" };
        assert_eq!(done.find(2, "ext4", "meta-data"), [Path::new(at)]);
        let seed = done.applied.changes.iter().find(|change| change.step == "write-seed").expect("a change");
        assert!(seed.device.ends_with("p2"), "{}", seed.device);
    }
}

/// A device as fstab names it, by its identifier.
type Spelling<'a> = &'a dyn Fn(&str) -> String;

#[test]
fn var_where_nobody_knows_is_refused_with_the_hint() {
    if skipped() {
        return;
    }
    let rows: [(&str, Spelling<'_>); 5] = [
        (linux(), &|_| "/dev/mapper/vg-var /var ext4 defaults 0 2\n".to_owned()),
        (linux(), &|_| "UUID=01234567-89ab-4def-8123-456789abcdef /var ext4 defaults 0 2\n".to_owned()),
        (linux(), &|_| "/dev/sda2 /var ext4 defaults 0 2\n".to_owned()),
        (linux(), &|_| "tmpfs /var/lib/cloud tmpfs defaults 0 0\n".to_owned()),
        // By its type alone: systemd looks at the machine's id too.
        (VAR, &|_| String::new()),
    ];
    for (kind, row) in rows {
        let done = carry_out(&order(&two(kind, row), json!({}), nocloud()), 128);
        assert_eq!(done.refused(), "finalize.no_place");
        assert!(done.hint().contains("cidata"));
        let bytes = std::fs::read(&done.disk.node).expect("reads");
        assert!(!bytes.windows(8).any(|window| window == b"survivor"), "nothing is put anywhere");
    }
}

/// Fedora Cloud since 40, and openSUSE's way to say it.
#[test]
fn var_in_a_subvolume_of_its_own() {
    if skipped() {
        return;
    }
    for option in ["subvol=var", "rw,subvol=/var,compress=zstd:1"] {
        let maker = Maker::new(160, &format!("label: gpt\nstart=1MiB, size=150MiB, type={ROOT}\n"));
        let uuid = maker.fill(1, "btrfs", &[], |top| {
            for name in ["root", "home", "var"] {
                run("btrfs", &["-q", "subvolume", "create", top.join(name).to_str().expect("UTF-8")]);
            }
            put(top, "root/etc/os-release", "ID=fedora\n");
            std::fs::create_dir(top.join("root/var")).expect("makes");
        });
        maker.visit(1, "btrfs", |top| {
            let rows = format!("UUID={uuid} / btrfs subvol=root 0 0\nUUID={uuid} /var btrfs {option} 0 0\n");
            put(top, "root/etc/fstab", &rows);
        });
        let done = carry_out(&order(&maker.bytes(), json!({}), nocloud()), 200).well();
        assert_eq!(done.find(1, "btrfs", "meta-data"), [Path::new("var/lib/cloud/seed/nocloud/meta-data")]);
    }
}

#[test]
fn a_deployment_of_ostree() {
    if skipped() {
        return;
    }
    // By its type, and by what is in it.
    for kind in [ROOT, linux()] {
        let maker = Maker::new(80, &format!("label: gpt\nstart=1MiB, size=70MiB, type={kind}\n"));
        maker.fill(1, "ext4", &[], |root| {
            put(root, "ostree/deploy/default/deploy/abc.0/usr/lib/os-release", "ID=centos\n");
            for path in ["deploy/abc.0/etc", "deploy/abc.0/var", "var/lib"] {
                std::fs::create_dir_all(root.join("ostree/deploy/default").join(path)).expect("makes");
            }
        });
        let done = carry_out(&order(&maker.bytes(), json!({}), nocloud()), 128).well();
        assert_eq!(done.find(1, "ext4", "meta-data"), [Path::new("ostree/deploy/default").join(META)]);
    }
}

fn with_volumes(labels: &[&str]) -> Vec<u8> {
    let rows: String = labels.iter().map(|_| "size=8MiB\n").collect();
    let maker = Maker::new(64, &format!("label: gpt\nstart=1MiB, size=32MiB, type={ROOT}\n{rows}"));
    maker.fill(1, "ext4", &[], |root| put(root, "etc/os-release", "ID=x\n"));
    for (number, label) in (2..).zip(labels) {
        run("mkfs.vfat", &["-n", label, &maker.node(number)]);
    }
    maker.bytes()
}

fn config_drive() -> Value {
    json!({ "seed": { "format": "config-drive", "hostname": "new-machine" } })
}

#[test]
fn a_seed_volume_of_the_image_is_used_again() {
    if skipped() {
        return;
    }
    let done = carry_out(&order(&with_volumes(&["CONFIG-2"]), json!({}), config_drive()), 128).well();
    assert_eq!(done.change("add-partition")["reused"], 2);
    let dump = run("sfdisk", &["--dump", done.disk.node()]);
    assert_eq!(dump.lines().filter(|line| line.contains("start=")).count(), 2, "{dump}");
    let read =
        run("mtype", &["-i", done.disk.partition(2).to_str().expect("UTF-8"), "::/openstack/latest/meta_data.json"]);
    assert!(read.contains("new-machine"), "{read}");
}

#[test]
fn never_two_seeds() {
    if skipped() {
        return;
    }
    for (labels, seed) in [
        (&["CONFIG-2", "CONFIG-2"][..], config_drive()),
        (&["CIDATA"], config_drive()),
        (&["cidata"], nocloud()),
        (&["CONFIG-2"], nocloud()),
    ] {
        let done = carry_out(&order(&with_volumes(labels), json!({}), seed), 128);
        assert_eq!(done.refused(), "image.second_seed", "{labels:?}");
    }
}

fn mbr(rows: &str) -> Maker {
    let maker = Maker::new(64, &format!("label: dos\nstart=1MiB, size=32MiB, type=83, bootable\n{rows}"));
    maker.fill(1, "ext4", &[], |root| put(root, "etc/os-release", "ID=x\n"));
    maker
}

#[test]
fn an_mbr_takes_seeds_of_both_kinds() {
    if skipped() {
        return;
    }
    let maker = mbr("");
    let done = carry_out(&order(&maker.bytes(), json!({}), nocloud()), 128).well();
    assert_eq!(done.find(1, "ext4", "meta-data"), [Path::new(META)]);
    let seed = json!({ "seed": { "format": "cidata", "hostname": "survivor" } });
    let done = carry_out(
        &order(&maker.bytes(), json!({ "grow": { "partition": "root", "filesystem": false } }), seed.clone()),
        128,
    )
    .well();
    let read = run("mtype", &["-i", done.disk.partition(2).to_str().expect("UTF-8"), "::/meta-data"]);
    assert!(read.contains("survivor"), "{read}");
    run("sfdisk", &["--verify", "--quiet", done.disk.node()]);
    // No entry is left.
    let maker = mbr("size=8MiB\nsize=8MiB\nsize=8MiB\n");
    let done = carry_out(&order(&maker.bytes(), json!({}), seed), 128);
    assert_eq!(done.refused(), "finalize.mbr_unsupported");
    assert!(done.untouched());
}

fn ignition() -> Value {
    json!({ "seed": { "format": "ignition", "user_data": "{\"ignition\": {\"version\": \"3.4.0\"}}" } })
}

#[test]
fn ignition_finds_its_configuration_on_the_systems_that_have_it() {
    if skipped() {
        return;
    }
    let script = |name: &str| {
        format!("label: gpt\nstart=1MiB, size=24MiB, name=\"{name}\"\nsize=24MiB, type={ROOT}, name=\"root\"\n")
    };
    let coreos = |mark: bool| {
        let maker = Maker::new(64, &script("boot"));
        maker.fill(1, "ext4", &["-L", "boot"], |boot| {
            if mark {
                put(boot, "ignition.firstboot", "");
            }
        });
        maker.fill(2, "ext4", &["-L", "root"], |_| {});
        order(&maker.bytes(), json!({}), ignition())
    };
    let text = |done: &Done, kind: &str, path: &str| {
        done.look(1, kind, |root| std::fs::read_to_string(root.join(path)).expect("a configuration"))
    };
    let done = carry_out(&coreos(true), 128).well();
    assert!(text(&done, "ext4", "ignition/config.ign").contains("3.4.0"));
    assert!(done.look(1, "ext4", |root| root.join("ignition.firstboot").exists()), "what starts it stays");
    // A boot partition that starts no Ignition is found out behind the write, and boots nothing.
    assert_eq!(carry_out(&coreos(false), 128).refused(), "image.seed_place");

    let maker =
        Maker::new(150, &format!("label: gpt\nstart=1MiB, size=120MiB, name=\"OEM\"\nsize=24MiB, type={ROOT}\n"));
    maker.fill(1, "btrfs", &["-L", "OEM"], |_| {});
    let done = carry_out(&order(&maker.bytes(), json!({}), ignition()), 200).well();
    assert!(text(&done, "btrfs", "config.ign").contains("3.4.0"));

    // No such system at all: told by the names in its table.
    let done = carry_out(&order(&with_volumes(&[]), json!({}), ignition()), 128);
    assert_eq!(done.refused(), "image.seed_place");
    assert!(done.untouched() && done.disk.bytes == 128 * MIB);
}

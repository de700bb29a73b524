//! What plans refuse, cover and say.

use super::*;

#[test]
fn what_cannot_be_done_yet_is_refused_before_anything_is_touched() {
    let mut order = order(json!({"root": {"partitions": [{"name": "crypt", "type": "luks"}]}}));
    order.layouts[0].luks = serde_json::from_value(json!({
        "secret": {"on": {"partition": "root/crypt"}, "unlock": [{"tpm2": {"pcrs": [7, 11]}}, {"passphrase": "x"}]}
    }))
    .unwrap();
    assert_eq!(refused(json!({"disks": [{"serial": "A"}]}), &order).code(), "plan.unsupported");
}

#[test]
fn luks_and_lvm_that_make_no_sense_are_refused_by_their_place() {
    let on = |over: Value| {
        let mut order =
            order(json!({"root": {"partitions": [{"name": "crypt", "type": "luks"}, {"name": "pv", "type": "lvm"}]}}));
        let layout = &mut order.layouts[0];
        layout.luks = serde_json::from_value(over.get("luks").cloned().unwrap_or_else(|| json!({}))).unwrap();
        layout.lvm = serde_json::from_value(over.get("lvm").cloned().unwrap_or_else(|| json!({}))).unwrap();
        refused(json!({"disks": [{"serial": "A"}]}), &order)
    };
    let lvm = |device: &str, volumes: Value| json!({"lvm": {"vg": {"on": {"partition": device}, "volumes": volumes}}});
    let luks =
        |device: &str, unlock: Value| json!({"luks": {"secret": {"on": {"partition": device}, "unlock": unlock}}});
    let bad = [
        (lvm("root/none", json!({})), "/layouts/0/lvm/vg/on"),
        (lvm("root/pv", json!({"a_rimage": {}})), "/layouts/0/lvm/vg/volumes/a_rimage"),
        (lvm("root/pv", json!({"a": {"type": "thin"}})), "/layouts/0/lvm/vg/volumes/a/pool"),
        (lvm("root/pv", json!({"a": {"copies": 2}})), "/layouts/0/lvm/vg/volumes/a/copies"),
        (lvm("root/pv", json!({"a": {"size": "10%", "weight": 2}})), "/layouts/0/lvm/vg/volumes/a"),
        (
            luks("root/crypt", json!([{"recovery-key": {"to": "age1x"}}])),
            "/layouts/0/luks/secret/unlock/0/recovery-key/to",
        ),
        (lvm("root/pv", json!({"a": {"mount": "/a"}})), "/layouts/0/lvm/vg/volumes/a/mount"),
        (luks("root/crypt", json!([{"tpm2": {"pcrs": [7]}}])), "/layouts/0/luks/secret/unlock"),
        (luks("root/crypt", json!([])), "/layouts/0/luks/secret/unlock"),
        (luks("root/crypt", json!([{"tpm2": {"pcrs": [24]}}])), "/layouts/0/luks/secret/unlock/0/tpm2/pcrs"),
    ];
    for (order, at) in bad {
        let refusal = on(order);
        assert_eq!(refusal.code(), "order.invalid", "{refusal}");
        assert!(refusal.to_string().contains(at), "{refusal}");
    }
}

#[test]
fn an_image_for_other_sectors_is_refused_by_the_plan() {
    let mut order = order(json!({"root": {"image": "debian", "on_existing": "destroy"}}));
    order.images.get_mut("debian").unwrap().sector_size = Some(512);
    let disks = |sector: u64| json!({"disks": [{"serial": "A", "logical_block_size": sector}]});
    let refusal = refused(disks(4096), &order);
    assert_eq!(refusal.code(), "plan.sector_size");
    assert!(refusal.to_string().contains("512-byte sectors") && refusal.hint().is_some());
    plan(&machine(&disks(512)), &order, &BTreeMap::new()).unwrap();
    order.images.get_mut("debian").unwrap().sector_size = Some(520);
    assert_eq!(refused(disks(512), &order).code(), "order.invalid");
}

#[test]
fn a_tree_boots_by_uefi_or_says_that_it_does_not() {
    let partitions = json!([
        {"name": "esp", "type": "esp", "size": "100MiB", "filesystem": {"type": "vfat"}},
        {"name": "root", "type": "root", "filesystem": {"type": "ext4"}, "mount": "/"}
    ]);
    let mut order = order(json!({"root": {"partitions": partitions}}));
    order.layouts[0].tree = serde_json::from_value(json!({"image": "debian"})).unwrap();
    let machine_of = |mode: &str| json!({"boot_mode": mode, "disks": [{"serial": "A"}]});
    plan(&machine(&machine_of("uefi")), &order, &BTreeMap::new()).unwrap();
    assert_eq!(refused(machine_of("bios"), &order).code(), "plan.unsupported");
    // BIOS with a partition for GRUB on each disk of the set, but not with 4096-byte sectors.
    let mut bios = order.clone();
    let set = bios.layouts[0].disks.get_mut("root").unwrap();
    set.partitions
        .insert(0, serde_json::from_value(json!({"name": "boot", "type": "bios-boot", "size": "1MiB"})).unwrap());
    let found = plan(&machine(&machine_of("bios")), &bios, &BTreeMap::new()).unwrap();
    let install = found.steps.iter().find_map(|step| match step {
        Step::InstallBoot(install) => Some(install),
        _ => None,
    });
    let place = Device::Partition { disk: 0, name: "boot".to_owned(), number: Some(1) };
    assert_eq!(install.map(|install| (install.esps.len(), install.bios.clone())), Some((0, vec![place])));
    assert!(!names(&found).contains(&"boot-entry".to_owned()));
    let uefi = plan(&machine(&machine_of("uefi")), &bios, &BTreeMap::new()).unwrap();
    assert!(uefi.steps.iter().all(|step| !matches!(step, Step::InstallBoot(install) if !install.bios.is_empty())));
    let four_k = json!({"boot_mode": "bios", "disks": [{"serial": "A", "logical_block_size": 4096}]});
    let refusal = refused(four_k, &bios);
    assert!(refusal.code() == "plan.unsupported" && refusal.to_string().contains("4096-byte sectors"), "{refusal}");
    bios.layouts[0].tree.as_mut().unwrap().bootloader = burin_protocol::order::Bootloader::SystemdBoot;
    assert_eq!(refused(machine_of("bios"), &bios).code(), "plan.unsupported");
    order.layouts[0].tree.as_mut().unwrap().cmdline = vec!["quiet splash".to_owned()];
    assert_eq!(refused(machine_of("uefi"), &order).code(), "order.invalid");
    let tree = order.layouts[0].tree.as_mut().unwrap();
    (tree.cmdline, tree.bootloader) = (Vec::new(), burin_protocol::order::Bootloader::None);
    plan(&machine(&machine_of("bios")), &order, &BTreeMap::new()).unwrap();
}

#[test]
fn a_plan_covers_the_ends_of_what_it_overwrites() {
    let order = order(json!({"root": {"image": "debian", "on_existing": "destroy", "match": {"serial": "A"}},
        "data": {"match": {"serial": "B"}, "on_existing": "preserve"}}));
    let digest = |a: &str, b: &str| {
        let disks = json!({"disks": [{"serial": "A", "edges": a}, {"serial": "B", "edges": b}]});
        plan(&machine(&disks), &order, &BTreeMap::new()).unwrap().digest
    };
    assert_ne!(digest("00", "00"), digest("01", "00"));
    // Preserved disks may be in use.
    assert_eq!(digest("00", "00"), digest("00", "01"));
}

#[test]
fn a_simulated_edit_shows_what_changes_and_nothing_else() {
    let machines = vec![
        ("one".to_owned(), machine(&json!({"disks": [{"serial": "A"}]}))),
        ("two".to_owned(), machine(&json!({"disks": [{"serial": "A"}, {"serial": "B", "class": "nvme"}]}))),
    ];
    let a = order(json!({"root": {"image": "debian"}}));
    let mut b = order(json!({"root": {"image": "debian", "order_by": [{"asc": "class"}]}}));
    b.id = "edited".to_owned();
    let rows = simulate(&machines, &a, Some(&b));
    assert_eq!(rows[0].then, None);
    assert!(matches!(&rows[1].now, Outcome::Refused { code, .. } if code == "plan.ambiguous"));
    assert!(matches!(&rows[1].then, Some(Outcome::Plan { disks, .. }) if disks == &["root: ACME_B"]));
}

#[test]
fn layouts_that_no_condition_keeps_apart_are_found() {
    let with = |a: Value, b: Value| {
        let layout = |name: &str, when: Value| json!({"name": name, "when": when, "disks": {"root": {"image": "i"}}});
        let order = json!({"version": "order/v1", "id": "x", "layouts": [layout("a", a), layout("b", b)]});
        overlaps(&parse_value(&order).unwrap()).len()
    };
    let nvme = |test: Value| {
        let mut count = json!({"match": {"class": "nvme"}});
        count.as_object_mut().unwrap().extend(test.as_object().unwrap().clone());
        json!({ "disks": count })
    };
    assert_eq!(with(json!({"attribute.role": "db"}), json!({"attribute.role": ["web", "app"]})), 0);
    assert_eq!(with(json!({"attribute.role": "db"}), json!({"attribute.role": ["web", "DB"]})), 1);
    assert_eq!(with(json!({"attribute.role": "db"}), json!({"attribute.site": "x"})), 1);
    assert_eq!(with(json!({"attribute.role": "db"}), json!({"not": {"attribute.role": "db"}})), 0);
    assert_eq!(with(json!({"attribute.role": {"exists": false}}), json!({"attribute.role": "db"})), 0);
    assert_eq!(with(json!({"system.oem_strings": "a"}), json!({"system.oem_strings": "b"})), 1);
    assert_eq!(with(nvme(json!({"ge": 2})), nvme(json!({"lt": 2}))), 0);
    assert_eq!(with(nvme(json!({"ge": 2})), nvme(json!({"le": 2}))), 1);
    assert_eq!(with(json!({"memory.total": {"ge": "64GiB"}}), json!({"memory.total": {"lt": "64GiB"}})), 0);
}

#[test]
fn explained_plans_and_refusals_name_the_disks_and_the_reason() {
    let two = json!({"disks": [{"serial": "A", "model": "SYS"}, {"serial": "B", "model": "DATA", "read_only": true}]});
    let plan = run(two, &order(json!({"root": {"image": "debian", "grow": "last"}}))).unwrap();
    let text = explain(&plan);
    for part in ["SYS 480.1 GB", "read-only", "ACME_A", "will be LOST: nothing (", "write image `debian`", &plan.digest]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let refusal = refused(json!({"disks": []}), &order(json!({"root": {"image": "debian"}})));
    assert!(explain_refusal(&refusal).contains("plan.no_match"));
}

#[test]
fn disks_and_nics_are_found_by_the_slot_that_they_are_in() {
    let mut order = order(json!({"root": {"image": "debian", "match": {"pci.slot": "Bay 2"}}}));
    order.seed = Some(order::Seed::default());
    order.network = serde_json::from_value(json!({
        "lan": {"match": {"pci.slot": "OCP 1", "lldp.system_name": {"glob": "leaf-*"}}, "interface": {"dhcp4": true}}
    }))
    .unwrap();
    let short = json!({
        "pci": [{"address": "0000:01:00.0", "slot": "Bay 1"}, {"address": "0000:02:00.0", "slot": "Bay 2"},
            {"address": "0000:03:00.0", "slot": "OCP 1"}],
        "disks": [{"serial": "A", "pci_address": "0000:01:00.0"}, {"serial": "B", "pci_address": "0000:02:00.0"}],
        "nics": [
            {"mac": "52:54:00:00:00:01", "pci_address": "0000:03:00.0", "lldp": [{"system_name": "leaf-7"}]},
            {"mac": "52:54:00:00:00:02", "pci_address": "0000:03:00.0", "lldp": []},
            {"mac": "52:54:00:00:00:03", "lldp": [{"system_name": "leaf-8"}]}
        ]
    });
    let plan = run(short, &order).unwrap();
    assert_eq!(plan.disks[0].identity.value, "ACME_B");
    let verdicts: Vec<_> = plan.trace.roles[0].candidates.iter().map(|c| (c.device.as_str(), c.verdict)).collect();
    assert_eq!(verdicts, [("eth0", Verdict::Chosen), ("eth1", Verdict::NoMatch), ("eth2", Verdict::Unknown)]);
}

#[test]
fn absurd_sizes_are_no_arithmetic() {
    let big = json!({"name": "a", "type": "linux", "size": "16383PiB"});
    let mut other = big.clone();
    other["name"] = json!("b");
    let set =
        json!({"root": {"image": "debian", "grow": {"partition": "last", "leave": "16383PiB"}, "add": [big, other]}});
    assert_eq!(refused(json!({"disks": [{"serial": "A"}]}), &order(set)).code(), "plan.too_small");
    let set = json!({"root": {"partitions": [big, other]}});
    assert_eq!(refused(json!({"disks": [{"serial": "A"}]}), &order(set)).code(), "plan.too_small");
}

#[test]
fn fewer_disks_than_the_order_expects_are_no_plan() {
    let expecting = |count: u32| {
        let mut order = order(json!({"root": {"image": "debian", "match": {"serial": "A"}}}));
        order.policies.expected_disks = Some(count);
        order
    };
    // A stick that no order may touch is not counted.
    let short = json!({"disks": [{"serial": "A"}, {"serial": "B"}, {"serial": "USB", "removable": true}]});
    assert_eq!(run(short.clone(), &expecting(2)).unwrap().disks.len(), 1);
    let refusal = refused(short.clone(), &expecting(3));
    assert_eq!(refusal.code(), "plan.few_disks");
    assert!(refusal.to_string().contains("expects 3 disks in this machine, 2 can be had"), "{refusal}");
    assert!(refusal.lacks_a_device());
    let missing = refused(short, &order(json!({"root": {"image": "debian", "match": {"serial": "C"}}})));
    assert!(missing.lacks_a_device());
    let full = json!({"disks": [{"serial": "A", "signatures": [{"kind": "ext4"}]}]});
    assert!(run(full, &expecting(1)).is_err_and(|refusal| !refusal.lacks_a_device()));
}

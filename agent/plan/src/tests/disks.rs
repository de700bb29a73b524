//! Which disks are chosen, and why the others are not.

use super::*;

#[test]
fn the_only_disk_is_planned() {
    let order = order(json!({"root": {"image": "debian", "grow": "last"}}));
    let plan = run(json!({"disks": [{"serial": "A"}]}), &order).unwrap();
    assert_eq!(plan.disks[0].identity.value, "ACME_A");
    assert_eq!(names(&plan), ["write-image", "relocate-backup-gpt", "grow-partition", "grow-filesystem", "boot-entry"]);
    assert_eq!(plan.trace.sets[0].candidates[0].verdict, Verdict::Chosen);
    assert!(plan.digest.starts_with("sha256:"));
}

#[test]
fn bios_machines_get_no_boot_entry() {
    let order = order(json!({"root": {"image": "debian"}}));
    let plan = run(json!({"disks": [{"serial": "A"}], "boot_mode": "bios"}), &order).unwrap();
    assert_eq!(names(&plan), ["write-image", "relocate-backup-gpt"]);
}

#[test]
fn two_equal_disks_are_ambiguous_and_both_are_named() {
    let refusal =
        refused(json!({"disks": [{"serial": "A"}, {"serial": "B"}]}), &order(json!({"root": {"image": "debian"}})));
    assert_eq!(refusal.code(), "plan.ambiguous");
    let text = refusal.to_string();
    assert!(text.contains("ACME_A") && text.contains("ACME_B"), "{text}");
    assert!(refusal.trace.sets[0].candidates.iter().all(|candidate| candidate.verdict == Verdict::Tied));
}

#[test]
fn no_match_names_the_nearest_miss_with_what_was_observed() {
    let set = json!({"root": {"image": "debian", "match": {"class": "ssd", "size": {"ge": "1TB"}, "model": "X"}}});
    let short = json!({"disks": [{"serial": "A", "class": "hdd", "model": "Y"}, {"serial": "B", "model": "X"}]});
    let refusal = refused(short, &order(set));
    assert_eq!(refusal.code(), "plan.no_match");
    let text = refusal.to_string();
    assert!(text.contains("size ≥ 1TB") && text.contains("480103981056"), "{text}");
    let nearest: Vec<_> = refusal.trace.sets[0].candidates.iter().filter(|c| c.nearest_miss).collect();
    assert_eq!(nearest.len(), 1);
    assert_eq!(nearest[0].device, "/dev/sd1");
}

#[test]
fn one_that_matches_when_two_are_wanted_is_not_called_passed_over_by_others() {
    let refusal =
        refused(json!({"disks": [{"serial": "A"}]}), &order(json!({"root": {"image": "debian", "count": 2}})));
    assert_eq!(refusal.trace.sets[0].candidates[0].reason, "matches, but too few do");
    assert!(refusal.to_string().contains("exactly 2, 1 can be had"), "{refusal}");
}

#[test]
fn every_gate_keeps_a_disk_out_with_its_code() {
    for (code, disk) in [
        ("size-zero", json!({"size": 0})),
        ("read-only", json!({"read_only": true})),
        ("removable", json!({"removable": true})),
        ("virtual-media", json!({"virtual_media": true})),
        ("multipath-path", json!({"multipath_member": true})),
        ("boot-medium", json!({"boot_medium": true})),
        ("in-use", json!({"holders": ["dm-0"]})),
        ("in-use", json!({"partitions": [{"number": 1, "holders": ["md0"]}]})),
        ("in-use", json!({"mounts": [{"mountpoint": "/"}]})),
        ("in-use", json!({"mounts": null})),
        ("remote", json!({"remote": true})),
        ("failing", json!({"health": {"state": "failing"}})),
        ("not-a-disk", json!({"media": "cdrom"})),
        ("zoned", json!({"zoned": "host-managed"})),
        ("locked", json!({"erase": {"ata_security": {"locked": true}}})),
        ("block-size", json!({"logical_block_size": null})),
        ("unread", json!({"status": "timeout"})),
        ("unaddressable", json!({"identity": {}, "identities": []})),
    ] {
        let mut with_serial = disk.clone();
        with_serial["serial"] = json!("A");
        let refusal = refused(json!({"disks": [with_serial]}), &order(json!({"root": {"image": "debian"}})));
        assert_eq!(refusal.code(), "plan.no_match", "{code}");
        let gates = &refusal.trace.sets[0].candidates[0].gates;
        assert!(gates.iter().any(|gate| gate.code == code), "{code}: {gates:?}");
    }
    let set = json!({"root": {"image": "debian", "allow": ["removable", "remote", "failing"]}});
    let disk = json!({"serial": "A", "removable": true, "remote": true, "health": {"state": "failing"}});
    assert!(run(json!({"disks": [disk]}), &order(set)).is_ok());
}

#[test]
fn a_disk_is_empty_only_where_nothing_is_known_and_samples_are_blank() {
    let set = order(json!({"root": {"image": "debian"}}));
    let refusal = |disk: Value| refused(json!({"disks": [disk]}), &set);
    let data = json!({"serial": "A", "samples": {"looked_at_bytes": 1_052_672, "blank": false}});
    let found = refusal(data.clone());
    assert_eq!(found.code(), "plan.on_existing");
    assert!(found.to_string().contains("contents that are not known (1.1 MB looked at)"), "{found}");
    let found = refusal(json!({"serial": "A", "samples": null}));
    assert!(found.to_string().contains("contents that are not known (nobody looked)"), "{found}");

    let blank = run(json!({"disks": [{"serial": "A"}]}), &set).unwrap();
    assert!(
        explain(&blank).contains("will be LOST: nothing (both ends and samples between are blank, 2.2 MB looked at)")
    );
    let destroy = order(json!({"root": {"image": "debian", "on_existing": "destroy"}}));
    let lost = run(json!({"disks": [data]}), &destroy).unwrap();
    assert!(explain(&lost).contains("will be LOST: contents that are not known"), "{}", explain(&lost));
    assert!(lost.disks[0].existing.unknown);
}

#[test]
fn half_written_disks_wait_for_their_own_order() {
    let set = order(json!({"root": {"image": "debian"}}));
    let marked = |id: &str| {
        json!({"disks": [{
            "serial": "A", "unfinished": id, "samples": {"looked_at_bytes": 4096, "blank": false}
        }]})
    };
    let plan = run(marked(&set.id), &set).unwrap();
    assert!(explain(&plan).contains(&format!("will be LOST: what the order {} left half written", set.id)));
    let refusal = refused(marked("another"), &set);
    assert_eq!(refusal.code(), "plan.on_existing");
    assert!(refusal.to_string().contains("what the order another left half written"), "{refusal}");
}

#[test]
fn what_is_on_a_disk_is_refused_destroyed_or_preserved() {
    let used = json!({"disks": [{
        "serial": "A", "partition_table": "gpt", "partition_table_id": "g",
        "partitions": [{"number": 1, "label": "data", "signatures": [{"kind": "ext4", "label": "photos"}]}]
    }]});
    let refusal = refused(used.clone(), &order(json!({"root": {"image": "debian"}})));
    assert_eq!(refusal.code(), "plan.on_existing");
    assert!(refusal.to_string().contains("ext4 \"photos\""), "{refusal}");

    let plan = run(used.clone(), &order(json!({"root": {"image": "debian", "on_existing": "destroy"}}))).unwrap();
    assert_eq!(plan.disks[0].existing.partitions[0].contents[0].label.as_deref(), Some("photos"));

    let set = json!({"keep": {"on_existing": "preserve"}});
    let plan = run(used, &order(set)).unwrap();
    assert_eq!(plan.steps, [Step::Preserve(Preserve { disks: vec![0] })]);
    assert_eq!(plan.disks[0].fate, Fate::Preserved);

    // Contents that could not be read may be anything.
    let unread = json!({"disks": [{"serial": "A", "signatures": null}]});
    assert_eq!(refused(unread, &order(json!({"root": {"image": "debian"}}))).code(), "plan.on_existing");
}

#[test]
fn protected_disks_are_never_chosen_even_when_they_only_might_match() {
    let sets = json!({
        "data": {"protect": true, "match": {"model": {"glob": "DATA*"}}},
        "root": {"image": "debian", "order_by": [{"asc": "size"}]}
    });
    // The smaller one has no model: it might be a data disk.
    let short = json!({"disks": [{"serial": "A", "size": 1_000_000_000u64}, {"serial": "B", "model": "SYS"}]});
    let plan = run(short, &order(sets.clone())).unwrap();
    let root: Vec<_> = plan.disks.iter().filter(|disk| disk.set == "root").collect();
    assert_eq!(root[0].identity.value, "ACME_B");
    assert_eq!(plan.disks.iter().filter(|disk| disk.fate == Fate::Preserved).count(), 1);
    let all = json!({"disks": [{"serial": "A", "model": "DATA1"}]});
    let refusal = refused(all, &order(sets));
    assert!(refusal.to_string().contains("protected"), "{refusal}");
}

#[test]
fn a_disk_wanted_twice_is_an_overlap_unless_one_set_excepts_the_other() {
    let short = json!({"disks": [{"serial": "A", "size": 1_000_000_000u64}, {"serial": "B"}]});
    let sets = |except: Value| {
        json!({
            "a": {"image": "debian", "order_by": [{"asc": "size"}]},
            "b": {"partitions": [{"name": "data", "type": "linux"}], "order_by": [{"asc": "size"}], "except": except}
        })
    };
    assert_eq!(refused(short.clone(), &order(sets(json!([])))).code(), "plan.overlap");
    let plan = run(short, &order(sets(json!(["a"])))).unwrap();
    let by_set: Vec<_> = plan.disks.iter().map(|disk| (disk.set.as_str(), disk.identity.value.as_str())).collect();
    assert_eq!(by_set, [("a", "ACME_A"), ("b", "ACME_B")]);
}

#[test]
fn identifiers_on_other_disks_are_refused_or_warned_about() {
    let guid = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
    let mut order = order(json!({
        "root": {"image": "debian", "match": {"serial": "A"}, "guids": {"disk": guid}}
    }));
    let short = json!({"disks": [{"serial": "A"}, {"serial": "B", "partition_table_id": guid.to_uppercase()}]});
    let refusal = refused(short.clone(), &order);
    assert_eq!(refusal.code(), "plan.collision");
    assert!(refusal.to_string().contains("/dev/sd1"), "{refusal}");
    order.policies.collisions = Collisions::Warn;
    let plan = run(short, &order).unwrap();
    assert_eq!(plan.warnings[0].code, "plan.collision");
}

#[test]
fn an_old_seed_on_another_disk_is_found_before_cloud_init_does() {
    let mut order = order(json!({"root": {"image": "debian", "match": {"serial": "A"}}}));
    order.seed = serde_json::from_value(json!({"format": "cidata", "hostname": "web"})).unwrap();
    let stick = json!({"serial": "B", "signatures": [{"kind": "vfat", "label": "cidata"}]});
    assert_eq!(refused(json!({"disks": [{"serial": "A"}, stick]}), &order).code(), "plan.collision");
    let plan = run(json!({"disks": [{"serial": "A"}]}), &order).unwrap();
    let steps = names(&plan);
    let expected = ["write-image", "relocate-backup-gpt", "add-partition", "write-seed", "boot-entry"];
    assert_eq!(steps, expected);
}

#[test]
fn a_mirror_has_its_array_and_an_esp_on_each_disk() {
    let order = parse_value(&json!({
        "version": "order/v1", "id": "mirror",
        "images": { "tree": { "urls": ["http://x/t.tar.zst"], "format": "tar" } },
        "layouts": [ {
            "name": "mirror",
            "disks": { "os": { "count": 2, "same": ["size"], "partitions": [
                { "name": "esp", "type": "esp", "size": "512MiB", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" },
                { "name": "root", "type": "raid" }
            ] } },
            "raid": { "root": { "level": "raid1", "members": { "partition": "os/root" },
                "filesystem": { "type": "ext4", "label": "root" }, "mount": "/" } },
            "tree": { "image": "tree" }
        } ]
    }))
    .unwrap();
    let plan = run(json!({"disks": [{"serial": "B"}, {"serial": "A"}]}), &order).unwrap();
    assert_eq!(
        names(&plan),
        [
            "wipe",
            "create-table",
            "wipe",
            "create-table",
            "create-raid",
            "make-filesystem",
            "make-filesystem",
            "make-filesystem",
            "mount",
            "mount",
            "unpack-tree",
            "write-fstab",
            "write-mdadm-conf",
            "install-boot",
            "boot-entry"
        ]
    );
    let mounts: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|s| if let Step::Mount(Mount { at, .. }) = s { Some(at.as_str()) } else { None })
        .collect();
    assert_eq!(mounts, ["/", "/boot/efi"]);
    let Some(Step::CreateRaid(CreateRaid { members, .. })) = plan.steps.get(4) else { panic!() };
    assert_eq!(
        members.clone(),
        [0, 1].map(|disk| Device::Partition { disk, name: "root".to_owned(), number: Some(2) })
    );
    let Some(Step::InstallBoot(InstallBoot { esps, .. })) =
        plan.steps.iter().find(|s| matches!(s, Step::InstallBoot(_)))
    else {
        panic!()
    };
    assert_eq!(esps.len(), 2);
    let Some(Step::WriteFstab(WriteFstab { entries })) = plan.steps.iter().find(|s| matches!(s, Step::WriteFstab(_)))
    else {
        panic!()
    };
    let esp = entries.iter().find(|entry| entry.at == "/boot/efi").unwrap();
    assert!(esp.options.contains(&"nofail".to_owned()), "the machine boots with either disk pulled");
    let Some(Step::BootEntry(BootEntry { disks, .. })) = plan.steps.last() else { panic!() };
    assert_eq!(disks, &[0, 1]);
}

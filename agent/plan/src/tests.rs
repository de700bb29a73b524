use super::testing::machine;
use super::*;
use burin_protocol::error::Coded;
use burin_protocol::order::{self, parse_value};
use burin_protocol::plan::steps::{BootEntry, CreateRaid, InstallBoot, Mount, Preserve, WriteFstab, WriteSeed};
use burin_protocol::plan::{Device, Verdict};
use serde_json::{Value, json};

fn order(disks: Value) -> Order {
    parse_value(&json!({
        "version": "order/v1", "id": "test",
        "images": { "debian": { "urls": ["http://x/debian.raw"] } },
        "layouts": [ { "name": "only", "disks": disks } ]
    }))
    .unwrap()
}

fn run(short: Value, order: &Order) -> Result<Plan, Refusal> {
    plan(&machine(&short), order, &BTreeMap::new())
}

fn refused(short: Value, order: &Order) -> Refusal {
    run(short, order).unwrap_err()
}

fn names(plan: &Plan) -> Vec<String> {
    let word = |step: &Step| serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned();
    plan.steps.iter().map(word).collect()
}

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

    // What could not be read may be anything.
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

#[test]
fn attributes_win_by_source_and_the_trace_says_which() {
    let mut order = order(json!({"root": {"image": "debian", "match": {"serial": {"attribute": "disk"}}}}));
    order.attributes.insert("disk".to_owned(), json!("A"));
    let mut inventory = machine(&json!({"disks": [{"serial": "A"}, {"serial": "B"}, {"serial": "C"}]}));
    inventory.system.data.oem_strings = vec!["burin.attr.disk=C".to_owned(), "unrelated".to_owned()];
    let line = BTreeMap::from([("disk".to_owned(), "B".to_owned())]);
    let chosen = |order: &Order, line: &BTreeMap<String, String>| {
        plan(&inventory, order, line).unwrap().disks[0].identity.value.clone()
    };
    assert_eq!(chosen(&order, &line), "ACME_A");
    let traced = plan(&inventory, &order, &line).unwrap().trace.attributes.remove(0);
    assert_eq!(traced.overridden.len(), 2);
    order.attributes.clear();
    assert_eq!(chosen(&order, &line), "ACME_B");
    assert_eq!(chosen(&order, &BTreeMap::new()), "ACME_C");
}

#[test]
fn layouts_are_chosen_by_when_and_each_that_does_not_apply_says_why() {
    let layout = |name: &str, when: Value, priority: i32| json!({"name": name, "when": when, "priority": priority, "disks": {"root": {"image": "debian"}}});
    let with = |layouts: Vec<Value>| {
        parse_value(&json!({
            "version": "order/v1", "id": "x", "attributes": {"role": "db"},
            "images": {"debian": {"urls": ["http://x/y"]}}, "layouts": layouts
        }))
        .unwrap()
    };
    let short = json!({"disks": [{"serial": "A"}], "system": {"manufacturer": "ACME"}});
    let db = json!({"attribute.role": "db"});
    let none = with(vec![
        layout("web", json!({"attribute.role": "web"}), 0),
        layout("dell", json!({"system.manufacturer": {"glob": "Dell*"}}), 0),
        layout("big", json!({"disks": {"match": {"class": "nvme"}, "ge": 2}}), 0),
    ]);
    let refusal = refused(short.clone(), &none);
    assert_eq!(refusal.code(), "plan.no_layout");
    let text = refusal.to_string();
    for part in [
        "`web` wants attribute.role = web, which is \"db\"",
        "ACME",
        "number of disks with class = nvme ≥ 2, which is 0",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let two = with(vec![layout("a", db.clone(), 1), layout("b", db.clone(), 1), layout("c", db.clone(), 0)]);
    assert_eq!(refused(short.clone(), &two).code(), "plan.two_layouts");
    let one = with(vec![layout("a", db.clone(), 1), layout("b", db, 2)]);
    assert_eq!(run(short, &one).unwrap().layout, "b");
}

#[test]
fn a_plan_is_pinned_by_its_digest_to_what_it_does() {
    let root = |grow: Value| order(json!({"root": {"image": "debian", "grow": grow}}));
    let disk = json!({"disks": [{"serial": "A", "health": {"temperature": 30}}]});
    let warmer = json!({"disks": [{"serial": "A", "name": "nvme7n1", "health": {"temperature": 44}}]});
    let larger = json!({"disks": [{"serial": "A", "size": 480_103_981_568u64}]});
    let digest = |short: &Value, order: &Order| run(short.clone(), order).unwrap().digest;
    assert_eq!(digest(&disk, &root(json!("last"))), digest(&warmer, &root(json!("last"))));
    assert_ne!(digest(&disk, &root(json!("last"))), digest(&larger, &root(json!("last"))));
    assert_ne!(digest(&disk, &root(json!("last"))), digest(&disk, &root(json!(1))));
}

#[test]
fn the_seed_holds_what_was_injected_and_its_debug_does_not_show_it() {
    let mut order = order(json!({"root": {"image": "debian"}}));
    order.attributes = serde_json::from_value(json!({"name": "web-17", "keys": ["ssh-ed25519 AAAAC3 ops"]})).unwrap();
    order.seed = serde_json::from_value(json!({
        "hostname": {"attribute": "name"}, "ssh_authorized_keys": {"attribute": "keys"},
        "user_data": "#cloud-config\npassword: hunter2\n"
    }))
    .unwrap();
    let inventory = machine(&json!({"disks": [{"serial": "A"}]}));
    let files = seed(&inventory, &order, &BTreeMap::new()).unwrap().unwrap();
    let meta: Value = serde_json::from_str(&files.files[0].contents).unwrap();
    assert_eq!(meta["local-hostname"], "web-17");
    assert_eq!(meta["instance-id"], "test");
    assert_eq!(meta["public-keys"], json!(["ssh-ed25519 AAAAC3 ops"]));
    assert!(!format!("{files:?}").contains("hunter2"));
    let planned = plan(&inventory, &order, &BTreeMap::new()).unwrap();
    assert!(!serde_json::to_string(&planned).unwrap().contains("hunter2"));
    let Some(Step::WriteSeed(WriteSeed { digest, .. })) =
        planned.steps.iter().find(|s| matches!(s, Step::WriteSeed(_)))
    else {
        panic!()
    };
    assert_eq!(*digest, files.digest());

    order.attributes.clear();
    assert_eq!(plan(&inventory, &order, &BTreeMap::new()).unwrap_err().code(), "plan.no_attribute");
    order.attributes = serde_json::from_value(json!({"name": "not a host name", "keys": []})).unwrap();
    assert_eq!(plan(&inventory, &order, &BTreeMap::new()).unwrap_err().code(), "plan.bad_value");
}

#[test]
fn network_roles_become_mac_matches() {
    let mut order = order(json!({"root": {"image": "debian"}}));
    order.attributes.insert("ip".to_owned(), json!("10.0.0.5/24"));
    order.seed = Some(order::Seed::default());
    order.network = serde_json::from_value(json!({
        "lan": {
            "match": {"speed": {"ge": "10Gbit/s"}, "carrier": true}, "count": 2,
            "bond": {"mode": "802.3ad", "lacp_rate": "fast"},
            "interface": {"addresses": [{"attribute": "ip"}], "gateway": "10.0.0.1", "dns": {"addresses": ["10.0.0.2"]}},
            "vlans": {"storage": {"id": 42, "interface": {"addresses": ["10.42.0.5/16"], "mtu": 9000}}}
        },
        "oob": {"match": {"driver": "e1000e"}, "except": ["lan"], "interface": {"dhcp4": true}}
    }))
    .unwrap();
    let nics = json!([
        {"name": "eth2", "mac": "52:54:00:00:00:03", "speed": 1_000_000_000u64, "carrier": true, "driver": "e1000e"},
        {"name": "eth0", "mac": "52:54:00:00:00:02", "speed": 25_000_000_000u64, "carrier": true, "driver": "ice"},
        {"name": "eth1", "mac": "52:54:00:00:00:01", "speed": 25_000_000_000u64, "carrier": true, "driver": "ice"}
    ]);
    let inventory = machine(&json!({"disks": [{"serial": "A"}], "nics": nics}));
    let files = seed(&inventory, &order, &BTreeMap::new()).unwrap().unwrap();
    let config: Value =
        serde_json::from_str(&files.files.iter().find(|f| f.path == "network-config").unwrap().contents).unwrap();
    assert_eq!(
        config,
        json!({
            "version": 2,
            "ethernets": {
                "lan0": {"match": {"macaddress": "52:54:00:00:00:01"}, "set-name": "lan0"},
                "lan1": {"match": {"macaddress": "52:54:00:00:00:02"}, "set-name": "lan1"},
                "oob": {"match": {"macaddress": "52:54:00:00:00:03"}, "set-name": "oob", "dhcp4": true}
            },
            "bonds": {"lan": {
                "interfaces": ["lan0", "lan1"], "macaddress": "52:54:00:00:00:01",
                "parameters": {"mode": "802.3ad", "lacp-rate": "fast", "mii-monitor-interval": 100},
                "addresses": ["10.0.0.5/24"], "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
                "nameservers": {"addresses": ["10.0.0.2"]}
            }},
            "vlans": {"storage": {"id": 42, "link": "lan", "addresses": ["10.42.0.5/16"], "mtu": 9000}}
        })
    );
    order.attributes.insert("ip".to_owned(), json!("10.0.0.5"));
    assert_eq!(plan(&inventory, &order, &BTreeMap::new()).unwrap_err().code(), "plan.bad_value");
}

#[test]
fn a_section_that_was_not_read_is_no_machine_without_disks() {
    let mut inventory = machine(&json!({"disks": []}));
    inventory.disks.status = hwinventory_types::Status::Timeout;
    let refusal = plan(&inventory, &order(json!({"root": {"image": "debian"}})), &BTreeMap::new()).unwrap_err();
    assert_eq!(refusal.code(), "plan.unread");
    assert_eq!(refused(json!({}), &order(json!({"root": {"image": "debian"}}))).code(), "plan.no_match");
}

#[test]
fn what_cannot_be_done_yet_is_refused_before_anything_is_touched() {
    let mut order = order(json!({"root": {"partitions": [{"name": "crypt", "type": "luks"}]}}));
    order.layouts[0].luks = serde_json::from_value(json!({
        "secret": {"on": {"partition": "root/crypt"}, "unlock": [{"tpm2": {"pcrs": [7]}}, {"recovery-key": {}}]}
    }))
    .unwrap();
    assert_eq!(refused(json!({"disks": [{"serial": "A"}]}), &order).code(), "plan.unsupported");
}

#[test]
fn luks_and_lvm_are_read_checked_and_refused_by_the_plan() {
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
    let filesystem = json!({"type": "xfs", "label": "data"});
    let good = [
        lvm("root/pv", json!({"data": {"size": "10GiB", "filesystem": filesystem}, "rest": {}})),
        luks(
            "root/crypt",
            json!([{"tpm2": {"pcrs": [0, 7]}}, {"recovery-key": {}}, {"passphrase": {"attribute": "x"}}]),
        ),
    ];
    for order in good {
        let refusal = on(order);
        assert_eq!(refusal.code(), "plan.unsupported", "{refusal}");
    }
    let bad = [
        (lvm("root/none", json!({})), "/layouts/0/lvm/vg/on"),
        (lvm("root/pv", json!({"a": {}, "b": {}})), "/layouts/0/lvm/vg/volumes"),
        (lvm("root/pv", json!({"a": {"mount": "/a"}})), "/layouts/0/lvm/vg/volumes/a/mount"),
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
    // What is preserved may be in use.
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
    // A stick that an order may not touch anyway is none of them.
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

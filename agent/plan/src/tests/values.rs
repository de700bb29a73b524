//! Attributes, layouts chosen by conditions, seeds, networks.

use super::*;

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
    assert_eq!(*digest, files.digest(&crate::canonical::order_bytes(&order)));
    // The same seed in another order has another digest: testing guesses of its secrets requires the whole order.
    let other = Order { id: "another".to_owned(), ..order.clone() };
    let other = files.digest(&crate::canonical::order_bytes(&other));
    assert!(*digest != other && *digest != files.digest(b""));

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

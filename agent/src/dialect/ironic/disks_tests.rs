use super::*;
use serde_json::json;

/// Two SATA disks, the second one twice as large.
fn machine() -> Inventory {
    let disk = |name: &str, serial: &str, size: u64| {
        let identity = json!({"kind": "serial", "value": format!("ACME_{serial}"), "strength": "strong"});
        json!({
            "name": name, "path": format!("/dev/{name}"), "status": "ok", "mounts": [], "signatures": [],
            "logical_block_size": 512, "class": "ssd", "size": size, "serial": serial, "model": "Acme",
            "identity": identity, "identities": [identity],
        })
    };
    let disks = json!([disk("sdb", "S2", 100 << 30), disk("sda", "S1", 50 << 30)]);
    let inventory = json!({"schema_version": "inventory/v1", "disks": {"status": "ok", "data": disks},
        "firmware": {"status": "ok", "data": {"boot_mode": "bios"}}, "nics": {"status": "ok", "data": []}});
    serde_json::from_value(inventory).unwrap()
}

/// The paths that an order with this set would choose, or the code of its refusal.
fn chosen(sets: &[(&str, DiskSet)]) -> Result<Vec<String>, String> {
    let mut order = super::super::order::blank("o");
    let mut layout = super::super::order::layout();
    for (name, set) in sets {
        let set = DiskSet { wipe: !set.protect, ..set.clone() };
        layout.disks.insert((*name).to_owned(), set);
    }
    order.layouts.push(layout);
    let plan = crate::plan::plan(&machine(), &order, &Default::default());
    let plan = plan.map_err(|refusal| crate::error::Coded::code(&refusal).to_owned())?;
    Ok(plan.disks.iter().map(|disk| disk.device.clone()).collect())
}

fn root(node: serde_json::Value, several: Several) -> Result<Vec<String>, String> {
    let machine = machine();
    let disks = Disks::new(&machine, &node).map_err(|fault| fault.code)?;
    let set = disks.root(&node, several).map_err(|fault| fault.details)?;
    chosen(&[("root", set)])
}

#[test]
fn a_hint_that_one_disk_fits_takes_that_disk() {
    assert_eq!(root(json!({"properties": {"root_device": {"serial": "s1"}}}), Several::Refuse).unwrap(), ["/dev/sda"]);
    assert_eq!(root(json!({"properties": {"root_device": {"size": ">= 60"}}}), Several::Refuse).unwrap(), ["/dev/sdb"]);
    let node =
        json!({"properties": {"root_device": {"serial": "s1"}}, "instance_info": {"root_device": {"serial": "S2"}}});
    assert_eq!(root(node, Several::Refuse).unwrap(), ["/dev/sdb"], "the instance's hints go before the node's");
    assert_eq!(
        root(json!({"properties": {"root_device": {"name": "/dev/sda"}}}), Several::Refuse).unwrap(),
        ["/dev/sda"]
    );
}

#[test]
fn two_disks_that_fit_are_refused_unless_ipas_habit_is_asked_for() {
    let both = json!({"properties": {"root_device": {"model": "acme"}}});
    assert_eq!(root(both.clone(), Several::Refuse).unwrap_err(), "plan.ambiguous");
    assert_eq!(root(both, Several::First).unwrap(), ["/dev/sdb"], "the first of the list");
    assert_eq!(root(json!({}), Several::Refuse).unwrap_err(), "plan.ambiguous");
    assert_eq!(root(json!({}), Several::First).unwrap(), ["/dev/sda"], "the smallest");
}

#[test]
fn what_fits_nothing_says_which_disks_and_why() {
    let said = root(json!({"properties": {"root_device": {"size": "> 400"}}}), Several::Refuse).unwrap_err();
    for part in ["/dev/sda: size is 50 GiB, wanted > 400", "/dev/sdb: size is 100 GiB, wanted > 400"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(
        root(json!({"properties": {"root_device": {"colour": "red"}}}), Several::Refuse).unwrap_err(),
        "the root device hint colour: there is no such hint"
    );
}

#[test]
fn only_members_of_raid_lose_their_raid() {
    let mut machine = serde_json::to_value(machine()).unwrap();
    machine["disks"]["data"][0]["md"] = json!({"uuid": "0:1:2:3", "level": "raid1"});
    let machine: Inventory = serde_json::from_value(machine).unwrap();
    let order = super::super::order::no_raid("o", &machine, &json!({})).unwrap();
    let plan = crate::plan::plan(&machine, &order, &Default::default()).unwrap();
    let devices: Vec<&str> = plan.disks.iter().map(|disk| disk.device.as_str()).collect();
    assert_eq!(devices, ["/dev/sdb"]);
}

#[test]
fn skipped_disks_are_neither_chosen_nor_cleaned() {
    let node = json!({"properties": {"skip_block_devices": [{"serial": "S1"}]}});
    let machine = machine();
    let disks = Disks::new(&machine, &node).unwrap();
    let protected = disks.protected().unwrap().unwrap();
    let cleaned = chosen(&[("all", disks.cleaned()), ("skip", protected.clone())]).unwrap();
    assert_eq!(cleaned.iter().filter(|device| *device == "/dev/sdb").count(), 1, "{cleaned:?}");
    let wiped = |sets: &[(&str, DiskSet)]| chosen(sets).unwrap();
    assert!(wiped(&[("all", disks.cleaned())]).len() == 2);
    let node_root = disks.root(&node, Several::First).unwrap();
    assert!(chosen(&[("root", node_root), ("skip", protected)]).unwrap().contains(&"/dev/sdb".to_owned()));
    assert!(Disks::new(&machine, &json!({})).unwrap().protected().unwrap().is_none());
}

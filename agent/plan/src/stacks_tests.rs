use super::super::testing::machine;
use super::super::{explain, plan};
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{Order, parse_value};
use burin_protocol::plan::Step;
use burin_protocol::plan::steps::{CreateRaid, MakeFilesystem, StopArrays};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OLD: &str = "11111111-2222-3333-4444-555555555555";

fn mirror(set: Value) -> Order {
    let mut os = json!({ "count": 2, "on_existing": "destroy", "match": { "class": "ssd" }, "partitions": [
        { "name": "esp", "type": "esp", "size": "512MiB", "filesystem": { "type": "vfat" } },
        { "name": "root", "type": "raid" }
    ] });
    os.as_object_mut().unwrap().extend(set.as_object().cloned().unwrap_or_default());
    parse_value(&json!({
        "version": "order/v1", "id": "mirror",
        "layouts": [ { "name": "mirror", "disks": { "os": os },
            "raid": { "root": { "level": "raid1", "members": { "partition": "os/root" },
                "filesystem": { "type": "ext4" } } } } ]
    }))
    .unwrap()
}

fn run(disks: Value, volumes: Value, order: &Order) -> Result<Plan, super::super::Refusal> {
    plan(&machine(&json!({ "disks": disks, "volumes": volumes })), order, &BTreeMap::new())
}

/// A disk whose second partition is a member of the array `OLD`.
fn member(name: &str, class: &str, label: &str, holders: Value) -> Value {
    let signature = json!({ "kind": "linux_raid_member", "uuid": OLD, "label": label });
    let part = json!({ "number": 2, "name": format!("{name}2"), "start": 1 << 20, "size": 1 << 30, "signatures": [signature],
        "holders": holders.clone() });
    json!({ "name": name, "serial": name, "class": class, "partition_table": "gpt", "partitions": [part], "holders": holders })
}

fn array(mounts: Value) -> Value {
    json!({ "name": "md127", "md": { "array": "md127", "uuid": OLD }, "slaves": ["sda2", "sdb2"], "mounts": mounts,
        "signatures": [{ "kind": "ext4", "uuid": "99999999-2222-3333-4444-555555555555" }] })
}

fn first(plan: &Plan) -> &Step {
    plan.steps.first().unwrap()
}

#[test]
fn the_plan_says_sizes_metadata_and_uuid_for_people() {
    let plan = run(json!([{ "serial": "A" }, { "serial": "B" }]), json!([]), &mirror(json!({}))).unwrap();
    let text = explain(&plan);
    let line = text.lines().find(|line| line.contains("create array root")).unwrap();
    for word in ["raid1", "metadata 1.2", "UUID ", "[0] \"root\" 479.6 GB", "[1] \"root\" 479.6 GB"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(plan.warnings.is_empty());
}

#[test]
fn members_that_differ_are_warned_about_and_one_is_no_mirror() {
    let disks = json!([{ "serial": "A" }, { "serial": "B", "size": 960_197_124_096u64 }]);
    let plan = run(disks, json!([]), &mirror(json!({}))).unwrap();
    assert_eq!(plan.warnings[0].code, "plan.uneven_array");
    assert!(plan.warnings[0].message.contains("480.1 GB"), "{}", plan.warnings[0].message);
    let refusal = run(json!([{ "serial": "A" }]), json!([]), &mirror(json!({ "count": 1 }))).unwrap_err();
    assert_eq!(refusal.code(), "plan.array");
}

#[test]
fn an_old_array_that_is_lost_as_a_whole_is_no_obstacle() {
    let both = json!([member("sda", "ssd", "x:old", json!([])), member("sdb", "ssd", "x:old", json!([]))]);
    let plan = run(both, json!([]), &mirror(json!({}))).unwrap();
    assert!(matches!(first(&plan), Step::Wipe(_)), "nothing runs, nothing is stopped");
    assert!(explain(&plan).contains("linux_raid_member \"x:old\""));
}

#[test]
fn an_array_of_which_a_disk_stays_is_refused_unless_the_set_allows_it() {
    let disks = || json!([{ "serial": "A" }, member("sda", "ssd", "x:old", json!([])), member("sdc", "hdd", "x:old", json!([]))]);
    let refusal = run(disks(), json!([]), &mirror(json!({}))).unwrap_err();
    assert_eq!(refusal.code(), "plan.split_array");
    let text = refusal.to_string();
    assert!(text.contains("/dev/sda") && text.contains("/dev/sdc") && text.contains("x:old"), "{text}");
    let plan = run(disks(), json!([]), &mirror(json!({ "allow": ["split-array"] }))).unwrap();
    assert_eq!(plan.warnings[0].code, "plan.split_array");
    // The set says `refuse`, which takes precedence.
    let refusal = run(disks(), json!([]), &mirror(json!({ "on_existing": "refuse" }))).unwrap_err();
    assert_eq!(refusal.code(), "plan.on_existing");
}

#[test]
fn an_array_that_runs_unused_is_stopped_and_a_used_one_keeps_its_disks() {
    let disks =
        || json!([member("sda", "ssd", "x:old", json!(["md127"])), member("sdb", "ssd", "x:old", json!(["md127"]))]);
    let plan = run(disks(), json!([array(json!([]))]), &mirror(json!({}))).unwrap();
    assert_eq!(*first(&plan), Step::StopArrays(StopArrays { disks: vec![0, 1], arrays: vec![OLD.to_owned()] }));
    assert!(explain(&plan).contains("stop the arrays that run on [0] [1]"));
    let mounted = json!([{ "device": "md127", "mountpoint": "/srv" }]);
    assert_eq!(run(disks(), json!([array(mounted)]), &mirror(json!({}))).unwrap_err().code(), "plan.no_match");
    let mut built_upon = array(json!([]));
    built_upon["holders"] = json!(["dm-0"]);
    assert_eq!(run(disks(), json!([built_upon]), &mirror(json!({}))).unwrap_err().code(), "plan.no_match");
    // It is not known whether it is mounted.
    assert_eq!(run(disks(), json!([array(Value::Null)]), &mirror(json!({}))).unwrap_err().code(), "plan.no_match");
}

/// An agent that was killed left its own array running: the same order plans again, and its own identifiers, which the
/// array carries, are not a collision.
#[test]
fn an_array_of_the_same_order_does_not_collide_with_itself() {
    let empty = json!([{ "name": "sda", "serial": "sda" }, { "name": "sdb", "serial": "sdb" }]);
    let before = run(empty, json!([]), &mirror(json!({}))).unwrap();
    let made = |step: &Step| match step {
        Step::CreateRaid(CreateRaid { uuid, .. }) => Some(uuid.clone()),
        _ => None,
    };
    let uuid = before.steps.iter().find_map(made).unwrap();
    let filesystem = before.steps.iter().find_map(|step| match step {
        Step::MakeFilesystem(MakeFilesystem { on: burin_protocol::plan::Device::Raid { .. }, filesystem }) => {
            Some(filesystem.uuid.clone())
        }
        _ => None,
    });
    let text =
        json!([member("sda", "ssd", "any:root", json!(["md127"])), member("sdb", "ssd", "any:root", json!(["md127"]))]);
    let disks = serde_json::from_str(&text.to_string().replace(OLD, &uuid)).unwrap();
    let mut volume: Value = serde_json::from_str(&array(json!([])).to_string().replace(OLD, &uuid)).unwrap();
    volume["signatures"][0]["uuid"] = json!(filesystem);
    let plan = run(disks, json!([volume]), &mirror(json!({}))).unwrap();
    assert_eq!(plan.steps.iter().find_map(made), Some(uuid), "the same array again");
}

#[test]
fn names_and_uuids_of_arrays_on_other_disks_collide() {
    let other = |label: &str, uuid: &str| {
        let signature = json!({ "kind": "linux_raid_member", "uuid": uuid, "label": label });
        json!([{ "serial": "A" }, { "serial": "B" }, { "serial": "C", "class": "hdd", "signatures": [signature] }])
    };
    let refusal = run(other("old:root", OLD), json!([]), &mirror(json!({}))).unwrap_err();
    assert_eq!(refusal.code(), "plan.collision");
    assert!(refusal.to_string().contains("array name root is on"), "{refusal}");
    let plan = run(json!([{ "serial": "A" }, { "serial": "B" }]), json!([]), &mirror(json!({}))).unwrap();
    let uuid = plan.steps.iter().find_map(|step| match step {
        Step::CreateRaid(CreateRaid { uuid, .. }) => Some(uuid.to_uppercase()),
        _ => None,
    });
    let refusal = run(other("old:data", &uuid.unwrap()), json!([]), &mirror(json!({}))).unwrap_err();
    assert!(refusal.to_string().contains("array UUID"), "{refusal}");
    run(other("old:data", OLD), json!([]), &mirror(json!({}))).unwrap();
}

#[test]
fn array_names_are_what_mdadm_and_the_superblock_take() {
    for (name, right) in [("root", true), ("data_1.x-y", true), ("0", false), ("a/b", false), ("", false)] {
        let mut order = serde_json::to_value(mirror(json!({}))).unwrap();
        let raid = order["layouts"][0]["raid"]["root"].take();
        order["layouts"][0]["raid"] = json!({ name: raid });
        let order: Order = serde_json::from_value(order).unwrap();
        assert_eq!(super::super::check(&order).is_ok(), right, "{name:?}");
    }
}

#[test]
fn every_group_that_the_inventory_tells_is_kept_whole() {
    let disk = |name: &str, class: &str, kind: &str, group: Value| {
        let signature = json!({ "kind": kind, "uuid": format!("own-{name}"), "group": group });
        json!({ "name": name, "serial": name, "class": class, "signatures": [signature] })
    };
    let group = json!({ "uuid": "g", "name": "vg0", "devices": 3 });
    for (kind, group) in [("LVM2_member", group.clone()), ("bcache", group), ("nvidia_raid_member", Value::Null)] {
        let disks = |third: &str| {
            json!([
                disk("sda", "ssd", kind, group.clone()),
                disk("sdb", "ssd", kind, group.clone()),
                disk("sdc", "hdd", third, group.clone())
            ])
        };
        let refusal = run(disks(kind), json!([]), &mirror(json!({}))).unwrap_err();
        assert_eq!(refusal.code(), "plan.split_array", "{kind}");
        assert!(refusal.to_string().contains("of /dev/sda is on /dev/sdc too"), "{refusal}");
        let allowed = run(disks(kind), json!([]), &mirror(json!({ "allow": ["split-array"] }))).unwrap();
        assert!(allowed.warnings.iter().any(|warning| warning.code == "plan.split_array"));
        assert!(run(disks("ext4"), json!([]), &mirror(json!({}))).is_ok(), "{kind}: lost as a whole");
    }
    let btrfs = |name: &str, class: &str, devices: u64| {
        let signature = json!({ "kind": "btrfs", "uuid": "u", "group": { "uuid": "u", "devices": devices } });
        json!({ "name": name, "serial": name, "class": class, "signatures": [signature] })
    };
    let both = |devices| json!([btrfs("sda", "ssd", devices), { "serial": "B" }, btrfs("sdc", "hdd", devices)]);
    assert_eq!(run(both(2), json!([]), &mirror(json!({}))).unwrap_err().code(), "plan.split_array");
    assert!(run(both(1), json!([]), &mirror(json!({}))).is_ok(), "two copies of one image");
}

/// LVM on LUKS on the array: a root and a swap volume, named as device-mapper does.
fn stack(swap: bool, mounted: bool) -> Value {
    let mounts = |on: &str| match (on, mounted, swap) {
        ("dm-1", true, _) => json!([{ "device": "dm-1", "mountpoint": "/srv" }]),
        ("dm-2", _, true) => json!([{ "device": "dm-2", "mountpoint": "[SWAP]", "filesystem": "swap" }]),
        _ => json!([]),
    };
    let all = || {
        let list = [mounts("dm-1"), mounts("dm-2")];
        list.iter().flat_map(|list| list.as_array().cloned().unwrap()).collect::<Vec<Value>>()
    };
    let lv = |name: &str, dm: &str| json!({ "name": name, "dm_name": dm, "dm_uuid": format!("LVM-{dm}"), "slaves": ["dm-0"], "mounts": mounts(name) });
    let mut array = array(json!([]));
    array["holders"] = json!(["dm-0"]);
    array["mounts"] = json!(all());
    let crypt = json!({ "name": "dm-0", "dm_name": "secret", "dm_uuid": "CRYPT-LUKS2-1-secret", "slaves": ["md127"],
        "holders": ["dm-1", "dm-2"], "mounts": all(), "signatures": [{ "kind": "LVM2_member", "group": { "uuid": "g", "name": "vg" } }] });
    json!([lv("dm-2", "vg-swap"), array, crypt, lv("dm-1", "vg-root")])
}

fn members_of_a_stack(volumes: &Value) -> Value {
    let mut disks =
        json!([member("sda", "ssd", "x:old", json!(["md127"])), member("sdb", "ssd", "x:old", json!(["md127"]))]);
    for disk in disks.as_array_mut().unwrap() {
        disk["mounts"] = volumes[1]["mounts"].clone();
    }
    disks
}

#[test]
fn a_stack_is_taken_apart_from_the_top() {
    let volumes = stack(true, false);
    let plan = run(members_of_a_stack(&volumes), volumes, &mirror(json!({}))).unwrap();
    let said: Vec<String> = plan.steps.iter().take(5).map(|step| step.words(&plan)).collect();
    assert_eq!(
        said[..4],
        [
            "turn off the swap on [0] [1]",
            "deactivate the logical volumes vg-root, vg-swap on [0] [1]",
            "close the encrypted volumes secret on [0] [1]",
            &format!("stop the arrays that run on [0] [1] (UUID {OLD})"),
        ]
    );
    assert!(said[4].contains("wipe") || plan.steps[4].name() == "wipe", "{said:?}");
    let volumes = stack(false, false);
    let plan = run(members_of_a_stack(&volumes), volumes, &mirror(json!({}))).unwrap();
    assert_eq!(plan.steps[0].name(), "stop-volumes");
    assert!(plan.steps[0].words(&plan).contains("logical volumes"), "no swap, no step");
}

/// Kernel names do not matter: the same stack found in another order gives the same plan.
#[test]
fn how_the_kernel_counts_volumes_changes_no_digest() {
    let volumes = stack(true, false);
    let one = run(members_of_a_stack(&volumes), volumes.clone(), &mirror(json!({}))).unwrap();
    let text = volumes.to_string().replace("dm-1", "dm-9").replace("dm-0", "dm-7").replace("md127", "md126");
    let mut disks = members_of_a_stack(&volumes).to_string().replace("md127", "md126");
    disks = disks.replace("dm-1", "dm-9");
    let mut other: Value = serde_json::from_str(&text).unwrap();
    other.as_array_mut().unwrap().reverse();
    let other = run(serde_json::from_str(&disks).unwrap(), other, &mirror(json!({}))).unwrap();
    assert_eq!(one.digest, other.digest);
}

#[test]
fn a_mount_anywhere_in_a_stack_keeps_its_disks() {
    let volumes = stack(false, true);
    assert_eq!(run(members_of_a_stack(&volumes), volumes, &mirror(json!({}))).unwrap_err().code(), "plan.no_match");
    // There is something on top that burin cannot dismantle.
    let mut volumes = stack(false, false);
    volumes[0]["holders"] = json!(["drbd0"]);
    assert_eq!(run(members_of_a_stack(&volumes), volumes, &mirror(json!({}))).unwrap_err().code(), "plan.no_match");
}

#[test]
fn swap_on_a_partition_is_turned_off_first() {
    let mounts = json!([{ "device": "sda1", "mountpoint": "[SWAP]", "filesystem": "swap" }]);
    let disks = json!([{ "name": "sda", "serial": "A", "mounts": mounts }, { "name": "sdb", "serial": "B" }]);
    let plan = run(disks, json!([]), &mirror(json!({}))).unwrap();
    assert_eq!(plan.steps[0].words(&plan), "turn off the swap on [0]");
}

/// The group's other half is on a disk that stays, and only the assembled array shows that this half is on chosen
/// disks.
#[test]
fn a_group_inside_of_an_array_is_not_torn_apart() {
    let part = json!({ "kind": "LVM2_member", "uuid": "own", "group": { "uuid": "g", "name": "vg0" } });
    let disks = || {
        json!([
            member("sda", "ssd", "x:old", json!(["md127"])),
            member("sdb", "ssd", "x:old", json!(["md127"])),
            { "name": "sdc", "serial": "C", "class": "hdd", "signatures": [part.clone()] }
        ])
    };
    let mut old = array(json!([]));
    old["signatures"] = json!([part.clone()]);
    let refusal = run(disks(), json!([old.clone()]), &mirror(json!({}))).unwrap_err();
    assert_eq!(refusal.code(), "plan.split_array");
    assert!(refusal.to_string().contains("vg0") && refusal.to_string().contains("/dev/sdc"), "{refusal}");
    assert!(run(disks(), json!([old]), &mirror(json!({ "allow": ["split-array"] }))).is_ok());
    assert!(
        run(disks(), json!([array(json!([]))]), &mirror(json!({}))).is_ok(),
        "nothing of the group is on the array"
    );
}

#[test]
fn a_running_volume_over_a_disk_that_stays_is_split() {
    let lv =
        json!({ "name": "dm-0", "dm_name": "vg-data", "dm_uuid": "LVM-1", "slaves": ["sda", "sdc"], "mounts": [] });
    let disks = json!([
        { "name": "sda", "serial": "A", "holders": ["dm-0"] }, { "name": "sdb", "serial": "B" },
        { "name": "sdc", "serial": "C", "class": "hdd", "holders": ["dm-0"] }
    ]);
    let refusal = run(disks, json!([lv]), &mirror(json!({}))).unwrap_err();
    assert_eq!(refusal.code(), "plan.split_array");
    assert!(refusal.to_string().contains("the running volume /dev/dm-0 is on /dev/sdc too"), "{refusal}");
}

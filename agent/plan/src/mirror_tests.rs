use super::super::testing::machine;
use super::super::{Refusal, explain, plan, steps};
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{PartitionPick, PickName, parse_value};
use burin_protocol::plan::{Device, SeedTarget, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn mirror(set: Value) -> Value {
    let mut os = json!({ "image": "i", "mirror": true, "count": 2 });
    os.as_object_mut().unwrap().extend(set.as_object().cloned().unwrap());
    json!({
        "version": "order/v1", "id": "m", "images": { "i": { "urls": ["https://x/i.raw"] } },
        "layouts": [ { "name": "l", "disks": { "os": os } } ],
        "files": [ { "path": "/etc/motd", "contents": "hello" } ],
        "seed": { "hostname": "m" }
    })
}

fn run(order: &Value) -> Result<Plan, Refusal> {
    let disks = json!({ "disks": [{ "serial": "A" }, { "serial": "B", "size": 500_107_862_016u64 }] });
    plan(&machine(&disks), &parse_value(order).unwrap(), &BTreeMap::new())
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(Step::name).collect()
}

#[test]
fn every_disk_gets_the_image_and_the_system_is_changed_once() {
    let plan = run(&mirror(json!({}))).unwrap();
    assert_eq!(
        names(&plan),
        [
            "write-image",
            "relocate-backup-gpt",
            "grow-partition",
            "relocate-backup-gpt",
            "set-guids",
            "grow-partition",
            "create-raid",
            "check-tree",
            "grow-filesystem",
            "write-mdadm-conf",
            "write-files",
            "write-seed",
            "boot-entry",
        ]
    );
    let root = PartitionPick::Named(PickName::Root);
    for step in &plan.steps {
        match step {
            Step::WriteImage(step) => assert_eq!(step.disks, [0, 1]),
            // The first disk keeps the image's GUIDs, so that references to them find it.
            Step::SetGuids(step) => assert!(step.disk == 1 && step.every && step.disk_guid.is_some()),
            Step::CreateRaid(step) => {
                let member = |disk| Device::ImagePartition { disk, partition: root };
                assert_eq!((&step.members, step.metadata.as_str()), (&vec![member(0), member(1)], "1.0"));
            }
            Step::WriteFiles(step) => assert_eq!(step.target, SeedTarget::ImagePartition { disk: 0, partition: root }),
            Step::BootEntry(step) => assert_eq!(step.disks, [0, 1]),
            _ => {}
        }
    }
    // One filesystem, and disks that differ.
    let codes: Vec<&str> = plan.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["plan.uneven_array"]);
    let text = explain(&plan);
    assert!(text.contains("─ the root partition\n     └─ array root, raid1 of 2\n"), "{text}");
    assert!(text.contains("grow the filesystem on the root partition, through the array root"), "{text}");
}

#[test]
fn the_partition_that_grows_is_the_one_that_is_mirrored() {
    let grow = json!({ "grow": { "partition": 3, "leave": "1GiB", "filesystem": false } });
    let plan = run(&mirror(grow)).unwrap();
    assert!(!names(&plan).contains(&"grow-filesystem"));
    assert_eq!(plan.over(1, PartitionPick::Number(3)), Some("root"));
    let leaves = |step: &Step| matches!(step, Step::GrowPartition(grow) if grow.leave == 1 << 30);
    assert_eq!(plan.steps.iter().filter(|step| leaves(step)).count(), 2);
    // The plan of a set without `mirror` has not changed.
    let mut twins = mirror(json!({}));
    twins["layouts"][0]["disks"]["os"].as_object_mut().unwrap().remove("mirror");
    let twins = run(&twins).unwrap();
    assert!(!serde_json::to_string(&twins.steps).unwrap().contains("every"));
    assert_eq!(twins.warnings.iter().filter(|one| one.code == "plan.same_image_twice").count(), 1);
}

#[test]
fn what_makes_no_mirror_is_refused_by_its_place() {
    let place = |order: &Value| {
        let refusal = run(order).unwrap_err();
        assert_eq!(refusal.code(), "order.invalid", "{refusal}");
        let text = refusal.to_string();
        assert!(text.contains("/layouts/0/disks/os/mirror"), "{text}");
    };
    for set in [
        json!({ "count": 1 }),
        json!({ "guids": { "disk": "new" } }),
        json!({ "keep": [{ "name": "data" }] }),
        json!({ "image": null, "partitions": [{ "name": "p", "type": "linux" }] }),
    ] {
        place(&mirror(set));
    }
    let mut other = mirror(json!({}));
    other["seed"]["format"] = json!("cidata");
    place(&other);
    let mut named = mirror(json!({ "except": ["data"] }));
    named["layouts"][0]["disks"]["data"] = json!({ "count": 2, "partitions": [{ "name": "p", "type": "raid" }] });
    named["layouts"][0]["raid"] = json!({ "root": { "level": "raid1", "members": { "partition": "data/p" } } });
    place(&named);
    let order = parse_value(&mirror(json!({}))).unwrap();
    assert_eq!(steps::system_set(&order.layouts[0]), Some("os"));
}

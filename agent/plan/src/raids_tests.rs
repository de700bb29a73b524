use crate::testing::machine;
use crate::{Refusal, check, explain, plan};
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::order::{Consistency, Order, parse_value};
use burin_protocol::plan::steps::CreateRaid;
use burin_protocol::plan::{Device, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An array over a partition of each of four disks, or over the disks themselves.
fn order(raid: Value, whole: bool) -> Order {
    let members = if whole { json!({ "disks": "data" }) } else { json!({ "partition": "data/part" }) };
    let mut array = json!({ "level": "raid5", "members": members, "filesystem": { "type": "xfs" } });
    array.as_object_mut().unwrap().extend(raid.as_object().cloned().unwrap());
    let mut set = json!({ "count": 4 });
    if !whole {
        set["partitions"] = json!([{ "name": "part", "type": "raid" }]);
    }
    parse_value(&json!({ "version": "order/v1", "id": "r",
        "layouts": [ { "name": "l", "disks": { "data": set }, "raid": { "data": array } } ] }))
    .unwrap()
}

fn run(disks: &[Value], order: &Order) -> Result<Plan, Refusal> {
    plan(&machine(&json!({ "disks": disks })), order, &BTreeMap::new())
}

fn disks(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({ "serial": format!("S{n}") })).collect()
}

fn array(plan: &Plan) -> &CreateRaid {
    plan.steps.iter().find_map(|step| if let Step::CreateRaid(raid) = step { Some(raid) } else { None }).unwrap()
}

#[test]
fn every_level_is_planned_with_its_size() {
    let member = 480_103_981_056u64 / (1 << 20) * (1 << 20) - 2 * (1 << 20);
    for (level, parts) in [("raid0", 4), ("raid1", 1), ("raid5", 3), ("raid6", 2), ("raid10", 2)] {
        let plan = run(&disks(4), &order(json!({ "level": level }), false)).unwrap();
        let size = plan.size_of(&Device::Raid { name: "data".to_owned() }).unwrap();
        // At most 129 MiB of each member are lost to the reserve and the tables.
        let most = parts * member;
        assert!(size <= most && size + parts * (130 << 20) > most, "{level}: {size} of {most}");
        assert!(explain(&plan).contains(&format!("array data, {level} of 4")), "{level}");
    }
}

#[test]
fn whole_disks_are_wiped_and_are_members() {
    let plan = run(&disks(4), &order(json!({ "spares": 1, "chunk": "64KiB", "consistency": "ppl" }), true)).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(Step::name).collect();
    assert_eq!(names, ["wipe", "wipe", "wipe", "wipe", "create-raid", "make-filesystem"]);
    let raid = array(&plan);
    assert_eq!((raid.active().len(), raid.spares, raid.chunk), (3, 1, Some(65536)));
    assert_eq!(raid.consistency, Consistency::Ppl);
    assert!(raid.members.iter().all(|member| matches!(member, Device::Disk { .. })));
    let said = raid_words(&plan);
    for word in ["raid5", "chunks of 64 KiB", "consistency ppl", "spare [3] 480.1 GB"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

fn raid_words(plan: &Plan) -> String {
    plan.steps.iter().find(|step| step.name() == "create-raid").unwrap().words(plan)
}

#[test]
fn too_few_or_too_small_members_are_refused_by_name() {
    let few = |raid: Value, count: usize| {
        let mut order = order(raid, false);
        order.layouts[0].disks.get_mut("data").unwrap().count = Some(u32::try_from(count).unwrap());
        run(&disks(count), &order).unwrap_err()
    };
    for (raid, count, said) in [
        (json!({ "level": "raid0" }), 1, "raid0 wants at least 2"),
        (json!({ "level": "raid5" }), 2, "raid5 wants at least 3"),
        (json!({ "level": "raid6" }), 3, "raid6 wants at least 4"),
        (json!({ "level": "raid10" }), 1, "raid10 wants at least 2"),
        (json!({ "level": "raid5", "spares": 2 }), 4, "at least 3 members beside 2 spares, the set has 4"),
    ] {
        let refusal = few(raid, count);
        assert_eq!(refusal.code(), "plan.array");
        assert!(refusal.to_string().contains("`data`") && refusal.to_string().contains(said), "{refusal}");
    }
    let mut small = disks(4);
    small[2]["size"] = json!(1 << 20);
    let refusal = run(&small, &order(json!({}), true)).unwrap_err();
    assert_eq!(refusal.code(), "plan.array");
    let mut small = disks(4);
    small[3]["size"] = json!(400_000_000_000u64);
    let refusal = run(&small, &order(json!({ "spares": 1 }), true));
    // The disks' identities decide which one is the spare.
    assert_eq!(refusal.unwrap_err().code(), "plan.array", "a spare smaller than the members");
}

#[test]
fn what_the_document_itself_gets_wrong_is_told_at_its_place() {
    for (raid, whole, at) in [
        (json!({ "level": "raid1", "chunk": "64KiB" }), false, "/chunk"),
        (json!({ "chunk": "48KiB" }), false, "/chunk"),
        (json!({ "chunk": "1KiB" }), false, "/chunk"),
        (json!({ "level": "raid0", "spares": 1 }), false, "/spares"),
        (json!({ "level": "raid0", "consistency": "bitmap" }), false, "/consistency"),
        (json!({ "level": "raid6", "consistency": "ppl" }), false, "/consistency"),
        (json!({ "consistency": "none" }), false, "/consistency"),
        (json!({ "metadata": "0.90" }), false, "/metadata"),
        (json!({ "metadata": "1.0" }), false, "/metadata"),
        (json!({ "level": "raid1", "metadata": "1.0" }), true, "/members"),
        (json!({ "metadata": "1.1" }), true, "/members"),
        (json!({ "members": { "raid": "data" } }), false, "/members"),
        (json!({ "level": "raid1", "filesystem": { "type": "vfat" }, "mount": "/boot/efi" }), false, "/mount"),
    ] {
        let error = check(&order(raid.clone(), whole)).unwrap_err().to_string();
        assert!(error.contains(&format!("/layouts/0/raid/data{at}")), "{raid}: {error}");
    }
    let mut esp = order(json!({ "level": "raid1" }), false);
    esp.layouts[0].disks.get_mut("data").unwrap().partitions[0].kind = "esp".to_owned();
    assert!(check(&esp).unwrap_err().to_string().contains("firmware reads no array"));
    for (raid, whole) in [
        (json!({ "level": "raid1", "metadata": "1.0" }), false),
        (json!({ "level": "raid0", "consistency": "none" }), true),
        (json!({ "level": "raid10", "metadata": "1.1", "consistency": "resync", "spares": 1 }), false),
    ] {
        check(&order(raid, whole)).unwrap();
    }
}

//! NVMe namespaces that get another sector size.

use super::*;
use burin_protocol::plan::steps::{CreateTable, FormatNamespace};

fn disk(over: Value) -> Value {
    let mut disk = json!({ "serial": "N", "class": "nvme", "size": 480_103_981_568u64,
        "nvme": { "lba_formats": [512, 4096] }, "erase": { "nvme_format": true } });
    disk.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
    json!({ "disks": [disk] })
}

fn order_for(set: Value) -> Order {
    let mut set = set;
    set["sector_size"] = json!(4096);
    order(json!({ "root": set }))
}

#[test]
fn a_format_comes_first_and_everything_is_planned_for_its_sectors() {
    let list = json!([{ "name": "data", "type": "linux" }]);
    let order = order_for(json!({ "partitions": list }));
    let plan = plan(&machine(&disk(json!({}))), &order, &BTreeMap::new()).unwrap();
    let size = 480_103_981_568u64 / 4096 * 4096;
    assert_eq!(plan.steps[0], FormatNamespace { disk: 0, sector_size: 4096, size }.into());
    assert_eq!(plan.shape_of(0), Some((size, 4096)));
    assert_eq!((plan.disks[0].size, plan.disks[0].logical_block_size), (480_103_981_568, 512), "as it is now");
    assert_eq!(plan.steps[1].name(), "wipe");
    let table = plan.steps.iter().find_map(|step| if let Step::CreateTable(one) = step { Some(one) } else { None });
    let CreateTable { partitions, .. } = table.unwrap();
    let end = partitions[0].start.unwrap() + partitions[0].size;
    assert!(end.is_multiple_of(4096) && end <= size);
    assert!(explain(&plan).contains("[0] format to sectors of 4096 bytes instead of 512"));
    assert!(explain(&plan).contains("sectors of 4096 bytes\n"), "the tree says it");
}

#[test]
fn a_disk_that_has_these_sectors_is_not_formatted() {
    let order = order_for(json!({ "partitions": [{ "name": "data", "type": "linux" }] }));
    let has = disk(json!({ "logical_block_size": 4096, "nvme": null, "erase": null, "class": "ssd" }));
    let plan = plan(&machine(&has), &order, &BTreeMap::new()).unwrap();
    assert_eq!(plan.steps[0].name(), "wipe");
}

#[test]
fn what_the_disk_does_not_offer_is_refused_by_name() {
    let order = order_for(json!({ "partitions": [{ "name": "data", "type": "linux" }] }));
    for (over, said) in [
        (json!({ "nvme": { "lba_formats": [512] } }), "it offers 512"),
        (json!({ "nvme": null }), "it offers no other sectors"),
        (json!({ "erase": { "nvme_format": false } }), "it offers no other sectors"),
        (json!({ "erase": null }), "it offers no other sectors"),
    ] {
        let refusal = refused(disk(over), &order);
        assert_eq!(refusal.code(), "plan.no_format");
        assert!(refusal.to_string().contains(said), "{refusal}");
    }
}

#[test]
fn a_format_is_a_loss_like_any_other() {
    let order = order_for(json!({ "partitions": [{ "name": "data", "type": "linux" }] }));
    let full = disk(json!({ "signatures": [{ "kind": "xfs" }] }));
    assert_eq!(refused(full, &order).code(), "plan.on_existing");
    for set in [
        json!({ "protect": true, "match": { "class": "nvme" } }),
        json!({ "on_existing": "preserve" }),
        json!({ "partitions": [{ "name": "data", "type": "linux" }], "sector_size": 520 }),
    ] {
        let mut document = serde_json::to_value(&order).unwrap();
        let size = set.get("sector_size").cloned().unwrap_or(json!(4096));
        document["layouts"][0]["disks"]["root"] = set.clone();
        document["layouts"][0]["disks"]["root"]["sector_size"] = size;
        let order: Order = serde_json::from_value(document).unwrap();
        assert!(check(&order).unwrap_err().to_string().contains("/sector_size"), "{set}");
    }
}

#[test]
fn an_image_is_judged_by_the_sectors_that_the_disk_will_have() {
    let mut order = order_for(json!({ "image": "debian" }));
    order.images.get_mut("debian").unwrap().sector_size = Some(4096);
    let plan = plan(&machine(&disk(json!({}))), &order, &BTreeMap::new()).unwrap();
    let names: Vec<&str> = plan.steps.iter().map(Step::name).take(2).collect();
    assert_eq!(names, ["format-namespace", "write-image"]);
    order.images.get_mut("debian").unwrap().sector_size = Some(512);
    assert_eq!(refused(disk(json!({})), &order).code(), "plan.sector_size");
}

//! Disks that are erased before something is put on them.

use super::*;
use burin_protocol::image::Verify;
use burin_protocol::order::Erase;
use burin_protocol::plan::steps::EraseDisk;

fn disk(over: Value) -> Value {
    let mut disk = json!({ "serial": "N", "class": "nvme", "size": 480_103_981_568u64,
        "nvme": { "lba_formats": [512, 4096] }, "erase": { "nvme_format": true } });
    disk.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
    json!({ "disks": [disk] })
}

fn order_for(erase: &str, over: Value) -> Order {
    let mut set = json!({ "erase": erase, "partitions": [{ "name": "data", "type": "linux" }] });
    set.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
    order(json!({ "root": set }))
}

#[test]
fn a_disk_is_erased_before_anything_is_put_on_it() {
    for (word, how, said) in [
        ("zeros", Erase::Zeros, "[0] overwrite every byte with zeros, and read them back"),
        ("secure-erase", Erase::SecureErase, "[0] secure erase, by the disk's own command (Format NVM)"),
    ] {
        let plan = run(disk(json!({})), &order_for(word, json!({}))).unwrap();
        assert_eq!(plan.steps[0], EraseDisk { disk: 0, how, verify: Verify::Readback }.into());
        assert_eq!(names(&plan)[..3], ["erase-disk", "wipe", "create-table"]);
        assert!(explain(&plan).contains(said), "{}", explain(&plan));
        let image = order(json!({ "root": { "erase": word, "image": "debian" } }));
        assert_eq!(names(&run(disk(json!({})), &image).unwrap())[..2], ["erase-disk", "write-image"]);
        let nothing = order(json!({ "root": { "erase": word, "wipe": true } }));
        assert_eq!(names(&run(disk(json!({})), &nothing).unwrap()), ["erase-disk", "wipe"]);
        let sectors = order_for(word, json!({ "sector_size": 4096 }));
        assert_eq!(names(&run(disk(json!({})), &sectors).unwrap())[..2], ["format-namespace", "erase-disk"]);
    }
}

/// What an order does not say changes no plan: its digest is what it was.
#[test]
fn the_least_level_is_no_step_and_no_word() {
    let set = |over: Value| order(json!({ "root": over }));
    let said = set(json!({ "erase": "signatures", "wipe": true }));
    let silent = set(json!({ "wipe": true }));
    assert_eq!(serde_json::to_value(&said).unwrap(), serde_json::to_value(&silent).unwrap());
    let plan = |order: &Order| run(disk(json!({})), order).unwrap();
    assert_eq!(plan(&said).digest, plan(&silent).digest);
    assert_eq!(names(&plan(&said)), ["wipe"]);
}

#[test]
fn zeros_can_be_written_to_every_disk_and_only_nvme_has_a_secure_erase() {
    for over in [
        json!({ "class": "ssd", "nvme": null, "erase": null }),
        json!({ "class": "hdd", "nvme": null, "erase": { "ata_security": { "supported": true } } }),
        json!({ "erase": { "nvme_format": false } }),
        json!({ "erase": {} }),
    ] {
        assert_eq!(names(&run(disk(over.clone()), &order_for("zeros", json!({}))).unwrap())[0], "erase-disk");
        let refusal = refused(disk(over.clone()), &order_for("secure-erase", json!({})));
        assert_eq!(refusal.code(), "plan.no_erase", "{over}");
        assert!(refusal.hint().unwrap().contains("\"erase\": \"zeros\""));
    }
}

#[test]
fn an_erased_disk_is_a_loss_like_any_other() {
    let full = disk(json!({ "signatures": [{ "kind": "xfs" }] }));
    assert_eq!(refused(full, &order_for("zeros", json!({}))).code(), "plan.on_existing");
    for set in [json!({ "protect": true, "match": {} }), json!({ "on_existing": "preserve" })] {
        let mut document = serde_json::to_value(order_for("zeros", json!({}))).unwrap();
        document["layouts"][0]["disks"]["root"] = set.clone();
        document["layouts"][0]["disks"]["root"]["erase"] = json!("zeros");
        let order: Order = serde_json::from_value(document).unwrap();
        assert!(check(&order).unwrap_err().to_string().contains("/erase"), "{set}");
    }
}

#[test]
fn what_is_kept_is_erased_around_with_zeros_and_refuses_a_secure_erase() {
    let partition = json!({ "number": 1, "name": "x1", "start": 1 << 30, "size": 1 << 30, "kind":
        "0fc63daf-8483-4772-8e79-3d69d8477de4", "uuid": "0d6ab2a4-4d5c-4e5f-8a77-1bd4fd0a3f11", "label": "old",
        "flags": 0, "signatures": [] });
    let used = || disk(json!({ "partition_table": "gpt", "partitions": [partition] }));
    let keeping = json!({ "on_existing": "destroy", "keep": [{ "name": "old" }] });
    let plan = run(used(), &order_for("zeros", keeping.clone())).unwrap();
    assert_eq!(names(&plan)[..3], ["keep-partitions", "erase-disk", "wipe"]);
    let refusal = refused(used(), &order_for("secure-erase", keeping));
    assert_eq!(refusal.code(), "plan.keep");
    assert!(refusal.to_string().contains("a secure erase would also take"), "{refusal}");
}

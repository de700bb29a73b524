//! Several paths that are one disk: nothing here counts, chooses or compares any but the one that stands for the disk.

use super::machine::DiskFacts;
use burin_protocol::plan::{Fate, Plan, PlannedPath, Warning};
use hwinventory_types::{Disk, Inventory};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Whether this path stands for a disk that no map has been made of.
pub fn stands_for_several(disk: &Disk) -> bool {
    disk.multipath_member && disk.paths.len() > 1
}

/// The machine without the other paths. What holds one of them holds the disk.
pub fn merged(inventory: &Inventory) -> Cow<'_, Inventory> {
    let disks = &inventory.disks.data;
    let mut others: BTreeMap<&str, &str> = BTreeMap::new();
    for disk in disks.iter().filter(|disk| stands_for_several(disk)) {
        let names = disk.paths.iter().map(|path| path.name.as_str()).filter(|name| *name != disk.name);
        others.extend(names.map(|name| (name, disk.name.as_str())));
    }
    if others.is_empty() {
        return Cow::Borrowed(inventory);
    }
    let mut merged = inventory.clone();
    merged.disks.data.retain(|disk| !others.contains_key(disk.name.as_str()));
    for path in disks {
        let Some(head) = others.get(path.name.as_str()) else { continue };
        let head = merged.disks.data.iter_mut().find(|disk| disk.name == **head);
        head.into_iter().for_each(|head| hold(head, path));
    }
    Cow::Owned(merged)
}

fn hold(disk: &mut Disk, path: &Disk) {
    let of_partitions = path.partitions.iter().flat_map(|partition| &partition.holders);
    let known: BTreeSet<String> = disk.holders.iter().cloned().collect();
    disk.holders.extend(path.holders.iter().chain(of_partitions).filter(|one| !known.contains(*one)).cloned());
    disk.boot_medium |= path.boot_medium;
    disk.read_only |= path.read_only;
    disk.mounts = match (disk.mounts.take(), &path.mounts) {
        (Some(all), Some(more)) => Some(all.into_iter().chain(more.iter().cloned()).collect()),
        _ => None,
    };
}

/// Of a disk with several, as the plan has them.
pub fn planned(facts: &DiskFacts<'_>) -> Vec<PlannedPath> {
    if !stands_for_several(facts.disk) {
        return Vec::new();
    }
    let directory = facts.disk.path.strip_suffix(facts.disk.name.as_str()).unwrap_or("/dev/");
    let path = |path: &hwinventory_types::DiskPath| PlannedPath {
        device: format!("{directory}{}", path.name),
        through: path.through.clone(),
        state: path.access_state.clone().or_else(|| path.state.clone()),
    };
    facts.disk.paths.iter().map(path).collect()
}

/// What the installed system has to know of that.
pub fn warnings(plan: &Plan) -> impl Iterator<Item = Warning> {
    let several = plan.disks.iter().filter(|disk| disk.fate == Fate::Overwritten && !disk.paths.is_empty());
    several.map(|disk| {
        let message = format!(
            "{} is reached by {} paths: the installed system uses one of them, whichever it finds, unless it has \
             multipath-tools (and multipath-tools-boot in its ramdisk)",
            disk.device,
            disk.paths.len()
        );
        Warning { code: "plan.multipath".to_owned(), message }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::machine;
    use super::super::{explain, plan};
    use burin_protocol::order::parse_value;
    use hwinventory_types::Inventory;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// sda and sdb are one disk, as the inventory has it; sdc is another.
    fn two_paths(head: &str, more: &Value) -> Inventory {
        let identity = |strength: &str| json!([{ "kind": "naa", "value": "5000c500a1b2c3d4", "strength": strength }]);
        let path = |name: &str| {
            let mut disk = json!({
                "name": name, "multipath_member": true, "hctl": "1:0:0:0", "identities": identity("weak"),
                "by_path": format!("pci-{name}"), "partition_table": "gpt", "partition_table_id": "0f-1",
                "serial": "LUN1",
            });
            if name == head {
                disk["identities"] = identity("strong");
                let other = if head == "sda" { "sdb" } else { "sda" };
                disk["paths"] = json!([head, other].map(|name| json!({
                    "name": name, "through": "1:0:0:0", "state": "running", "access_state": "active/optimized"
                })));
            }
            if name == "sdb" {
                disk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
            disk
        };
        machine(
            &json!({ "disks": [path("sda"), path("sdb"), { "name": "sdc", "serial": "S", "size": 1_000_204_886_016u64 }] }),
        )
    }

    fn order(disks: &Value) -> burin_protocol::order::Order {
        let order = json!({
            "version": "order/v1", "id": "p", "images": { "i": { "urls": ["https://x/i.raw"] } },
            "layouts": [ { "name": "l", "disks": disks } ]
        });
        parse_value(&order).unwrap()
    }

    fn lun() -> Value {
        json!({ "os": { "match": { "serial": "LUN1" }, "image": "i", "on_existing": "destroy" } })
    }

    #[test]
    fn two_paths_are_one_candidate_and_one_disk_of_the_plan() {
        let plan = plan(&two_paths("sda", &json!({})), &order(&lun()), &BTreeMap::new()).unwrap();
        assert_eq!(plan.disks.len(), 1);
        let paths: Vec<&str> = plan.disks[0].paths.iter().map(|path| path.device.as_str()).collect();
        assert_eq!(paths, ["/dev/sda", "/dev/sdb"]);
        assert_eq!(plan.disks[0].identity.value, "5000c500a1b2c3d4");
        assert!(plan.warnings.iter().any(|warning| warning.code == "plan.multipath"), "{:?}", plan.warnings);
        assert_eq!(plan.trace.sets[0].candidates.len(), 2, "the other path is no candidate");
        let text = explain(&plan);
        assert!(text.contains("by the paths /dev/sda (1:0:0:0, active/optimized), /dev/sdb"), "{text}");
    }

    #[test]
    fn whichever_path_stands_for_it_the_plan_is_the_same() {
        let digest = |head: &str| plan(&two_paths(head, &json!({})), &order(&lun()), &BTreeMap::new()).unwrap().digest;
        assert_eq!(digest("sda"), digest("sdb"));
    }

    #[test]
    fn paths_are_never_counted_as_two_disks() {
        let two =
            json!({ "os": { "count": 2, "match": { "serial": "LUN1" }, "image": "i", "on_existing": "destroy" } });
        let refusal = plan(&two_paths("sda", &json!({})), &order(&two), &BTreeMap::new()).unwrap_err();
        assert!(refusal.to_string().contains("exactly 2, 1 can be had"), "{refusal}");
    }

    #[test]
    fn what_holds_one_path_holds_the_disk() {
        for more in [
            json!({ "holders": ["md0"] }),
            json!({ "partitions": [{ "number": 1, "holders": ["md0"], "signatures": [] }] }),
            json!({ "mounts": [{ "device": "sdb1", "mountpoint": "/srv", "filesystem": null, "read_only": false }] }),
        ] {
            let refusal = plan(&two_paths("sda", &more), &order(&lun()), &BTreeMap::new()).unwrap_err();
            let text = super::super::explain_refusal(&refusal);
            assert!(text.contains("in-use"), "{text}");
        }
    }
}

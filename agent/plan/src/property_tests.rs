//! Properties that must hold for every machine and every order.

use super::testing::machine;
use super::*;
use burin_protocol::error::Coded;
use burin_protocol::order::parse_value;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A disk with arbitrary properties, many of them equal to other disks'.
fn disk() -> impl Strategy<Value = Value> {
    let identity = prop::option::weighted(0.8, "[A-C][0-9]{3}");
    let place = prop::option::weighted(0.8, 0u32..40);
    let contents = prop::sample::select(vec![json!([]), json!(null), json!([{"kind": "ext4", "label": "CIDATA"}])]);
    (
        identity,
        place,
        prop::sample::select(vec!["nvme", "ssd", "hdd", "virtual"]),
        prop::sample::select(vec![0u64, 1 << 30, 480_103_981_056, 4_000_787_030_016, u64::MAX]),
        prop::option::of(prop::sample::select(vec!["SYS", "DATA1", ""])),
        (any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        prop::sample::select(vec![512u64, 4096, 0, 7]),
        contents,
    )
        .prop_map(|(serial, place, class, size, model, (rotational, removable, read_only), block, signatures)| {
            let mut disk = json!({
                "class": class, "size": size, "rotational": rotational, "removable": removable,
                "read_only": read_only, "logical_block_size": block, "signatures": signatures
            });
            if let Some(serial) = serial {
                disk["serial"] = json!(serial);
            }
            if let Some(place) = place {
                disk["by_path"] = json!(format!("pci-0000:00:{place:02x}.0"));
                disk["numa_node"] = json!(place % 2);
            }
            if let Some(model) = model {
                disk["model"] = json!(model);
            }
            disk
        })
}

fn orders() -> Vec<Value> {
    let with = |layouts: Value| {
        json!({
            "version": "order/v1", "id": "x", "images": {"i": {"urls": ["http://x/y"]}, "t": {"urls": ["http://x/t"]}},
            "attributes": {"role": "db", "key": "ssh-ed25519 AAAAC3"}, "layouts": layouts,
            "policies": {"boot_order": "keep"}
        })
    };
    vec![
        with(json!([{"name": "any", "disks": {"root": {"image": "i", "grow": "last", "on_existing": "destroy"}}}])),
        with(json!([{"name": "largest", "disks": {"root": {
            "image": "i", "order_by": [{"desc": "size"}, {"asc": "class"}], "tie": "identity", "on_existing": "destroy"
        }}}])),
        with(json!([{"name": "pair", "disks": {"os": {
            "match": {"size": {"ge": "100GB"}}, "count": 2, "same": ["size"], "spread": "numa_node", "tie": "path",
            "on_existing": "destroy", "partitions": [{"name": "a", "type": "root", "size": "1GiB"}, {"name": "b", "type": "linux"}]
        }}}])),
        with(json!([
            {"name": "two", "priority": 1, "when": {"disks": {"match": {"class": "nvme"}, "ge": 2}}, "disks": {
                "data": {"protect": true, "match": {"not": {"model": "SYS"}}},
                "root": {"image": "i", "match": {"class": "nvme"}, "tie": "identity", "on_existing": "destroy"}
            }},
            {"name": "one", "disks": {
                "root": {"image": "i", "order_by": [{"asc": "size"}], "tie": "path"},
                "rest": {"except": ["root"], "min": 0, "on_existing": "destroy", "partitions": [{"name": "d", "type": "linux"}]}
            }}
        ])),
    ]
}

/// The same disks with other kernel names, in another order.
fn renamed(disks: &[Value], order: &[usize]) -> Value {
    let name = |i: usize| ["sda", "sdb", "sdc", "sdd", "sde", "nvme0n1", "nvme1n1", "nvme2n1"][i % 8];
    let disks: Vec<Value> = order
        .iter()
        .enumerate()
        .map(|(i, from)| {
            let mut disk = disks[*from].clone();
            disk["name"] = json!(name(i));
            disk["hctl"] = json!(format!("{i}:0:0:0"));
            disk["device_number"] = json!(format!("8:{}", i * 16));
            disk
        })
        .collect();
    json!({ "disks": disks })
}

/// A result without kernel names.
fn nameless(result: Result<Plan, Refusal>) -> Value {
    let mut value = match result {
        Ok(plan) => serde_json::to_value(plan).unwrap(),
        Err(refusal) => json!({ "code": refusal.code(), "trace": refusal.trace }),
    };
    fn blank(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for name in ["device", "message"] {
                    map.remove(name);
                }
                map.values_mut().for_each(blank);
            }
            Value::Array(list) => list.iter_mut().for_each(blank),
            _ => {}
        }
    }
    blank(&mut value);
    value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Kernel names and the order of discovery change nothing: neither the plan, nor its digest, nor a refusal.
    #[test]
    fn shuffled_names_give_the_identical_plan(
        (disks, shuffled) in prop::collection::vec(disk(), 1..8).prop_flat_map(|disks| {
            let order: Vec<usize> = (0..disks.len()).collect();
            (Just(disks), Just(order).prop_shuffle())
        }),
        order in prop::sample::select(orders()),
    ) {
        let order = parse_value(&order).unwrap();
        let straight: Vec<usize> = (0..disks.len()).collect();
        let first = plan(&machine(&renamed(&disks, &straight)), &order, &BTreeMap::new());
        let second = plan(&machine(&renamed(&disks, &shuffled)), &order, &BTreeMap::new());
        if let (Ok(first), Ok(second)) = (&first, &second) {
            prop_assert_eq!(&first.digest, &second.digest);
        }
        prop_assert_eq!(nameless(first), nameless(second));
    }

    /// A plan only ever names disks that passed every gate, each once.
    #[test]
    fn plans_touch_only_disks_that_may_be_touched(
        disks in prop::collection::vec(disk(), 0..8),
        order in prop::sample::select(orders()),
    ) {
        let order = parse_value(&order).unwrap();
        let inventory = machine(&json!({ "disks": disks }));
        if let Ok(plan) = plan(&inventory, &order, &BTreeMap::new()) {
            let mut seen = std::collections::BTreeSet::new();
            for (index, planned) in plan.disks.iter().enumerate() {
                prop_assert!(seen.insert(planned.device.clone()));
                let writes = plan.steps.iter().any(|step| step.disks().contains(&index));
                prop_assert_eq!(writes, planned.fate == Fate::Overwritten);
                if writes {
                    let disk = inventory.disks.data.iter().find(|disk| disk.path == planned.device).unwrap();
                    prop_assert!(disk.size > 0 && !disk.read_only && !disk.removable);
                }
            }
            prop_assert!(plan.steps.iter().flat_map(Step::disks).all(|disk| disk < plan.disks.len()));
        }
    }

    /// An order with any value overwritten by anything gives a plan, a refusal or an error, never a panic.
    #[test]
    fn broken_orders_never_panic(
        disks in prop::collection::vec(disk(), 0..4),
        order in prop::sample::select([orders(), super::docs_tests::examples()].concat()),
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            json!(null), json!(0), json!(-1), json!(1e300), json!(u64::MAX), json!(""), json!("480G"), json!("999999PiB"), json!("16383PiB"),
            json!([]), json!({}), json!(true), json!({"attribute": "role"}), json!([{"x": 1}]), json!({"not": {}}),
            json!("ü/~"), json!(4294967295u32), json!({"any": [{"size": {"within": {"of": 0, "percent": 0}}}]})
        ]),
    ) {
        let mut order = order;
        let mut pointers = Vec::new();
        collect(&order, String::new(), &mut pointers);
        *order.pointer_mut(&pointers[place.index(pointers.len())]).unwrap() = value;
        let parsed = parse_value(&order);
        // The same document as text gives the same result.
        let as_text = burin_protocol::order::parse(&order.to_string());
        prop_assert_eq!(parsed.is_ok(), as_text.is_ok());
        if let Ok(order) = parsed {
            let inventory = machine(&json!({ "disks": disks, "nics": [{"mac": "52:54:00:00:00:01", "speed": 25_000_000_000u64, "carrier": true}] }));
            match plan(&inventory, &order, &BTreeMap::new()) {
                Ok(plan) => { explain(&plan); }
                Err(refusal) => { explain_refusal(&refusal); }
            }
            overlaps(&order);
            let _ = seed(&inventory, &order, &BTreeMap::new());
        }
    }
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    pointers.push(at.clone());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| collect(value, format!("{at}/{key}"), pointers)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| collect(value, format!("{at}/{i}"), pointers))
        }
        _ => {}
    }
}

/// Five disks in every order give the same plan each time, and not a refusal.
#[test]
fn every_permutation_of_five_disks_gives_one_digest() {
    let disks: Vec<Value> = (0..5)
        .map(|i| json!({"serial": format!("S{i}"), "by_path": format!("pci-{}", 9 - i), "numa_node": i % 2, "class": "nvme", "model": "SYS"}))
        .collect();
    let mut permutations = vec![vec![]];
    for i in 0..5usize {
        permutations = permutations
            .into_iter()
            .flat_map(|list: Vec<usize>| {
                (0..=list.len()).map(move |at| {
                    let mut list = list.clone();
                    list.insert(at, i);
                    list
                })
            })
            .collect();
    }
    assert_eq!(permutations.len(), 120);
    for order in orders().iter().skip(1) {
        let order = parse_value(order).unwrap();
        let digests: std::collections::BTreeSet<String> = permutations
            .iter()
            .map(|permutation| match plan(&machine(&renamed(&disks, permutation)), &order, &BTreeMap::new()) {
                Ok(plan) => plan.digest,
                Err(refusal) => panic!("{refusal}"),
            })
            .collect();
        assert_eq!(digests.len(), 1);
    }
}

//! Partitions that are kept while their disk is overwritten.

use super::*;
use burin_protocol::plan::steps::CreateTable;

const MIB: u64 = 1 << 20;
const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const HOME: &str = "933ac7e1-2eb4-4f13-b844-0e14e2aef915";

fn partition(number: u64, start: u64, size: u64, kind: &str, name: &str) -> Value {
    json!({
        "number": number, "name": format!("sd0{number}"), "start": start * MIB, "size": size * MIB, "kind": kind,
        "uuid": format!("00000000-0000-4000-8000-{number:012}"), "label": name, "flags": 1u64 << 60,
        "signatures": [{ "kind": "ext4", "label": name, "uuid": format!("f5-{number}") }]
    })
}

/// An ESP, a root, and two that hold data, the last almost to the end.
fn used() -> Value {
    json!({ "serial": "A", "size": 64u64 << 30, "partition_table": "gpt", "partitions": [
        partition(1, 1, 512, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "esp"),
        partition(2, 513, 20_000, LINUX, "root"),
        partition(7, 30_000, 10_000, HOME, "home"),
        partition(9, 50_000, 15_535, LINUX, "data")
    ] })
}

fn machine_of(disk: Value) -> Value {
    json!({ "disks": [disk] })
}

fn image(keep: Value) -> Order {
    order(json!({"root": {"image": "debian", "on_existing": "destroy", "keep": keep}}))
}

fn numbers(plan: &Plan) -> Vec<u32> {
    plan.disks[0].keep.iter().map(|kept| kept.number).collect()
}

#[test]
fn partitions_are_kept_by_name_type_guid_and_number() {
    let kept = |keep: Value| numbers(&run(machine_of(used()), &image(keep)).unwrap());
    assert_eq!(kept(json!([{"name": "data"}])), [9]);
    assert_eq!(kept(json!([{"type": "home"}, {"name": "data"}, {"number": 9}])), [7, 9]);
    assert_eq!(kept(json!([{"type": HOME.to_uppercase()}])), [7]);
    assert_eq!(kept(json!([{"guid": "00000000-0000-4000-8000-000000000009"}])), [9]);
    assert_eq!(kept(json!([{"type": "linux", "name": "data"}])), [9]);
    assert_eq!(kept(json!([{"name": "none", "optional": true}])), [0; 0]);
    let plan = run(machine_of(used()), &image(json!([{"name": "data", "proof": "samples"}]))).unwrap();
    let data = &plan.disks[0].keep[0];
    assert_eq!((data.start, data.size, data.attributes), (50_000 * MIB, 15_535 * MIB, 1 << 60));
    assert_eq!(names(&plan)[..2], ["keep-partitions", "write-image"]);
    assert!(explain(&plan).contains("but partition 9 \"data\" stays"), "{}", explain(&plan));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let refuses = |disk: Value, keep: Value| {
        let refusal = refused(machine_of(disk), &image(keep));
        assert!(refusal.code() == "order.invalid" || refusal.hint().is_some());
        format!("{} {refusal}", refusal.code())
    };
    let says = |text: String, what: &str| assert!(text.starts_with("plan.keep") && text.contains(what), "{text}");
    says(refuses(used(), json!([{"name": "none"}])), "no partition of it is called \"none\"");
    says(refuses(json!({"serial": "A"}), json!([{"name": "data"}])), "no partition");
    let with = |over: Value| {
        let mut disk = used();
        disk.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        disk
    };
    says(refuses(with(json!({"partition_table": "dos"})), json!([{"name": "data"}])), "no GPT");
    says(refuses(with(json!({"signatures": null})), json!([{"name": "data"}])), "could not be read");
    let data = |start: u64, size: u64| with(json!({"partitions": [partition(9, start, size, LINUX, "data")]}));
    says(refuses(data(0, 5), json!([{"name": "data"}])), "first MiB");
    says(refuses(data(60_000, 5_536), json!([{"name": "data"}])), "backup of the new table");
    let mut odd = data(60_000, 5);
    odd["partitions"][0]["start"] = json!(60_000 * MIB + 512);
    odd["logical_block_size"] = json!(4096);
    says(refuses(odd, json!([{"name": "data"}])), "4096-byte sectors");
    says(
        refuses(with(json!({"partitions": [partition(200, 60_000, 5, LINUX, "data")]})), json!([{"name": "data"}])),
        "128",
    );
    for keep in [json!([{}]), json!([{"optional": true}]), json!([{"type": "nonsense"}]), json!([{"number": 0}])] {
        assert!(refuses(used(), keep).starts_with("order.invalid"));
    }
    let wiped = order(json!({"root": {"wipe": true, "on_existing": "destroy", "keep": [{"name": "data"}]}}));
    assert_eq!(refused(machine_of(used()), &wiped).code(), "order.invalid");
    // The rest of the disk is lost as usual.
    let silent = order(json!({"root": {"image": "debian", "keep": [{"name": "data"}]}}));
    assert_eq!(refused(machine_of(used()), &silent).code(), "plan.on_existing");
}

#[test]
fn a_fresh_table_goes_around_what_is_kept() {
    let fresh = |partitions: Value| {
        order(
            json!({"root": {"on_existing": "destroy", "keep": [{"name": "data"}, {"name": "home"}], "partitions": partitions}}),
        )
    };
    let plan = run(
        machine_of(used()),
        &fresh(json!([{"name": "a", "type": "linux", "size": "1GiB"}, {"name": "b", "type": "linux"}])),
    )
    .unwrap();
    let table = plan.steps.iter().find_map(|step| match step {
        Step::CreateTable(CreateTable { partitions, .. }) => Some(partitions),
        _ => None,
    });
    let places: Vec<(Option<u32>, u64, u64)> =
        table.unwrap().iter().map(|one| (one.number, one.start.unwrap() / MIB, one.size / MIB)).collect();
    assert_eq!(places, [(Some(1), 1, 1024), (Some(2), 1025, 30_000 - 1025)]);
    assert_eq!(names(&plan), ["keep-partitions", "wipe", "create-table"]);
    // Numbers are assigned around them too; given numbers, names and GUIDs must not be taken.
    let nine: Vec<Value> = (0..8).map(|i| json!({"name": format!("p{i}"), "type": "linux", "size": "1MiB"})).collect();
    let plan = run(machine_of(used()), &fresh(json!(nine))).unwrap();
    let Some(Step::CreateTable(table)) = plan.steps.get(2) else { panic!("{:?}", plan.steps) };
    let given: Vec<u32> = table.partitions.iter().filter_map(|one| one.number).collect();
    assert_eq!(given, [1, 2, 3, 4, 5, 6, 8, 10]);
    let refuses = |partition: Value| refused(machine_of(used()), &fresh(json!([partition]))).code();
    assert_eq!(refuses(json!({"name": "x", "type": "linux", "number": 9})), "plan.bad_value");
    assert_eq!(refuses(json!({"name": "data", "type": "linux"})), "plan.keep");
    let guid = "00000000-0000-4000-8000-000000000007";
    assert_eq!(refuses(json!({"name": "x", "type": "linux", "guid": guid})), "plan.keep");
    assert_eq!(refuses(json!({"name": "x", "type": "linux", "size": "31GiB"})), "plan.too_small");
}

#[test]
fn an_unfinished_disk_remembers_what_is_kept() {
    let remembered = |recorded: bool, id: &str| {
        json!({
            "serial": "A", "size": 64u64 << 30, "unfinished": id, "samples": {"looked_at_bytes": 4096, "blank": false},
            "remembered": { "recorded": recorded, "partitions": [{
                "number": 9, "start": 50_000 * MIB, "size": 15_535 * MIB, "type_guid": LINUX,
                "guid": "00000000-0000-4000-8000-000000000009", "name": "data", "attributes": 1u64 << 60
            }] }
        })
    };
    let keep = json!([{"name": "data"}]);
    for recorded in [true, false] {
        let plan = run(machine_of(remembered(recorded, "test")), &image(keep.clone())).unwrap();
        assert_eq!((numbers(&plan), plan.disks[0].keep[0].attributes), (vec![9], 1 << 60));
    }
    // Another order's unfinished work may be lost, but what it kept can be kept.
    assert_eq!(numbers(&run(machine_of(remembered(true, "other")), &image(keep.clone())).unwrap()), [9]);
    // An order must not lose what an earlier one kept, unless it says so.
    let silent = |keep: Value| order(json!({"root": {"image": "debian", "keep": keep}}));
    let code =
        |recorded, keep| run(machine_of(remembered(recorded, "test")), &silent(keep)).err().map(|error| error.code());
    assert_eq!(code(true, json!([])), Some("plan.on_existing"));
    assert_eq!(code(true, keep), None);
    assert_eq!(code(false, json!([])), None, "its own half-written work");
    assert_eq!(numbers(&run(machine_of(remembered(true, "test")), &image(json!([]))).unwrap()), [0; 0]);
}

#[test]
fn identifiers_of_kept_partitions_count_as_those_of_other_disks() {
    let named = |label: &str| {
        let mut order = order(json!({"root": {
            "on_existing": "destroy", "keep": [{"name": "data"}],
            "partitions": [{"name": "a", "type": "linux", "filesystem": {"type": "ext4", "uuid": "11111111-2222-3333-4444-555555555555"}}]
        }}));
        order.seed = serde_json::from_value(json!({"hostname": "x", "set": "root"})).ok().filter(|_| label == "cidata");
        let mut disk = used();
        disk["partitions"][3]["signatures"] = json!([{"kind": "ext4", "uuid": "11111111-2222-3333-4444-555555555555"}]);
        run(machine_of(disk), &order).err().map(|error| (error.code(), error.to_string()))
    };
    let (code, text) = named("").unwrap();
    assert_eq!(code, "plan.collision");
    assert!(text.contains("kept"), "{text}");
}

/// Two disks, each with a member of one array, which may or may not be running.
fn mirrored(runs: bool) -> Value {
    let holders = if runs { json!(["md127"]) } else { json!([]) };
    let disk = |name: &str, serial: &str| {
        let mut member =
            partition(9, 50_000, 15_000, "a19d880f-05fc-4d3b-a006-743f0f84911e", &format!("raid-{serial}"));
        member["name"] = json!(format!("{name}9"));
        member["uuid"] = json!(format!("00000000-0000-4000-8000-00000000000{serial}"));
        member["signatures"] = json!([{"kind": "linux_raid_member", "uuid": "m-1", "label": "host:data"}]);
        member["holders"] = holders.clone();
        // The kernel also lists the holders of partitions at the disk.
        json!({"name": name, "serial": serial, "size": 64u64 << 30, "partition_table": "gpt", "partitions": [member],
            "holders": holders})
    };
    let array =
        json!({"name": "md127", "md": {"array": "md127", "uuid": "m-1"}, "slaves": ["sda9", "sdb9"], "mounts": []});
    let volumes = if runs { json!([array]) } else { json!([]) };
    json!({"disks": [disk("sda", "A"), disk("sdb", "B")], "volumes": volumes})
}

#[test]
fn what_is_kept_counts_as_staying_wherever_its_other_half_is() {
    let set = |serials: Value, keep: Value| {
        order(
            json!({"root": {"image": "debian", "on_existing": "destroy", "match": {"serial": serials}, "tie": "identity",
            "count": serials.as_array().map_or(1, Vec::len), "keep": keep}}),
        )
    };
    for runs in [false, true] {
        let code = |order: &Order| run(mirrored(runs), order).err().map(|error| error.code());
        let only = |serial: &str| json!([{"name": format!("raid-{serial}"), "optional": true}]);
        // The other half is on an untouched disk: the array is torn if this half goes, whole if it is kept.
        assert_eq!(code(&set(json!(["A"]), json!([]))), Some("plan.split_array"), "{runs}");
        assert_eq!(code(&set(json!(["A"]), only("A"))), None, "{runs}");
        // Both disks are written: one half is kept, or both, or none.
        assert_eq!(code(&set(json!(["A", "B"]), only("A"))), Some("plan.split_array"), "{runs}");
        assert_eq!(code(&set(json!(["A", "B"]), json!([{"type": "raid"}]))), None, "{runs}");
        assert_eq!(code(&set(json!(["A", "B"]), json!([]))), None, "{runs}");
    }
    let kept = run(mirrored(true), &set(json!(["A"]), json!([{"type": "raid"}]))).unwrap();
    assert_eq!(numbers(&kept), [9]);
    assert_eq!(names(&kept)[..2], ["stop-arrays", "keep-partitions"], "it stops for as long");
}

#[test]
fn a_plan_that_keeps_nothing_is_the_plan_that_it_was() {
    let with = image(json!([{"name": "none", "optional": true}]));
    let without = order(json!({"root": {"image": "debian", "on_existing": "destroy"}}));
    let plans = [&with, &without].map(|order| run(machine_of(used()), order).unwrap());
    assert_eq!(plans[0].steps, plans[1].steps);
    let text = serde_json::to_string(&plans[1]).unwrap();
    assert!(!text.contains("\"keep\""), "digests of plans stay as they were");
}

//! Tests of the comparison of many inventories.

use super::*;
use crate::model::{Dimm, Disk, Finding, Severity};

fn server(serial: &str, speed: u64) -> Inventory {
    let mut inventory = Inventory::default();
    inventory.system.data.manufacturer = Some("Dell".into());
    inventory.system.data.product_name = Some("R640".into());
    inventory.system.data.serial_number = Some(serial.into());
    let dimm = |slot: &str, speed: u64| Dimm {
        locator: Some(slot.into()),
        populated: true,
        size: Some(32 << 30),
        configured_speed: Some(speed * 1_000_000),
        serial_number: Some(format!("{serial}-{slot}")),
        ..Dimm::default()
    };
    inventory.memory.data.dimms = vec![dimm("A1", speed), dimm("A2", 3200)];
    inventory.disks.data = vec![Disk {
        by_path: Some("pci-0000:00:17.0-ata-1.0".into()),
        model: Some("PM893".into()),
        serial: Some(format!("D{serial}")),
        ..Disk::default()
    }];
    inventory
}

/// Nineteen equal servers and one with a slow module.
#[test]
fn the_odd_one_is_named() {
    let mut members: Vec<Member> =
        (1..20).map(|n| Member::new(&format!("node{n}"), &server(&format!("S{n}"), 3200))).collect();
    members.insert(4, Member::new("node20", &server("S20", 2666)));
    let fleet = compare(members, Vec::new());
    assert_eq!(fleet.groups.len(), 1);
    let group = &fleet.groups[0];
    assert_eq!((group.model.as_str(), group.machines, group.alike.len()), ("Dell R640", 20, 19));
    let difference = Difference {
        fact: "memory A1 speed".into(),
        most: Some("3200 MT/s".into()),
        count: 19,
        this: Some("2666 MT/s".into()),
    };
    let odd = Odd { machine: "node20".into(), serial_number: Some("S20".into()), differences: vec![difference] };
    assert_eq!(group.odd, [odd]);
    let page = render(&fleet, false);
    assert_eq!(
        page.lines().collect::<Vec<_>>(),
        [
            "Dell R640  20 machines: 19 alike, 1 odd, of 6 facts",
            "  node20 (S20)",
            "    memory A1 speed: 2666 MT/s (19 have 3200 MT/s)",
        ]
    );
}

#[test]
fn what_is_missing_and_what_is_wrong_is_odd() {
    let mut without = server("S3", 3200);
    without.memory.data.dimms[1] = Dimm { locator: Some("A2".into()), ..Dimm::default() };
    let mut failing = server("S4", 3200);
    failing.findings =
        vec![Finding { code: "disk.failing".into(), severity: Severity::Critical, ..Finding::default() }];
    let members = [
        ("a", server("S1", 3200)),
        ("b", server("S2", 3200)),
        ("c", without),
        ("d", failing),
        ("e", server("S5", 3200)),
    ];
    let fleet = compare(members.iter().map(|(n, i)| Member::new(n, i)).collect(), Vec::new());
    let found: Vec<_> = fleet.groups[0]
        .odd
        .iter()
        .flat_map(|o| o.differences.iter().map(|d| (o.machine.as_str(), d.fact.as_str(), d.this.as_deref())))
        .collect();
    let expected =
        [("c", "memory A2", Some("empty")), ("c", "memory A2 speed", None), ("d", "finding disk.failing", Some("1"))];
    assert_eq!(found, expected);
}

#[test]
fn without_a_majority_nobody_is_odd() {
    let members = vec![Member::new("a", &server("S1", 3200)), Member::new("b", &server("S2", 2666))];
    let fleet = compare(members, Vec::new());
    let group = &fleet.groups[0];
    assert!(group.odd.is_empty() && !fleet.is_uniform());
    assert_eq!((group.split[0].fact.as_str(), group.split[0].values.len()), ("memory A1 speed", 2));
    let one = compare(vec![Member::new("a", &server("S1", 3200))], Vec::new());
    assert!(one.is_uniform() && render(&one, false).contains("nothing to compare it with"));
    assert_eq!(render(&Fleet::default(), false), "no machines\n");
}

/// A disk that has no place, memory that no table tells of, and a link that only one has.
#[test]
fn what_has_no_place_counts_too() {
    let plain = |name: &str, memory: u64, disks: &[&str], speed: Option<u64>| {
        let mut inventory = Inventory::default();
        inventory.memory.data.usable = Some(memory);
        inventory.disks.data = disks.iter().map(|d| Disk { name: (*d).into(), ..Disk::default() }).collect();
        inventory.nics.data = vec![crate::model::Nic { name: "eth0".into(), speed, ..Default::default() }];
        Member::new(name, &inventory)
    };
    let full = 8 << 30;
    let members = vec![
        plain("a", full - (150 << 20), &["pmem0"], None),
        plain("b", full - (140 << 20), &["pmem0"], None),
        plain("c", full - (145 << 20), &["pmem0"], None),
        plain("d", full / 2, &["pmem0"], None),
        plain("e", full - (147 << 20), &[], Some(1_000_000_000)),
    ];
    let page = render(&compare(members, Vec::new()), false);
    for line in [
        "    memory: 4096 MiB (4 have 7936 MiB)",
        "    disk pmem0: not there (4 have 0 MB)",
        "    nic eth0 speed: 1.0 Gbit/s (4 have none)",
    ] {
        assert!(page.lines().any(|one| one == line), "{line}: {page}");
    }
}

#[test]
fn other_models_are_other_groups() {
    let mut other = server("S9", 3200);
    other.system.data.product_name = Some("R740".into());
    let members =
        vec![Member::new("z", &other), Member::new("a", &server("S1", 3200)), Member::new("b", &server("S2", 3200))];
    let unreadable = vec![Unreadable { file: "notes.json".into(), error: "no inventory".into() }];
    let fleet = compare(members, unreadable);
    assert_eq!(
        fleet.groups.iter().map(|g| (g.model.as_str(), g.machines)).collect::<Vec<_>>(),
        [("Dell R640", 2), ("Dell R740", 1)]
    );
    assert!(render(&fleet, false).contains("not read notes.json: no inventory"));
}

use super::super::testing::machine;
use super::super::{plan, steps};
use super::*;
use burin_protocol::error::Coded;
use burin_protocol::order::parse_value;
use burin_table::fault_disk::FaultDisk;
use burin_table::{guid, types};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;
const SEED: u64 = 8 * MIB;

/// The first MiB of an image with these consecutive partitions: type, MiB.
fn image(sector: u32, parts: &[(&str, u64)]) -> Vec<u8> {
    let sizes: u64 = parts.iter().map(|(_, mib)| mib).sum();
    let disk = FaultDisk::new((sizes + 2) * MIB, sector);
    let parts: Vec<NewPartition> = parts
        .iter()
        .enumerate()
        .map(|(i, (kind, mib))| NewPartition {
            number: None,
            type_guid: types::guid(kind, Some("x86_64")).unwrap(),
            guid: guid::derived(&["image", &i.to_string()]),
            name: format!("p{i}"),
            attributes: 0,
            min: mib * MIB,
            max: Some(mib * MIB),
        })
        .collect();
    adjust::write_fresh(&disk, guid::derived(&["image"]), &parts, MIB).unwrap();
    let bytes = disk.bytes.into_inner();
    bytes[..MIB as usize].to_vec()
}

/// An MBR with entries of a type, a first LBA and a number of sectors.
fn mbr(entries: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; MIB as usize];
    bytes[..16].fill(0x90);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (at, (kind, first, sectors)) in (446..).step_by(16).zip(entries) {
        bytes[at + 4] = *kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    }
    bytes
}

struct Case {
    set: Value,
    seed: Value,
    boot_order: &'static str,
    block: u32,
    size: u64,
    optimal: u64,
    /// Number, start and size of a partition named "data".
    kept: Option<(u32, u64, u64)>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            set: json!({}),
            seed: Value::Null,
            boot_order: "keep",
            block: 512,
            size: 64 << 30,
            optimal: 0,
            kept: None,
        }
    }
}

impl Case {
    fn order(&self) -> Order {
        let mut set = json!({"image": "i"});
        set.as_object_mut().unwrap().extend(self.set.as_object().cloned().unwrap());
        let mut order = json!({
            "version": "order/v1", "id": "head", "images": {"i": {"urls": ["http://x/i"]}},
            "layouts": [{"name": "only", "disks": {"root": set}}], "policies": {"boot_order": self.boot_order}
        });
        if !self.seed.is_null() {
            order["seed"] = self.seed.clone();
        }
        parse_value(&order).unwrap()
    }

    fn plan(&self) -> Result<Plan, super::super::Refusal> {
        let mut disk = json!({
            "serial": "A", "size": self.size, "logical_block_size": self.block, "optimal_io_size": self.optimal
        });
        if let Some((number, start, size)) = self.kept {
            disk["partition_table"] = json!("gpt");
            disk["partitions"] = json!([{
                "number": number, "name": "kept", "start": start, "size": size, "label": "data",
                "kind": types::LINUX, "uuid": guid::derived(&["kept"])
            }]);
        }
        plan(&machine(&json!({ "disks": [disk] })), &self.order(), &BTreeMap::new())
    }

    fn check(&self, head: Vec<u8>) -> Result<Vec<String>, HeadError> {
        let plan = self.plan().unwrap();
        let warnings = check_head(&self.order(), &plan, "i", &Head::parse(head), &|_| self.optimal)?;
        Ok(warnings.into_iter().map(|warning| warning.code).collect())
    }

    fn refused(&self, head: Vec<u8>) -> &'static str {
        self.check(head).map(|_| "accepted").unwrap_or_else(|error| error.code())
    }
}

fn cloud() -> Vec<u8> {
    image(512, &[("esp", 4), ("root", 8)])
}

#[test]
fn an_ordinary_image_passes_with_everything_that_an_order_can_wish() {
    let add = json!([{"name": "data", "type": "linux", "size": "1GiB", "filesystem": {"type": "ext4"}}]);
    for seed in ["nocloud", "cidata", "config-drive"] {
        let case = Case {
            set: json!({"grow": "root", "add": add, "guids": {"disk": "new", "partitions": {"2": "new"}}}),
            seed: json!({"format": seed}),
            boot_order: "disk-first",
            ..Case::default()
        };
        assert_eq!(case.check(cloud()).unwrap(), [""; 0], "{seed}");
    }
}

/// With `grow`, `add` and a seed of its own, at both places where a partition may be kept.
#[test]
fn what_is_kept_has_to_lie_beside_the_image() {
    let set = json!({"on_existing": "destroy", "keep": [{"name": "data"}]});
    let case = |kept, more: Value| {
        let mut set = set.clone();
        set.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Case { set, kept: Some(kept), ..Case::default() }
    };
    let code = |kept| case(kept, json!({})).refused(cloud());
    let (far, gib) = (32 << 30, 1 << 30);
    assert_eq!(code((9, far, gib)), "accepted");
    assert_eq!(code((9, (64 << 30) - gib - MIB, gib)), "accepted", "at the very end");
    assert_eq!(code((9, 13 * MIB, gib)), "image.keep", "the image's backup table");
    assert_eq!(code((9, 14 * MIB, gib)), "accepted", "right behind the image");
    for (number, start) in [(9, 12 * MIB), (9, 2 * MIB), (1, far), (2, far)] {
        assert_eq!(code((number, start, gib)), "image.keep", "{number} {start}");
    }
    let everything = json!({
        "grow": "last", "add": [{"name": "more", "type": "linux", "size": "1GiB"}], "guids": {"disk": "new"}
    });
    for start in [far, (64 << 30) - gib - MIB] {
        let case = Case { seed: json!({"format": "cidata"}), ..case((9, start, gib), everything.clone()) };
        assert_eq!(case.refused(cloud()), "accepted", "{start}");
    }
    // No room between the kept partition and the image.
    let tight =
        case((9, 15 * MIB, (64 << 30) - 16 * MIB), json!({"add": [{"name": "m", "type": "linux", "size": "4MiB"}]}));
    assert_eq!(tight.refused(cloud()), "finalize.layout");
    assert_eq!(case((9, far, gib), json!({})).refused(mbr(&[(0x83, 2048, 8192)])), "image.keep");
    let mut ext4 = vec![0; MIB as usize];
    ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(case((9, far, gib), json!({})).refused(ext4), "image.keep");
}

#[test]
fn sectors_of_another_size_are_refused_and_an_mbr_must_say_them_where_it_matters() {
    let case = Case { block: 4096, ..Case::default() };
    assert_eq!(case.refused(cloud()), "image.sector_size");
    assert_eq!(case.refused(mbr(&[(0x83, 2048, 8192)])), "image.sector_size");
    assert_eq!(case.refused(image(4096, &[("root", 8)])), "accepted");
    assert_eq!(Case::default().refused(image(4096, &[("root", 8)])), "image.sector_size");
    assert_eq!(Case::default().refused(mbr(&[(0x83, 2048, 8192)])), "accepted");
}

#[test]
fn without_a_table_nothing_can_be_changed() {
    let mut ext4 = vec![0; MIB as usize];
    ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(Case::default().refused(ext4.clone()), "accepted");
    for set in [
        json!({"grow": "last"}),
        json!({"guids": {"disk": "new"}}),
        json!({"add": [{"name": "d", "type": "linux", "size": "1MiB"}]}),
    ] {
        let case = Case { set, ..Case::default() };
        assert_eq!(case.refused(ext4.clone()), "image.no_table");
    }
    for seed in ["nocloud", "cidata"] {
        let case = Case { seed: json!({"format": seed}), ..Case::default() };
        assert_eq!(case.refused(ext4.clone()), "image.no_table", "{seed}");
    }
    assert_eq!(Case { boot_order: "disk-first", ..Case::default() }.refused(ext4), "image.no_esp");
    assert_eq!(Case::default().refused(vec![7; MIB as usize]), "accepted", "the engine tells of what nobody knows");
}

#[test]
fn an_mbr_cannot_have_what_only_a_gpt_has() {
    let one = || mbr(&[(0xef, 2048, 2048), (0x83, 4096, 8192)]);
    let case = |set: Value| Case { set, ..Case::default() };
    assert_eq!(case(json!({"guids": {"disk": "new"}})).refused(one()), "finalize.mbr_unsupported");
    let add = |kind: &str| case(json!({"add": [{"name": "d", "type": kind, "size": "1MiB"}]}));
    assert_eq!(add("linux").refused(one()), "accepted");
    assert_eq!(add("raid").refused(one()), "finalize.mbr_unsupported");
    let four = || mbr(&[(0x83, 2048, 2048), (0x83, 4096, 2048), (0x83, 6144, 2048), (0x83, 8192, 2048)]);
    assert_eq!(add("linux").refused(four()), "finalize.mbr_unsupported", "before the image is written");
    assert_eq!(case(json!({"grow": "last"})).refused(one()), "accepted");
    assert_eq!(case(json!({"grow": 1})).refused(one()), "image.not_growable");
    assert_eq!(case(json!({"grow": 3})).refused(one()), "image.no_partition");
    assert_eq!(Case { boot_order: "disk-first", ..Case::default() }.refused(one()), "accepted", "type EF is an ESP");
}

#[test]
fn growing_is_refused_where_it_would_grow_nothing_or_what_has_no_filesystem() {
    let case = |grow: Value| Case { set: json!({ "grow": grow }), ..Case::default() };
    let swap_last = || image(512, &[("esp", 4), ("root", 8), ("swap", 4)]);
    assert_eq!(case(json!("last")).refused(swap_last()), "image.not_growable");
    assert_eq!(case(json!({"partition": "last", "filesystem": false})).refused(swap_last()), "image.not_growable");
    // Its contents are for the installed system to grow.
    assert_eq!(case(json!("last")).refused(image(512, &[("esp", 4), ("lvm", 8)])), "accepted");
    assert_eq!(case(json!("root")).refused(image(512, &[("esp", 4), ("lvm", 8)])), "accepted");
    let logical = || mbr(&[(0x83, 2048, 8192), (0x05, 10240, 2048)]);
    assert_eq!(case(json!("last")).refused(logical()), "accepted", "seen only when it is written");
    assert_eq!(case(json!("root")).refused(logical()), "accepted", "seen only when it is written");
    assert_eq!(case(json!("root")).refused(swap_last()), "image.grow_blocked");
    assert_eq!(case(json!(2)).refused(swap_last()), "image.grow_blocked");
    assert_eq!(case(json!(7)).refused(swap_last()), "image.no_partition");
    assert_eq!(case(json!("last")).refused(mbr(&[(0x83, 2048, 8192), (0x82, 10240, 2048)])), "image.not_growable");
    assert_eq!(case(json!(1)).refused(mbr(&[(0x83, 2048, 8192), (0x82, 10240, 2048)])), "image.grow_blocked");
    // Logical partitions may be anything.
    assert_eq!(
        case(json!({"partition": 5, "filesystem": false})).refused(mbr(&[(0x83, 2048, 8192), (0x05, 10240, 2048)])),
        "accepted"
    );
    // Only a look inside can tell which of the two is the root.
    assert_eq!(case(json!("root")).refused(image(512, &[("linux", 4), ("linux", 8)])), "accepted");
    assert_eq!(case(json!("root")).refused(image(512, &[("esp", 4), ("swap", 8)])), "image.no_root");
    // A disk as large as the image: nothing to gain, and nothing in the way.
    let exact = Case { set: json!({"grow": "root"}), size: 14 * MIB, ..Case::default() };
    assert_eq!(exact.refused(cloud()), "accepted");
}

#[test]
fn an_image_that_is_larger_than_its_disk_is_refused() {
    let case = Case { size: 10 * MIB, ..Case::default() };
    assert_eq!(case.refused(cloud()), "finalize.table_impossible");
}

#[test]
fn seeds_need_a_place_and_stay_the_only_ones() {
    let seeded = |seed: Value| Case { seed, ..Case::default() };
    assert_eq!(seeded(json!({"partition": 1})).refused(cloud()), "image.seed_place");
    assert_eq!(seeded(json!({"partition": 9})).refused(cloud()), "image.no_partition");
    assert_eq!(seeded(json!({})).refused(image(512, &[("esp", 4), ("swap", 4)])), "image.no_root");
    for (name, seed) in [("cidata", "nocloud"), ("CIDATA", "config-drive"), ("config-2", "cidata")] {
        let disk = FaultDisk::new(16 * MIB, 512);
        let part = |name: &str| NewPartition {
            number: None,
            type_guid: types::LINUX,
            guid: guid::derived(&[name]),
            name: name.to_owned(),
            attributes: 0,
            min: 2 * MIB,
            max: Some(2 * MIB),
        };
        adjust::write_fresh(&disk, guid::derived(&["x"]), &[part("root"), part(name)], MIB).unwrap();
        let head = || disk.bytes.borrow()[..MIB as usize].to_vec();
        assert_eq!(seeded(json!({ "format": seed })).refused(head()), "image.second_seed", "{name} {seed}");
        assert_eq!(Case::default().refused(head()), "accepted", "no seed of the order, none beside it");
    }
}

#[test]
fn a_guid_of_the_image_is_not_given_twice() {
    let taken = guid::derived(&["image", "1"]).to_string();
    let case = Case {
        set: json!({"add": [{"name": "p1", "type": "root", "size": "1MiB", "guid": taken}]}),
        ..Case::default()
    };
    assert_eq!(case.refused(cloud()), "image.guid_taken");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the planner accepts can be placed: one partition grows, others are added, whatever the disk's optimal I/O
    /// size.
    #[test]
    fn what_is_planned_can_be_placed(
        optimal in prop::sample::select(vec![
            0u64, 512, 4096, 65_536, 3 << 16, 1 << 20, 1_572_864, 2 << 20, 4 << 20, 5 << 20, 12 << 20, 33_553_920, 64 << 20, 1536,
        ]),
        block in prop::sample::select(vec![512u32, 4096]),
        root in 1u64..40,
        added in prop::collection::vec(1u64..(20 << 20), 0..5),
        seed in any::<bool>(),
        leave in prop::option::of(0u64..(20 << 20)),
        spare in 0u64..(400 << 20),
    ) {
        let list: Vec<Value> = added.iter().enumerate()
            .map(|(i, bytes)| json!({"name": format!("a{i}"), "type": "linux", "size": format!("{bytes}B")}))
            .collect();
        let mut grow = json!({"partition": "last", "filesystem": false});
        if let Some(bytes) = leave {
            grow["leave"] = json!(format!("{bytes}B"));
        }
        let mut case = Case { set: json!({"grow": grow, "add": list}), block, optimal, ..Case::default() };
        if seed {
            case.seed = json!({"format": "cidata"});
        }
        let head = image(block, &[("esp", 4), ("root", root)]);
        let end = (1 + 4 + root) * MIB;
        // The disk ends at any whole sector, with room for the growing partition to keep its end or extend it.
        let mut sizes = added.clone();
        sizes.extend(seed.then_some(SEED));
        let alignment = layout::alignment(optimal);
        let reserved = layout::reserve(&sizes, alignment) + leave.unwrap_or(0);
        case.size = (end + reserved + alignment + MIB + spare) / u64::from(block) * u64::from(block);
        match case.check(head) {
            Ok(warnings) => prop_assert_eq!(warnings, Vec::<String>::new()),
            Err(error) => prop_assert!(false, "{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string)),
        }
    }

    /// Any image and any order give an answer, never a panic, even with the order's own table on a copy.
    #[test]
    fn any_head_gets_an_answer(
        noise in prop::collection::vec((0usize..40_000, any::<u8>()), 0..6),
        kind in prop::sample::select(vec![0, 1, 2]),
        order in prop::sample::select(vec![0, 1, 2]),
    ) {
        let mut head = match kind {
            0 => cloud(),
            1 => mbr(&[(0x83, 2048, 8192), (0x05, 10240, 2048)]),
            _ => image(4096, &[("esp", 4), ("root", 8), ("swap", 4)]),
        };
        noise.into_iter().for_each(|(at, byte)| head[at] ^= byte);
        let sets = [json!({"grow": "last"}), json!({"grow": "root", "add": [{"name": "x", "type": "linux", "size": "1MiB"}]}), json!({"guids": {"partitions": {"1": "new"}}})];
        let case = Case { set: sets[order].clone(), seed: json!({"format": "cidata"}), block: if kind == 2 { 4096 } else { 512 }, ..Case::default() };
        let _ = case.check(head);
        prop_assert!(steps::seed_partition("CIDATA").size.is_some());
    }
}

/// The image with this name for its second partition.
fn named(name: &str) -> Vec<u8> {
    let disk = FaultDisk::new(20 * MIB, 512);
    let part = |name: &str, kind, mib| NewPartition {
        number: None,
        type_guid: kind,
        guid: guid::derived(&["image", name]),
        name: name.to_owned(),
        attributes: 0,
        min: mib * MIB,
        max: Some(mib * MIB),
    };
    let parts = [part("root", types::guid("root", Some("x86_64")).unwrap(), 8), part(name, types::LINUX, 4)];
    adjust::write_fresh(&disk, guid::derived(&["image"]), &parts, MIB).unwrap();
    disk.bytes.into_inner()[..MIB as usize].to_vec()
}

#[test]
fn a_place_for_the_seed_in_the_image_is_used_and_no_other_one_stays_beside_it() {
    let case = |format: &str| Case { seed: json!({ "format": format, "hostname": "h" }), ..Case::default() };
    assert_eq!(case("config-drive").refused(named("config-2")), "accepted");
    assert_eq!(case("cidata").refused(named("cidata")), "accepted");
    assert_eq!(case("cidata").refused(named("config-2")), "image.second_seed");
    assert_eq!(case("nocloud").refused(named("CIDATA")), "image.second_seed");
}

#[test]
fn ignition_needs_a_partition_that_it_looks_into() {
    let case = || Case { seed: json!({ "format": "ignition", "hostname": "h" }), ..Case::default() };
    assert_eq!(case().refused(named("boot")), "accepted");
    assert_eq!(case().refused(named("OEM")), "accepted");
    assert_eq!(case().refused(named("data")), "image.seed_place");
    assert_eq!(case().refused(vec![7; MIB as usize]), "image.no_table");
}

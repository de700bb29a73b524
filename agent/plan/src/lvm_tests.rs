use super::*;
use burin_protocol::plan::VolumeShape;
use proptest::prelude::*;
use serde_json::{Value, json};

fn share(physical: &[u64], volumes: Value) -> Result<Vec<CreateVolume>, Reason> {
    let volumes: BTreeMap<String, LogicalVolume> = serde_json::from_value(volumes).unwrap();
    Sharing::new("vg", 4 * MIB, physical.to_vec()).volumes(&volumes)
}

fn sizes(planned: &[CreateVolume]) -> Vec<(&str, u64)> {
    planned.iter().map(|one| (one.name.as_str(), one.extents)).collect()
}

#[test]
fn sizes_are_as_those_of_partitions() {
    let planned = share(
        &[1000],
        json!({ "a": { "size": "40MiB" }, "b": { "size": "10%" }, "c": { "weight": 3 }, "d": { "min": "4MiB", "max": "400MiB" } }),
    );
    assert_eq!(sizes(&planned.unwrap()), [("a", 10), ("b", 100), ("c", 790), ("d", 100)]);
    // A size that is not a whole number of extents is rounded up, a percentage down.
    assert_eq!(
        sizes(&share(&[10], json!({ "a": { "size": "5MiB" }, "b": { "size": "33%" } })).unwrap()),
        [("a", 2), ("b", 3)]
    );
    assert!(share(&[10], json!({})).unwrap().is_empty());
    let error = share(&[10], json!({ "a": { "size": "1GiB" } })).unwrap_err();
    assert!(matches!(error, Reason::NoRoom { need: 1_073_741_824, have: 41_943_040, .. }), "{error:?}");
}

#[test]
fn mirrors_and_stripes_come_first_and_lie_on_different_disks() {
    let planned = share(
        &[100, 100, 50],
        json!({ "a": {}, "m": { "type": "raid1", "size": "200MiB" }, "s": { "type": "striped", "size": "81MiB" } }),
    )
    .unwrap();
    // Three stripes: 81 MiB are 21 extents. A mirror of 50 and one for metadata, twice.
    assert_eq!(sizes(&planned), [("m", 50), ("s", 21), ("a", 250 - 102 - 21)]);
    assert_eq!(planned[0].shape, VolumeShape::Raid1 { on: vec![0, 1] });
    assert_eq!(planned[1].shape, VolumeShape::Striped { on: vec![0, 1, 2], stripe_size: STRIPE });
    // Enough room in total, but not on two disks.
    let error = share(&[100, 10], json!({ "m": { "type": "raid1", "size": "160MiB" } })).unwrap_err();
    assert!(error.to_string().contains("each of the 2 parts of `m`"), "{error}");
    share(&[100], json!({ "m": { "type": "raid1", "size": "4MiB" } })).unwrap_err();
}

#[test]
fn thin_volumes_take_from_their_pool_alone() {
    let planned = share(
        &[1000],
        json!({
            "pool": { "type": "thin-pool", "size": "50%" },
            "big": { "type": "thin", "pool": "pool", "size": "1TiB" },
            "half": { "type": "thin", "pool": "pool", "size": "50%" },
            "rest": {}
        }),
    )
    .unwrap();
    let metadata = 1;
    assert_eq!(sizes(&planned), [("rest", 500 - 2 * metadata), ("pool", 500), ("big", 262_144), ("half", 250)]);
    assert_eq!(planned[1].shape, VolumeShape::ThinPool { chunk: LEAST_CHUNK, metadata_extents: metadata });
    // 480 GB: 64 bytes for each 64 KiB would be 447 MiB.
    let large = Sharing::new("vg", 4 * MIB, vec![114_440]);
    assert_eq!((large.chunk, large.metadata), (256 << 10, 28));
}

proptest! {
    /// Whatever is requested: the plan fits, and parallel parts are on different disks.
    #[test]
    fn nothing_planned_exceeds_the_group(
        physical in prop::collection::vec(0u64..5000, 1..5),
        wanted in prop::collection::vec((0u8..4, prop::option::of(1u8..=60), 0u32..4), 0..6),
    ) {
        let kinds = ["linear", "striped", "raid1", "thin-pool"];
        let volumes: serde_json::Map<String, Value> = wanted.iter().enumerate().map(|(i, (kind, percent, weight))| {
            let mut volume = json!({ "type": kinds[usize::from(*kind)] });
            match percent {
                Some(percent) => volume["size"] = json!(format!("{percent}%")),
                None => volume["weight"] = json!(weight),
            }
            (format!("v{i}"), volume)
        }).collect();
        let Ok(planned) = share(&physical, Value::Object(volumes)) else { return Ok(()) };
        let mut spare = 0;
        let mut used = 0;
        for one in &planned {
            prop_assert!(one.extents > 0);
            used += match &one.shape {
                VolumeShape::Raid1 { on } => (one.extents + 1) * on.len() as u64,
                VolumeShape::Striped { on, .. } => {
                    prop_assert!(one.extents.is_multiple_of(on.len() as u64));
                    one.extents
                }
                VolumeShape::ThinPool { metadata_extents, .. } => {
                    spare = *metadata_extents;
                    one.extents + metadata_extents
                }
                VolumeShape::Linear | VolumeShape::Thin { .. } => one.extents,
            };
        }
        prop_assert!(used + spare <= physical.iter().sum::<u64>());
    }
}

use super::*;
use crate::finalize::lvm::{Part, Segment, Volume};
use crate::protocol::plan::PlannedPhysical;

fn step(shape: VolumeShape) -> CreateVolume {
    CreateVolume { group: "vg".into(), name: "v".into(), shape, extents: 20, size: 20 << 22, tags: vec!["t".into()] }
}

fn group() -> CreateGroup {
    let physical =
        |n: u32| PlannedPhysical { on: Device::Raid { name: n.to_string() }, uuid: format!("u-{n}"), extents: 99 };
    CreateGroup { name: "vg".into(), extent_size: 4 << 20, physical: vec![physical(0), physical(1)], tags: Vec::new() }
}

fn words(shape: VolumeShape) -> String {
    let group = Group {
        name: "vg".into(),
        uuid: String::new(),
        nodes: vec!["/n/a".into(), "/n/b".into()],
        below: Default::default(),
        disks: Vec::new(),
        root: "/".into(),
        sys: "/sys".into(),
    };
    lvcreate(&step(shape), &group).join(" ")
}

#[test]
fn each_shape_is_asked_for_in_full() {
    let start = "lvcreate --yes --name v --addtag t";
    let wipe = "--wipesignatures y";
    assert_eq!(words(VolumeShape::Linear), format!("{start} --type linear {wipe} --extents 20 vg"));
    assert_eq!(
        words(VolumeShape::Striped { on: vec![0, 1], stripe_size: 65536 }),
        format!("{start} --type striped {wipe} --stripes 2 --stripesize 64k --extents 20 vg /n/a /n/b")
    );
    assert_eq!(
        words(VolumeShape::Raid1 { on: vec![0, 1] }),
        format!("{start} --type raid1 {wipe} --mirrors 1 --extents 20 vg /n/a /n/b")
    );
    assert_eq!(
        words(VolumeShape::ThinPool { chunk: 65536, metadata_extents: 2 }),
        format!(
            "{start} --type thin-pool --poolmetadataspare y --chunksize 64k --poolmetadatasize 8192k --extents 20 vg"
        )
    );
    assert_eq!(
        words(VolumeShape::Thin { pool: "p".into() }),
        format!("{start} --type thin --thinpool p --virtualsize 81920k vg")
    );
}

#[test]
fn metadata_are_held_against_the_plan() {
    let striped =
        |on: &[&str]| Kind::Striped { on: on.iter().map(|&one| one.to_owned()).collect(), stripe_size: 65536 };
    let volume = |kind: Kind| Volume {
        uuid: "x".into(),
        tags: Vec::new(),
        segments: vec![Segment { start: 0, extents: 20, kind }],
    };
    let metadata = |kind: Kind, images: [&str; 2]| lvm::Group {
        name: "vg".into(),
        uuid: "g".into(),
        seqno: 2,
        extent_size: 4 << 20,
        tags: Vec::new(),
        physical: ["u0", "u1"]
            .map(|uuid| (format!("p{uuid}"), Part { uuid: uuid.into(), start: 1 << 20, extents: 99 }))
            .into(),
        volumes: [
            ("v".to_owned(), volume(kind)),
            ("i0".to_owned(), volume(striped(&[images[0]]))),
            ("i1".to_owned(), volume(striped(&[images[1]]))),
        ]
        .into(),
    };
    let held = |shape: VolumeShape, kind: Kind, images| compare(&step(shape), &group(), &metadata(kind, images));
    let both = ["pu0", "pu1"];
    let mirror = || Kind::Raid1 { images: vec!["i1".into(), "i0".into()] };
    assert_eq!(held(VolumeShape::Linear, striped(&["pu1"]), both), Ok(vec![1]));
    held(VolumeShape::Linear, striped(&both), both).unwrap_err();
    let stripes = |stripe_size| VolumeShape::Striped { on: vec![0, 1], stripe_size };
    assert_eq!(held(stripes(65536), striped(&both), both), Ok(vec![0, 1]));
    held(stripes(4096), striped(&both), both).unwrap_err();
    let copies = || VolumeShape::Raid1 { on: vec![0, 1] };
    assert_eq!(held(copies(), mirror(), both), Ok(vec![0, 1]));
    // Both copies on one disk.
    held(copies(), mirror(), ["pu0", "pu0"]).unwrap_err();
    held(copies(), striped(&["pu0"]), both).unwrap_err();
    held(VolumeShape::Thin { pool: "a".into() }, Kind::Thin { pool: "b".into() }, both).unwrap_err();
}

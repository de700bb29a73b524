use super::*;
use crate::finalize::lvm::Part;
use crate::protocol::plan::{Device, PlannedPhysical};
use std::collections::BTreeMap;

fn step() -> CreateGroup {
    let physical = PlannedPhysical { on: Device::Luks { name: "crypt".into() }, uuid: "ab-cd".into(), extents: 100 };
    CreateGroup {
        name: "vg".into(),
        extent_size: 4 << 20,
        physical: vec![physical],
        tags: vec!["t".into(), "s".into()],
    }
}

#[test]
fn arguments_leave_nothing_to_be_asked() {
    let words = pvcreate("ab-cd", Path::new("/dev/burin/x")).join(" ");
    assert_eq!(words, "pvcreate --yes --force --force --norestorefile --uuid ab-cd --dataalignment 1m /dev/burin/x");
    let words = vgcreate(&step(), &["/dev/burin/x".into()]).join(" ");
    assert_eq!(words, "vgcreate --yes --physicalextentsize 4096k --addtag t --addtag s vg /dev/burin/x");
}

#[test]
fn metadata_are_held_against_the_plan() {
    let part = |uuid: &str, extents| (uuid.to_owned(), Part { uuid: uuid.to_owned(), start: 1 << 20, extents });
    let group = |name: &str, parts: Vec<(String, Part)>| lvm::Group {
        name: name.into(),
        uuid: "g".into(),
        seqno: 1,
        extent_size: 4 << 20,
        tags: vec!["s".into(), "t".into()],
        physical: parts.into_iter().collect(),
        volumes: BTreeMap::new(),
    };
    // An array may offer a little more than was planned.
    assert_eq!(compare(&step(), &group("vg", vec![part("abcd", 101)])).unwrap()[0].extents, 101);
    for wrong in [
        group("other", vec![part("abcd", 100)]),
        group("vg", vec![part("abcd", 99)]),
        group("vg", vec![part("xx", 100)]),
        group("vg", vec![part("abcd", 100), part("xx", 1)]),
    ] {
        compare(&step(), &wrong).unwrap_err();
    }
}

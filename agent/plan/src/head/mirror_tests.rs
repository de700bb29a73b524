use super::super::super::testing::machine;
use super::super::super::{check_head, plan};
use burin_protocol::error::Coded;
use burin_protocol::order::parse_value;
use burin_table::adjust;
use burin_table::fault_disk::FaultDisk;
use burin_table::guid;
use burin_table::head::Head;
use burin_table::layout::NewPartition;
use burin_table::types;
use serde_json::json;
use std::collections::BTreeMap;

const MIB: u64 = 1 << 20;

/// An image's consecutive partitions, each of 8 MiB.
fn image(kinds: &[&str]) -> Vec<u8> {
    let disk = FaultDisk::new((kinds.len() as u64 * 8 + 2) * MIB, 512);
    let part = |(place, kind): (usize, &&str)| NewPartition {
        number: None,
        type_guid: types::guid(kind, Some("x86_64")).unwrap(),
        guid: guid::derived(&["image", &place.to_string()]),
        name: (*kind).to_owned(),
        attributes: 0,
        min: 8 * MIB,
        max: Some(8 * MIB),
    };
    let parts: Vec<NewPartition> = kinds.iter().enumerate().map(part).collect();
    adjust::write_fresh(&disk, guid::derived(&["image"]), &parts, MIB).unwrap();
    disk.bytes.into_inner()[..MIB as usize].to_vec()
}

/// The result on two disks of this size.
fn judged(bytes: Vec<u8>, size: u64, partition: Option<u32>) -> String {
    let mut set = json!({ "image": "i", "mirror": true, "count": 2 });
    if let Some(number) = partition {
        set["grow"] = json!(number);
    }
    let order = json!({
        "version": "order/v1", "id": "h", "images": { "i": { "urls": ["https://x/i"] } },
        "layouts": [ { "name": "l", "disks": { "os": set } } ], "policies": { "boot_order": "keep" }
    });
    let order = parse_value(&order).unwrap();
    let disks = json!({ "disks": [{ "serial": "A", "size": size }, { "serial": "B", "size": size }] });
    let plan = plan(&machine(&disks), &order, &BTreeMap::new()).unwrap();
    match check_head(&order, &plan, "i", &Head::parse(bytes), &|_| 0) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            assert!(error.hint().is_some());
            format!("{}: {error}", error.code())
        }
    }
}

#[test]
fn an_image_of_boot_loaders_and_one_root_can_be_a_mirror() {
    for kinds in [&["bios-boot", "esp", "root"][..], &["esp", "linux"], &["root"]] {
        assert_eq!(judged(image(kinds), 1 << 30, None), "accepted", "{kinds:?}");
    }
    assert_eq!(judged(image(&["esp", "linux"]), 1 << 30, Some(2)), "accepted");
}

#[test]
fn what_would_differ_from_disk_to_disk_is_refused() {
    for (kinds, wanted) in [
        (&["esp", "xbootldr", "root"][..], "partition 2 of the image (\"xbootldr\")"),
        (&["esp", "swap", "root"], "partition 2 of the image (\"swap\")"),
        (&["linux", "linux"], "for itself"),
        (&["esp", "raid"], "is a member"),
    ] {
        let said = judged(image(kinds), 1 << 30, None);
        assert!(said.starts_with("image.mirror: ") && said.contains(wanted), "{kinds:?}: {said}");
    }
    assert!(judged(image(&["esp", "root"]), 1 << 30, Some(1)).contains("EFI system partition"));
    let mut mbr = vec![0; MIB as usize];
    mbr[450] = 0x83;
    mbr[454..462].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(judged(mbr, 1 << 30, Some(1)).contains("has no GPT"));
}

#[test]
fn the_root_has_to_gain_room_for_what_an_array_keeps() {
    let image = || image(&["esp", "root"]);
    // Disks as large as the image, and disks with room.
    assert!(judged(image(), 18 * MIB, None).starts_with("image.mirror: "), "{}", judged(image(), 18 * MIB, None));
    assert!(judged(image(), 19 * MIB, None).contains("an array's books"));
    assert_eq!(judged(image(), 20 * MIB, None), "accepted");
}

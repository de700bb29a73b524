use super::*;

/// As LVM 2.03.16 writes it, shortened.
const TEXT: &str = r##"vg {
id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
seqno = 7
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
tags = ["burin", "a#b"]
extent_size = 8192		# 4 Megabytes
physical_volumes {
pv0 {
id = "PV0PV0-PV0P-V0PV-0PV0-PV0P-V0PV-0PV0PV"
device = "/dev/burin/1-0/sda2"	# Hint only
pe_start = 2048
pe_count = 100	# 400 Megabytes
}
pv1 {
id = "PV1PV1-PV1P-V1PV-1PV1-PV1P-V1PV-1PV1PV"
pe_start = 2048
pe_count = 90
}
}
logical_volumes {
root {
id = "LV0LV0-LV0L-V0LV-0LV0-LV0L-V0LV-0LV0LV"
tags = ["t"]
segment_count = 2
segment2 {
start_extent = 10
extent_count = 5
type = "striped"
stripe_count = 1	# linear
stripes = [
"pv1", 0
]
}
segment1 {
start_extent = 0
extent_count = 10
type = "striped"
stripe_count = 1
stripes = [
"pv0", 0
]
}
}
m {
id = "LV1"
segment1 {
start_extent = 0
extent_count = 20
type = "raid1"
device_count = 2
region_size = 4096
raids = [
"m_rmeta_0", "m_rimage_0",
"m_rmeta_1", "m_rimage_1"
]
}
}
m_rimage_0 {
id = "LV2"
segment1 {
start_extent = 0
extent_count = 20
type = "striped"
stripe_count = 1
stripes = ["pv0", 11]
}
}
m_rimage_1 {
id = "LV3"
segment1 {
start_extent = 0
extent_count = 20
type = "striped"
stripe_count = 1
stripes = ["pv1", 11]
}
}
thin {
id = "LV4"
segment1 {
start_extent = 0
extent_count = 1000
type = "thin"
thin_pool = "pool"
transaction_id = 0
device_id = 1
}
}
pool {
id = "LV5"
segment1 {
start_extent = 0
extent_count = 30
type = "thin-pool"
metadata = "pool_tmeta"
pool = "pool_tdata"
chunk_size = 128
}
}
}
}
contents = "Text Format Volume Group"
version = 1
"##;

/// Label and area of a physical volume whose text starts at `at` in its area.
fn physical(text: &str, at: usize) -> Vec<u8> {
    const AREA: usize = 8192;
    let mut bytes = vec![0; 4096 + AREA];
    let put = |bytes: &mut Vec<u8>, offset: usize, value: &[u8]| {
        bytes[offset..offset + value.len()].copy_from_slice(value);
    };
    put(&mut bytes, 512, b"LABELONE");
    put(&mut bytes, 520, &1u64.to_le_bytes());
    put(&mut bytes, 532, &32u32.to_le_bytes());
    put(&mut bytes, 536, b"LVM2 001");
    put(&mut bytes, 544, b"PV0PV0PV0PV0PV0PV0PV0PV0PV0PV0PV");
    put(&mut bytes, 584, &1_048_576u64.to_le_bytes());
    put(&mut bytes, 616, &4096u64.to_le_bytes());
    put(&mut bytes, 624, &(AREA as u64).to_le_bytes());
    let sum = crc(&bytes[532..1024]);
    put(&mut bytes, 528, &sum.to_le_bytes());
    put(&mut bytes, 4100, MAGIC);
    put(&mut bytes, 4116, &1u32.to_le_bytes());
    put(&mut bytes, 4120, &4096u64.to_le_bytes());
    put(&mut bytes, 4128, &(AREA as u64).to_le_bytes());
    put(&mut bytes, 4136, &(at as u64).to_le_bytes());
    put(&mut bytes, 4144, &(text.len() as u64).to_le_bytes());
    put(&mut bytes, 4152, &crc(text.as_bytes()).to_le_bytes());
    let sum = crc(&bytes[4100..4608]);
    put(&mut bytes, 4096, &sum.to_le_bytes());
    for (index, byte) in text.bytes().enumerate() {
        let place = at + index;
        let place = if place < AREA { place } else { place - AREA + 512 };
        bytes[4096 + place] = byte;
    }
    bytes
}

fn looked_at(bytes: &[u8]) -> Result<Physical, LvmError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path())
}

#[test]
fn a_physical_volume_tells_all_of_its_group() {
    // Contiguous, and wrapped around the end of the ring.
    for at in [512, 8192 - 300] {
        let found = looked_at(&physical(TEXT, at)).unwrap();
        assert_eq!(found.uuid, "PV0PV0PV0PV0PV0PV0PV0PV0PV0PV0PV");
        let group = found.group;
        assert_eq!((group.name.as_str(), group.seqno, group.extent_size), ("vg", 7, 4 << 20));
        assert_eq!((group.uuid.as_str(), group.tags.len()), ("aaaaaabbbbccccddddeeeeffffgggggg", 2));
        assert_eq!((group.physical["pv1"].start, group.physical["pv1"].extents), (1 << 20, 90));
        assert_eq!(group.volumes["root"].extents(), 15);
        assert_eq!(group.below("root"), ["pv0", "pv1"]);
        assert_eq!(group.below("m_rimage_0"), ["pv0"]);
        assert_eq!(group.below("m"), ["pv0", "pv1"]);
        let kind = |name: &str| group.volumes[name].segments[0].kind.clone();
        assert_eq!(kind("m"), Kind::Raid1 { images: vec!["m_rimage_0".into(), "m_rimage_1".into()] });
        assert_eq!(kind("thin"), Kind::Thin { pool: "pool".into() });
        assert!(matches!(kind("pool"), Kind::ThinPool { chunk: 65536, .. }));
    }
}

#[test]
fn damage_and_what_lies_elsewhere_is_told() {
    let good = physical(TEXT, 512);
    let why = |bytes: &[u8]| match looked_at(bytes).unwrap_err() {
        LvmError::Unsound { why, .. } => why,
        error => panic!("{error}"),
    };
    for (at, said) in
        [(512, "no label"), (600, "checksum of the label"), (4700, "checksum of the metadata"), (4200, "metadata area")]
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(why(&bad).contains(said), "{at}: {}", why(&bad));
    }
    assert!(why(&physical("vg {\n}\n", 512)).contains("no sense"));
    let cut = &good[..4096 + 512];
    assert!(why(cut).contains("not on the device"));
}

proptest::proptest! {
    #[test]
    fn junk_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..9000), text in "[a-z{}=\\[\\]\",0-9 \n]{0,400}") {
        let _ = label(&bytes);
        let _ = super::text(&bytes, 4096);
        let _ = parse(&text);
    }
}

/// Written by lvm 2.03.16 in burin's ramdisk, one volume of each type over three disks.
#[test]
fn what_lvm_itself_has_written_of_every_shape_is_read() {
    let group = parse(include_str!("lvm_shapes.txt")).unwrap();
    assert_eq!((group.physical.len(), group.volumes.len()), (3, 12));
    let one = |name: &str| {
        let volume = &group.volumes[name];
        assert_eq!(volume.segments.len(), 1);
        (volume.extents(), volume.segments[0].kind.clone())
    };
    let (extents, kind) = one("safe");
    assert_eq!((extents, kind), (4, Kind::Raid1 { images: vec!["safe_rimage_0".into(), "safe_rimage_1".into()] }));
    let on = ["pv0", "pv1", "pv2"].map(str::to_owned).to_vec();
    assert_eq!(one("wide"), (6, Kind::Striped { on, stripe_size: 64 << 10 }));
    assert_eq!(one("thin"), (256, Kind::Thin { pool: "pool".into() }));
    assert!(matches!(one("pool"), (8, Kind::ThinPool { chunk: 65536, .. })));
    assert_eq!(
        (group.below("safe_rimage_1"), group.below("thin")),
        (vec!["pv1".into()], vec!["pv0".into(), "pv2".into()])
    );
}

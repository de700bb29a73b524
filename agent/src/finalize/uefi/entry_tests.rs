//! Boot entries in a directory that replaces efivarfs.

use super::*;
use crate::error::Coded;
use crate::finalize::guid;
use crate::finalize::guid::Arch;
use crate::finalize::uefi::loader;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

fn put(directory: &Path, name: &str, value: &[u8]) {
    let bytes = [&[7, 0, 0, 0], value].concat();
    fs::write(directory.join(format!("{name}-{GLOBAL}")), bytes).expect("a variable");
}

fn words(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn esp(name: &str) -> HardDrive {
    HardDrive { number: 15, first_lba: 2048, sectors: 81920, signature: Signature::Guid(guid::derived(&[name])) }
}

fn option(label: &str, esp: HardDrive, file: &str) -> LoadOption {
    LoadOption {
        attributes: ACTIVE,
        description: label.to_owned(),
        path: vec![Node::HardDrive(esp), Node::File(file.to_owned())],
        more_paths: Vec::new(),
        optional_data: Vec::new(),
    }
}

fn target() -> Target {
    Target {
        label: "debian".to_owned(),
        esp: esp("new"),
        loader: "\\EFI\\debian\\shimx64.efi".to_owned(),
        gone: vec![guid::derived(&["old"])],
    }
}

/// 0: a dead entry of this disk; 1: PXE, which booted; 2: another disk; 3: this label on this ESP, another loader; 4:
/// unreadable; 7: only in BootOrder.
fn machine() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    put(directory.path(), "Boot0000", &option("Windows", esp("old"), "\\EFI\\ms.efi").encode());
    put(directory.path(), "Boot0001", &option("PXE", esp("nic"), "").encode());
    put(directory.path(), "Boot0002", &option("debian", esp("other disk"), "\\EFI\\debian\\grubx64.efi").encode());
    put(directory.path(), "Boot0003", &option("debian", esp("new"), "\\EFI\\debian\\grubx64.efi").encode());
    put(directory.path(), "Boot0004", &[1, 2, 3]);
    put(directory.path(), "BootOrder", &words(&[3, 0, 1, 7, 2]));
    put(directory.path(), "BootCurrent", &words(&[1]));
    directory
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .expect("variables")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), fs::read(&path).expect("a value"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_disk_comes_first_and_dead_entries_go() {
    let directory = machine();
    let variables = Variables::open(directory.path()).expect("variables");
    let receipt = install(&variables, &target(), BootOrder::DiskFirst).expect("installs");
    assert_eq!(receipt.entry.as_deref(), Some("Boot0005"));
    assert!(receipt.created);
    assert_eq!(receipt.removed, ["Boot0000", "Boot0003"]);
    assert_eq!(receipt.order_before, ["Boot0003", "Boot0000", "Boot0001", "Boot0007", "Boot0002"]);
    assert_eq!(receipt.order_after, ["Boot0005", "Boot0001", "Boot0007", "Boot0002"]);
    assert_eq!(variables.boot_numbers().expect("numbers"), [1, 2, 4, 5]);
    let written = variables.get("Boot0005").expect("reads").expect("is there");
    let entry = LoadOption::parse(&written).expect("parses");
    assert_eq!(entry, option("debian", esp("new"), "\\EFI\\debian\\shimx64.efi"));
    assert_eq!(fs::read(directory.path().join(format!("BootOrder-{GLOBAL}"))).expect("order").len(), 4 + 8);

    // Again: nothing changes.
    let before = files(directory.path());
    let again = install(&variables, &target(), BootOrder::DiskFirst).expect("installs");
    assert_eq!((again.entry, again.created, again.removed.len()), (receipt.entry, false, 0));
    assert_eq!(files(directory.path()), before);
}

#[test]
fn the_network_stays_first() {
    let directory = machine();
    let variables = Variables::open(directory.path()).expect("variables");
    let receipt = install(&variables, &target(), BootOrder::NetworkFirst).expect("installs");
    assert_eq!(receipt.order_after, ["Boot0001", "Boot0005", "Boot0007", "Boot0002"]);
}

#[test]
fn keep_changes_nothing() {
    let directory = machine();
    let before = files(directory.path());
    let variables = Variables::open(directory.path()).expect("variables");
    let receipt = install(&variables, &target(), BootOrder::Keep).expect("installs");
    assert_eq!((receipt.entry, receipt.order_before == receipt.order_after), (None, true));
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_cut_between_any_two_changes_is_completed_by_the_next_run() {
    let whole = machine();
    let variables = Variables::open(whole.path()).expect("variables");
    install(&variables, &target(), BootOrder::DiskFirst).expect("installs");
    let order = ["Boot0005", "BootOrder", "Boot0000", "Boot0003"].map(|name| format!("{name}-{GLOBAL}"));
    for done in 0..=order.len() {
        let directory = machine();
        for name in order.iter().take(done) {
            match fs::read(whole.path().join(name)) {
                Ok(bytes) => fs::write(directory.path().join(name), bytes).expect("writes"),
                Err(_) => fs::remove_file(directory.path().join(name)).expect("removes"),
            }
        }
        let variables = Variables::open(directory.path()).expect("variables");
        install(&variables, &target(), BootOrder::DiskFirst).expect("installs");
        assert_eq!(files(directory.path()), files(whole.path()), "after {done}");
    }
}

#[test]
fn no_variables_is_said_plainly() {
    let directory = tempfile::tempdir().expect("a directory");
    for path in [directory.path().to_owned(), directory.path().join("missing")] {
        let error = Variables::open(&path).expect_err("no variables");
        assert_eq!(error.code(), "finalize.not_uefi");
        assert!(error.hint().is_some());
    }
}

#[test]
fn the_order_is_arranged_by_policy() {
    use BootOrder::{DiskFirst, Keep, NetworkFirst};
    for (before, dead, current, policy, after) in [
        (&[][..], &[][..], None, DiskFirst, &[9][..]),
        (&[], &[], None, NetworkFirst, &[9]),
        (&[1, 2, 9], &[], None, DiskFirst, &[9, 1, 2]),
        (&[1, 2, 9], &[], None, NetworkFirst, &[1, 9, 2]),
        (&[1, 2, 9], &[], Some(2), NetworkFirst, &[2, 9, 1]),
        (&[1, 2], &[], Some(5), NetworkFirst, &[5, 9, 1, 2]),
        (&[1, 2], &[], Some(9), NetworkFirst, &[9, 1, 2]),
        (&[1, 2], &[1], Some(1), NetworkFirst, &[2, 9]),
        (&[1, 1, 2], &[2], None, DiskFirst, &[9, 1]),
        (&[1, 2], &[1], None, Keep, &[1, 2]),
    ] {
        assert_eq!(arrange(before, 9, dead, current, policy), after, "{before:?} {dead:?} {current:?} {policy:?}");
    }
}

#[test]
fn the_loader_is_the_one_systems_own_else_the_default() {
    let esp = tempfile::tempdir().expect("a directory");
    let find = |arch| loader::find(esp.path(), arch).map(|loader| loader.path);
    assert_eq!(find(Arch::X86_64).expect_err("no EFI").code(), "finalize.loader_none");
    let put = |path: &str| {
        let path = esp.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, "MZ").expect("a loader");
    };
    put("EFI/readme.txt");
    put("EFI/BOOT/bootx64.efi");
    assert_eq!(find(Arch::X86_64).expect("default"), "\\EFI\\BOOT\\bootx64.efi");
    assert_eq!(find(Arch::Arm64).expect_err("other architecture").code(), "finalize.loader_none");
    put("EFI/debian/grubx64.efi");
    assert_eq!(find(Arch::X86_64).expect("grub"), "\\EFI\\debian\\grubx64.efi");
    put("EFI/debian/SHIMX64.EFI");
    assert_eq!(find(Arch::X86_64).expect("shim"), "\\EFI\\debian\\SHIMX64.EFI");
    put("EFI/fedora/shimx64.efi");
    assert_eq!(find(Arch::X86_64).expect("default again"), "\\EFI\\BOOT\\bootx64.efi");
    fs::remove_dir_all(esp.path().join("EFI/BOOT")).expect("removes");
    assert_eq!(find(Arch::X86_64).expect_err("two").code(), "finalize.loader_ambiguous");
    put("EFI/debian/grubaa64.efi");
    assert_eq!(find(Arch::Arm64).expect("arm"), "\\EFI\\debian\\grubaa64.efi");
}

/// An entry made by QEMU's OVMF for a network card: PciRoot, Pci, MAC, IPv4 nodes, then the end; it survives a round
/// trip.
#[test]
fn entries_of_firmware_come_back_as_they_were() {
    let path = [
        &[2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0][..],
        &[1, 1, 6, 0, 0, 2],
        &[4, 4, 14, 0, b'\\', 0, b'a', 0, b'.', 0, b'b', 0, 0, 0],
        &[0x7f, 0xff, 4, 0],
    ]
    .concat();
    let mut bytes = vec![1, 0, 0, 0, path.len() as u8, 0, b'P', 0, b'X', 0, 0, 0];
    bytes.extend_from_slice(&path);
    bytes.extend_from_slice(b"\x4e\xac\x08\x81\x11\x9f\x59\x4d");
    let option = LoadOption::parse(&bytes).expect("parses");
    assert_eq!((option.description.as_str(), option.is_active(), option.file()), ("PX", true, Some("\\a.b")));
    assert_eq!(option.optional_data.len(), 8);
    assert_eq!(option.encode(), bytes);
    let shown: Vec<String> = option.path.iter().map(Node::to_string).collect();
    assert_eq!(shown, ["Path(2,1,d041030a00000000)", "Path(1,1,0002)", "\\a.b"]);
}

/// Written by hand from section 10.3.5.1.
#[test]
fn the_hard_drive_node_is_the_specifications() {
    let guid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    let drive = HardDrive { number: 1, first_lba: 0x800, sectors: 0x1000, signature: Signature::Guid(guid) };
    let bytes = option("x", drive, "\\A").encode();
    let node = &bytes[10..52];
    let expected = [
        &[4u8, 1, 42, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0][..],
        &[0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 2, 2],
    ]
    .concat();
    assert_eq!(node, expected);
    assert_eq!(&bytes[52..], [4, 4, 10, 0, b'\\', 0, b'A', 0, 0, 0, 0x7f, 0xff, 4, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(option) = LoadOption::parse(&bytes) {
            let _ = option.path.iter().map(Node::to_string).collect::<String>();
        }
    }

    /// Invalid data in a plausible frame, so that the nodes are reached. What parses survives a round trip.
    #[test]
    fn framed_nonsense_survives_a_round_trip(
        nodes in proptest::collection::vec((0u8..6, 0u8..6, proptest::collection::vec(any::<u8>(), 0..48)), 0..5),
        description in "[^\0]{0,20}",
        extra in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut list = Vec::new();
        for (kind, subkind, data) in &nodes {
            list.extend_from_slice(&[*kind, *subkind, (data.len() + 4) as u8, 0]);
            list.extend_from_slice(data);
        }
        list.extend_from_slice(&[0x7f, 0xff, 4, 0]);
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend_from_slice(&(list.len() as u16).to_le_bytes());
        bytes.extend(description.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
        bytes.extend_from_slice(&list);
        bytes.extend_from_slice(&extra);
        let option = LoadOption::parse(&bytes).expect("a well-formed frame");
        prop_assert_eq!(option.encode(), bytes);
    }
}

#[test]
fn orders_of_one_image_share_one_entry() {
    let directory = machine();
    let variables = Variables::open(directory.path()).expect("variables");
    let first = install(&variables, &target(), BootOrder::DiskFirst).expect("an entry");
    let before = variables.boot_numbers().expect("numbers");
    for label in ["order-2", "order-3"] {
        let next = Target { label: label.to_owned(), loader: "\\EFI\\Debian\\SHIMX64.EFI".to_owned(), ..target() };
        let again = install(&variables, &next, BootOrder::DiskFirst).expect("an entry");
        assert_eq!((&again.entry, again.created), (&first.entry, false));
        assert_eq!(variables.boot_numbers().expect("numbers"), before);
        let bytes = variables.get(again.entry.as_deref().expect("a name")).expect("reads").expect("there");
        assert_eq!(LoadOption::parse(&bytes).expect("an option").description, label);
    }
    // Left behind by earlier versions.
    put(directory.path(), "Boot0009", &option("order-0", esp("new"), &target().loader).encode());
    let last = install(&variables, &target(), BootOrder::DiskFirst).expect("an entry");
    assert_eq!(last.removed, ["Boot0009"]);
}

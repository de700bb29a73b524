//! The binary as its users meet it: pages, exit codes, JSON.

use hwinventory::Inventory;
use hwinventory::model::{Dimm, Disk, Identity, IdentityKind, LldpNeighbour, Nic, Strength};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hwinventory")).args(arguments).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn snapshot(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(name).display().to_string()
}

/// A server as it was bought.
fn server() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.system.data.manufacturer = Some("Burin".into());
    let bios = hwinventory::model::Bios { version: Some("2.1".into()), ..Default::default() };
    inventory.system.data.bios = Some(bios);
    inventory.bmc.data.firmware = Some("7.10".into());
    let dimm = |slot: &str, serial: &str| Dimm {
        locator: Some(slot.into()),
        populated: true,
        size: Some(32 << 30),
        manufacturer: Some("Micron".into()),
        serial_number: Some(serial.into()),
        ..Dimm::default()
    };
    inventory.memory.data.dimms = vec![dimm("A1", "S1"), dimm("A2", "S2"), dimm("B1", "S3")];
    let disk = |place: &str, serial: &str| Disk {
        name: "sdx".into(),
        size: 960_197_124_096,
        by_path: Some(place.into()),
        serial: Some(serial.into()),
        model: Some("PM893".into()),
        firmware: Some("JXTC304Q".into()),
        identity: Identity {
            kind: IdentityKind::Serial,
            value: format!("PM893_{serial}"),
            strength: Strength::Strong,
            reason: None,
        },
        ..Disk::default()
    };
    inventory.disks.data = vec![disk("pci-0000:00:17.0-ata-1.0", "D1"), disk("pci-0000:00:17.0-ata-2.0", "D2")];
    let port =
        LldpNeighbour { system_name: Some("tor-1".into()), port_id: "Eth1/7".into(), ..LldpNeighbour::default() };
    inventory.nics.data = vec![Nic {
        name: "eth0".into(),
        permanent_mac: Some("00:25:90:01:02:03".into()),
        firmware: Some("20.5".into()),
        lldp: vec![port],
        ..Nic::default()
    }];
    inventory
}

/// Exit code, lines, and the codes of the JSON.
fn diff(expected: &Inventory, actual: &Inventory) -> (Option<i32>, String, Vec<(String, String)>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, inventory: &Inventory| {
        let path = directory.path().join(name);
        std::fs::write(&path, serde_json::to_vec(inventory).expect("JSON")).expect("a file");
        path.display().to_string()
    };
    let (expected, actual) = (write("expected.json", expected), write("actual.json", actual));
    let page = run(&["diff", &expected, &actual]);
    let json = run(&["diff", &expected, &actual, "--json"]);
    assert_eq!(page.status.code(), json.status.code());
    let drift: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let codes = drift.as_array().expect("a list").iter().map(|d| (word(d, "code"), word(d, "subject"))).collect();
    (page.status.code(), text(&page.stdout), codes)
}

#[test]
fn the_same_machine_is_no_drift() {
    let (code, page, codes) = diff(&server(), &server());
    assert_eq!((code, page.as_str(), codes.len()), (Some(0), "no drift\n", 0));
}

#[test]
fn what_went_missing_was_replaced_moved_or_flashed() {
    let mut actual = server();
    actual.memory.data.dimms[1] = Dimm { locator: Some("A2".into()), ..Dimm::default() };
    actual.disks.data[1].serial = Some("D9".into());
    actual.disks.data[1].identity.value = "PM893_D9".into();
    actual.disks.data[0].firmware = Some("JXTC404Q".into());
    actual.nics.data[0].lldp[0].port_id = "Eth1/8".into();
    if let Some(bios) = &mut actual.system.data.bios {
        bios.version = Some("2.2".into());
    }
    actual.bmc.data.firmware = Some("7.20".into());
    let (code, page, codes) = diff(&server(), &actual);
    assert_eq!(code, Some(1));
    let expected = [
        ("system.firmware", "bios"),
        ("bmc.firmware", "bmc"),
        ("memory.dimm.missing", "A2"),
        ("disk.firmware", "PM893_D1"),
        ("disk.replaced", "pci-0000:00:17.0-ata-2.0"),
        ("nic.switch-port", "00:25:90:01:02:03"),
    ];
    assert_eq!(codes, expected.map(|(c, s)| (c.to_owned(), s.to_owned())));
    for line in [
        "- memory.dimm.missing A2: 32 GiB Micron S2",
        "~ disk.replaced pci-0000:00:17.0-ata-2.0: 960.1 GB PM893 D2 -> 960.1 GB PM893 D9",
        "~ nic.switch-port 00:25:90:01:02:03: tor-1 Eth1/7 -> tor-1 Eth1/8",
        "~ system.firmware bios: 2.1 -> 2.2",
    ] {
        assert!(page.contains(line), "{line:?} is not in\n{page}");
    }
}

#[test]
fn a_diff_of_nothing_readable_is_an_error_of_its_own() {
    let output = run(&["diff", "/nonexistent/a.json", "/nonexistent/b.json"]);
    assert_eq!(output.status.code(), Some(2), "1 is drift");
    assert!(text(&output.stderr).contains("/nonexistent/a.json"), "{}", text(&output.stderr));
    let wrong = run(&["diff", "no-such-folder"]);
    assert_eq!(wrong.status.code(), Some(2));
    // Two folders of inventories are no two machines, and an empty one is no fleet.
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().display().to_string();
    for arguments in [vec!["diff", &path, &path], vec!["diff", &path]] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(&path), "{}", text(&output.stderr));
    }
    let empty = folder.path().join("empty.json").display().to_string();
    std::fs::write(&empty, "").expect("a file");
    assert!(text(&run(&["diff", &empty, &empty]).stderr).contains("it is empty"));
}

#[test]
fn a_snapshot_as_a_page_and_as_a_document() {
    let file = snapshot("q35-bios.tar.zst");
    let page = run(&["collect", "--root", &file, "--deadline", "60000"]);
    assert_eq!(page.status.code(), Some(0), "{}", text(&page.stderr));
    let page = text(&page.stdout);
    for line in ["Burin TestRig", "2 sockets", "nvme0n1", "BURINDISK", "megaraid_sas", "Findings"] {
        assert!(page.contains(line), "{line:?} is not in\n{page}");
    }
    assert!(!page.contains('\x1b'), "colour is for terminals");
    let document = run(&["collect", "--root", &file, "--deadline", "60000", "--json"]);
    let document: Value = serde_json::from_slice(&document.stdout).expect("JSON");
    assert_eq!(document["schema_version"], "inventory/v1");
    assert_eq!(run(&["diff", &file, &file]).status.code(), Some(0));
}

#[test]
fn the_schema_is_printed() {
    let output = run(&["schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(schema["properties"]["disks"].is_object());
}

#[test]
fn a_root_that_is_nothing_is_an_error() {
    // Not /nonexistent: programs that run as nobody make it, for it is their home.
    let folder = tempfile::tempdir().expect("a temporary directory");
    let nothing = folder.path().join("nothing").display().to_string();
    let output = run(&["collect", "--root", &nothing]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(&nothing), "{}", text(&output.stderr));
}

/// A folder of five servers, one of them with a slow module, a snapshot of another model, and a file that is neither.
#[test]
fn a_folder_of_machines() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for n in 1..=5u64 {
        let mut inventory = server();
        inventory.schema_version = hwinventory::model::SCHEMA_VERSION.into();
        for dimm in &mut inventory.memory.data.dimms {
            dimm.configured_speed = Some(3_200_000_000);
        }
        if n == 3 {
            inventory.memory.data.dimms[1].configured_speed = Some(2_666_000_000);
        }
        let file = folder.path().join(format!("node{n}.json"));
        std::fs::write(file, serde_json::to_vec(&inventory).expect("JSON")).expect("a file");
    }
    let path = folder.path().display().to_string();
    let page = run(&["diff", &path]);
    assert_eq!(page.status.code(), Some(1), "{}", text(&page.stderr));
    let page = text(&page.stdout);
    assert!(page.contains("5 machines: 4 alike, 1 odd"), "{page}");
    assert!(page.contains("node3") && page.contains("memory A2 speed: 2666 MT/s (4 have 3200 MT/s)"), "{page}");
    std::fs::copy(snapshot("q35-bios.tar.zst"), folder.path().join("rig.tar.zst")).expect("a copy");
    std::fs::write(folder.path().join("notes.json"), "{}").expect("a file");
    let json = run(&["diff", &path, "--json"]);
    assert_eq!(json.status.code(), Some(2), "one of them is no inventory");
    let fleet: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(fleet["groups"].as_array().map(Vec::len), Some(2));
    assert_eq!(fleet["groups"][0]["odd"][0]["machine"], "node3");
    assert_eq!(fleet["unreadable"][0]["file"], "notes.json");
}

#[test]
fn formats_of_others() {
    let file = snapshot("q35-uefi.tar.zst");
    let get = |format: &str| -> Value {
        let output = run(&["collect", "--root", &file, "--deadline", "60000", "--format", format]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let ipa = get("ipa");
    assert_eq!(ipa["inventory"]["boot"]["current_boot_mode"], "uefi");
    assert_eq!(ipa["inventory"]["system_vendor"]["product_name"], "TestRig");
    assert_eq!(ipa["inventory"]["interfaces"].as_array().map(Vec::len), Some(4));
    // No disk of the rig has four GiB.
    assert!(ipa.get("root_disk").is_none() && ipa["inventory"]["disks"].as_array().is_some_and(|d| d.len() > 5));
    let lshw = get("lshw-json");
    assert_eq!((&lshw["class"], &lshw["product"]), (&Value::from("system"), &Value::from("TestRig")));
    let wrong = run(&["collect", "--json", "--format", "ipa"]);
    assert_eq!(wrong.status.code(), Some(2));
}

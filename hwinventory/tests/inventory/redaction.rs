//! A redacted snapshot tells no machine from another, and replays as a machine with the same relations.

use crate::builder;
use crate::support::{self, Machine};
use hwinventory::Inventory;
use hwinventory::source::{self, FsSource, Recorder, Recording, redact};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Names of files that hold nothing but an identifier.
const FILES: &[&str] = &[
    "serial",
    "wwid",
    "sas_address",
    "port_name",
    "node_name",
    "node_guid",
    "sys_image_guid",
    "product_uuid",
    "product_serial",
    "board_serial",
    "chassis_serial",
    "nguid",
    "eui",
    "uuid",
    "phys_port_id",
];

fn record(source: Arc<dyn source::Source>) -> (Inventory, Recording) {
    let recorder = Arc::new(Recorder::new(source, "test"));
    let inventory = support::collect(recorder.clone());
    (inventory, recorder.recording())
}

/// What identifies the machine, by the names of the files and the fields alone.
fn identifiers(inventory: &Inventory, recording: &Recording) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, bytes) in recording.files.iter().filter_map(|(path, answer)| Some((path, answer.as_ref().ok()?))) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let text = String::from_utf8_lossy(bytes).trim_matches(['\0', '\n', ' ']).to_owned();
        if FILES.contains(&name) || (name == "address" && path.contains("/net/")) || path.contains("/gids/") {
            found.insert(text);
        } else if name == "vpd_pg80" {
            found.insert(String::from_utf8_lossy(bytes.get(4..).unwrap_or_default()).trim().to_owned());
        } else if path == "/proc/cmdline" {
            found.extend(text.split_whitespace().filter_map(|w| Some(w.split_once("UUID=")?.1.to_owned())));
        }
    }
    fn gather(value: &Value, found: &mut BTreeSet<String>) {
        const FIELDS: &[&str] =
            &["serial", "serial_number", "uuid", "mac", "permanent_mac", "nguid", "eui64", "dm_uuid"];
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(text) if FIELDS.contains(&name.as_str()) => drop(found.insert(text.clone())),
                other => gather(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
            _ => {}
        }
    }
    gather(&serde_json::to_value(inventory).expect("JSON"), &mut found);
    found.into_iter().filter_map(|name| secret(&name)).collect()
}

/// The part of a name that tells the machine; `None` for what is on every machine, and for what chance may repeat.
fn secret(name: &str) -> Option<String> {
    let bare = ["naa.", "eui.", "uuid.", "0x", "mpath-3"].iter().find_map(|p| name.strip_prefix(p)).unwrap_or(name);
    let bare = match bare {
        // Vendor and product stand before.
        b if b.starts_with("t10.") || b.starts_with("mpath-S") => b.rsplit([' ', '_']).next()?,
        b if b.starts_with("nvme.") => return None,
        // The subnet's part of a GID, and what stands before it in an address, are no names.
        b if b.starts_with("fe80:") && b.len() == 39 => b.get(20..)?,
        b if b.split(':').count() == 20 => b.get(36..)?,
        b if b.starts_with("LVM-") => b.get(4..36)?,
        b => b,
    };
    let digits = bare.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let place = bare.matches(':').count() == 2 && bare.contains('.') || bare.contains("hci");
    let uniform = digits.trim_start_matches('0').len() < 4;
    let usual = digits.starts_with("qm0000") || hwinventory::fuzz::is_placeholder(bare);
    (bare.len() >= 6 && !uniform && !usual && !place).then(|| bare.to_owned())
}

/// The ways in which a name may be written.
fn spellings(name: &str) -> Vec<Vec<u8>> {
    let bare: String = name.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    let mut texts = vec![name.to_owned(), bare.clone()];
    let is_hex = bare.len() >= 12 && bare.len().is_multiple_of(2) && bare.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found: Vec<Vec<u8>> = Vec::new();
    if is_hex {
        let group = |n: usize, by: &str| {
            bare.as_bytes().chunks(n).map(|c| String::from_utf8_lossy(c).into_owned()).collect::<Vec<_>>().join(by)
        };
        texts.extend([group(2, ":"), group(2, "-"), group(4, ":"), group(4, "."), group(8, ":")]);
        if bare.len() == 32 {
            texts.push(format!("{}-{}-{}-{}-{}", &bare[..8], &bare[8..12], &bare[12..16], &bare[16..20], &bare[20..]));
        }
        let byte = |at: usize| u8::from_str_radix(&bare[at..at + 2], 16).expect("hexadecimal");
        let raw: Vec<u8> = (0..bare.len()).step_by(2).map(byte).collect();
        if let Ok(id) = <[u8; 16]>::try_from(raw.as_slice()) {
            found.push(uuid::Uuid::from_bytes(id).to_bytes_le().to_vec());
        }
        found.push(raw.chunks(2).flat_map(|pair| pair.iter().rev().copied()).collect());
        found.push(raw);
    }
    for text in texts.iter().flat_map(|t| [t.clone(), t.to_ascii_lowercase(), t.to_ascii_uppercase()]) {
        // As ATA writes it, whole pairs only.
        let swap = |t: &str| -> Vec<u8> { t.as_bytes().chunks_exact(2).flat_map(|p| [p[1], p[0]]).collect() };
        found.push(swap(&text));
        found.push(swap(text.get(1..).unwrap_or_default()));
        found.push(text.bytes().map(|b| format!("{b:02x}")).collect::<String>().into_bytes());
        found.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        found.push(text.into_bytes());
    }
    found.retain(|f| f.len() >= 6);
    found.sort();
    found.dedup();
    found
}

/// Where a redacted recording still holds one of the names.
fn leaks(recording: &Recording, names: &BTreeSet<String>) -> Vec<String> {
    let mut index: BTreeMap<[u8; 4], Vec<(Vec<u8>, &str)>> = BTreeMap::new();
    for name in names {
        for form in spellings(name) {
            let head = *form.first_chunk().expect("six bytes at least");
            index.entry(head).or_default().push((form, name));
        }
    }
    let mut found = Vec::new();
    let mut search = |place: &str, bytes: &[u8]| {
        for at in 0..bytes.len() {
            let Some(head) = bytes[at..].first_chunk::<4>() else { break };
            for (form, name) in index.get(head).into_iter().flatten().filter(|(f, _)| bytes[at..].starts_with(f)) {
                found.push(format!("{name} in {place} as {:?}", String::from_utf8_lossy(form)));
            }
        }
    };
    for (path, answer) in recording.files.iter().chain(&recording.queries) {
        search("a path", path.as_bytes());
        search(path, answer.as_deref().unwrap_or_default());
    }
    for (path, target) in &recording.links {
        search(path, target.as_bytes());
    }
    for (path, names) in &recording.lists {
        search(path, names.as_deref().unwrap_or_default().join("\n").as_bytes());
    }
    found
}

/// Both documents in one order, so that what only differs in its names stands in the same place.
fn ordered(value: &Value) -> Value {
    let key = |item: &Value| {
        let of = |field: &str| item.get(field).map(Value::to_string).unwrap_or_default();
        [of("name"), of("code"), of("address"), of("hctl"), of("locator"), of("mountpoint")].join("|")
    };
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "milliseconds" | "message"))
                .map(|(name, value)| (name.clone(), ordered(value)))
                .collect(),
        ),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(ordered).collect();
            items.sort_by_cached_key(key);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// That every name of `was` has exactly one other name in `is`, and that all else is the same.
fn same_but_for_names(at: &str, was: &Value, is: &Value, names: &mut BTreeMap<String, String>) {
    match (was, is) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{at}");
            a.iter().for_each(|(key, value)| same_but_for_names(&format!("{at}.{key}"), value, &b[key], names));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}: {was} {is}");
            let pairs = a.iter().zip(b).enumerate();
            pairs.for_each(|(n, (a, b))| same_but_for_names(&format!("{at}[{n}]"), a, b, names));
        }
        (Value::String(a), Value::String(b)) => {
            assert_eq!(a.len(), b.len(), "{at}: {a} {b}");
            let known = names.entry(a.clone()).or_insert_with(|| b.clone());
            assert_eq!(known, b, "{at}: {a} had another name before");
        }
        _ => assert_eq!(was, is, "{at}"),
    }
}

/// Redacts, searches, replays. Returns the replayed machine.
fn check(context: &str, source: Arc<dyn source::Source>) -> Inventory {
    let (inventory, mut recording) = record(source);
    let names = identifiers(&inventory, &recording);
    redact(&mut recording, &inventory, b"a key");
    let leaks = leaks(&recording, &names);
    assert!(leaks.is_empty(), "{context}: {} leaks:\n{}", leaks.len(), leaks.join("\n"));
    let replayed = support::collect(Arc::new(recording));
    let document = |i: &Inventory| ordered(&serde_json::to_value(i).expect("JSON"));
    let mut pairs = BTreeMap::new();
    same_but_for_names(context, &document(&inventory), &document(&replayed), &mut pairs);
    let others: BTreeSet<&String> = pairs.values().collect();
    assert_eq!(others.len(), pairs.len(), "{context}: two names became one");
    replayed
}

#[test]
fn captured_machines() {
    for archive in ["ghw", "hwloc", "lsblk", "lscpu"].iter().flat_map(|kind| support::archives(kind)) {
        let Some(root) = support::unpack(&archive) else { continue };
        check(&archive.display().to_string(), Arc::new(FsSource::directory(&root).expect("a directory")));
    }
}

#[test]
fn virtual_machines() {
    for name in ["q35-bios.tar.zst", "q35-uefi.tar.zst", "sas-bios.tar.zst", "sas-uefi.tar.zst"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines").join(name);
        check(name, hwinventory::source::open(&path).expect("a snapshot"));
    }
}

#[test]
fn tables_of_boards() {
    for path in support::archives("smbios") {
        let mut machine = Machine::default();
        let dump = std::fs::read(&path).expect("readable");
        if hwinventory::fuzz::table_offset(&dump).is_none() {
            continue;
        }
        machine.smbios(&dump);
        check(&path.display().to_string(), Arc::new(machine));
    }
}

const IB: &str = "/sys/devices/pci0000:00/0000:00:05.0";

/// GUIDs in groups of four, serial numbers of digits and dashes, and of hexadecimal digits in ATA's swapped bytes.
fn many_spellings() -> Machine {
    let mut machine = Machine::default();
    let address = "80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:12:34:57\n";
    machine.file(&format!("{IB}/net/ib0/address"), address).file(&format!("{IB}/net/ib0/type"), "32\n");
    machine.file(&format!("{IB}/net/ib0/ifindex"), "2\n").link(&format!("{IB}/net/ib0/device"), IB);
    machine.link("/sys/class/net/ib0", &format!("{IB}/net/ib0"));
    machine.file(&format!("{IB}/infiniband/mlx4_0/node_guid"), "0002:c903:0012:3456\n");
    let gid = "fe80:0000:0000:0000:0002:c903:0012:3457\n";
    machine.file(&format!("{IB}/infiniband/mlx4_0/ports/1/gids/0"), gid);
    let names = ["Microsoft Corporation", "Virtual Machine", "7.0", "1234-5678-9012-3456-7890-1234-56"];
    builder::smbios(&mut machine, (3, 1), &[builder::system(&names, *b"\x11\x22\x33\x44\x55\x66\x77\x88abcdefgh")]);
    for (port, serial) in [(1, "50026B7200C0FFEE"), (2, "50026b7200c0ffed"), (3, "WD-WCC4E1234567")] {
        machine.sata(&format!("sd{port}"), port, serial);
        let device = format!("/sys/devices/pci0000:00/0000:00:17.0/ata{port}/host{port}/target{port}:0:0/{port}:0:0:0");
        let mut identify = vec![0; 512];
        let swap = |text: String| text.as_bytes().chunks(2).flat_map(|p| [p[1], p[0]]).collect::<Vec<u8>>();
        identify[20..40].copy_from_slice(&swap(format!("{serial:>20}")));
        identify[54..94].copy_from_slice(&swap(format!("{:<40}", "MADEUP")));
        let head = [&[0, 0x89, 2, 0x38][..], &[0; 52], &[0xec, 0, 0, 0]].concat();
        machine.files.insert(format!("{device}/vpd_pg89"), [head, identify].concat());
    }
    machine
}

#[test]
fn every_spelling_is_found() {
    let replayed = check("spellings", Arc::new(many_spellings()));
    let nic = &replayed.nics.data[0];
    let (node, port) = (nic.infiniband_node_guid.as_deref(), nic.infiniband_port_guid.as_deref());
    assert_eq!(node.map(|g| &g[..18]), port.map(|g| &g[..18]), "ports stay neighbours of their adapter");
    let bare = |text: Option<&str>| text.unwrap_or_default().replace(':', "");
    assert!(bare(nic.mac.as_deref()).ends_with(&bare(port)), "{nic:?}");
    let serial = replayed.system.data.serial_number.as_deref().unwrap_or_default();
    assert!(serial.chars().all(|c| c.is_ascii_digit() || c == '-'), "{serial}");
    assert_eq!(serial.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 2]);
}

/// What says of which kind a name is survives, and with it who belongs to whom.
fn many_relations() -> Machine {
    let mut machine = Machine::default();
    let pci = "/sys/devices/pci0000:00/0000:00:17.0";
    let virtual_ = "/sys/devices/virtual/block";
    let mut paths = Vec::new();
    for (n, wwid) in ["t10.MADEUP  SERIAL-0001", "naa.6005076300000000000000000000cafe"].iter().enumerate() {
        for path in 0..2 {
            let name = format!("sd{}", char::from(b'a' + (2 * n + path) as u8));
            let real = format!("{pci}/host{path}/target{path}:0:{n}/{path}:0:{n}:0");
            let base = builder::scsi(&mut machine, &real, &name, ["MADEUP", "X", "1"], &[]);
            machine.file(&format!("{real}/wwid"), &format!("{wwid}\n"));
            paths.push((name, base));
        }
    }
    let vg = "q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6";
    let maps = [
        ("dm-0", "mpatha", "mpath-SMADEUP_X_SERIAL-0001".to_owned(), &paths[..2]),
        ("dm-1", "mpathb", "mpath-36005076300000000000000000000cafe".to_owned(), &paths[2..]),
        ("dm-2", "mpathb-part1", "part1-mpath-36005076300000000000000000000cafe".to_owned(), &paths[..0]),
        ("dm-3", "vg-root", format!("LVM-{vg}R1t2y3u4i5o6p7a8s9d0f1g2h3j4k5l6"), &paths[..0]),
        ("dm-4", "vg-swap", format!("LVM-{vg}Z1x2c3v4b5n6m7q8w9e0r1t2y3u4i5o6-tpool"), &paths[..0]),
        (
            "dm-5",
            "luks-01234567-89ab-cdef-0123-456789abcdef",
            "CRYPT-LUKS2-0123456789abcdef0123456789abcdef-luks-01234567-89ab-cdef-0123-456789abcdef".to_owned(),
            &paths[..0],
        ),
    ];
    for (name, label, uuid, slaves) in maps {
        let base = builder::disk(&mut machine, virtual_, name, &[("dm/name", label), ("dm/uuid", &uuid)]);
        for (slave, real) in slaves {
            machine.link(&format!("{base}/slaves/{slave}"), real);
        }
    }
    let md = [("md/uuid", "26d43bb7-2b9b-b08e-6912-462ad6572672"), ("md/level", "raid1")];
    builder::disk(&mut machine, virtual_, "md0", &md);
    machine.file(
        "/proc/cmdline",
        "root=UUID=11223344-5566-7788-99aa-bbccddeeff00 rd.md.uuid=26d43bb7:2b9bb08e:6912462a:d6572672 quiet\n",
    );
    machine
}

#[test]
fn relations_stay() {
    let machine = many_relations();
    let before = support::collect(Arc::new(many_relations()));
    assert!(before.disks.data.iter().all(|d| d.multipath_member), "{:?}", before.disks.data);
    let after = check("relations", Arc::new(machine));
    let kinds = |i: &Inventory| i.disks.data.iter().map(|d| (d.multipath_member, d.identity.kind)).collect::<Vec<_>>();
    assert_eq!(kinds(&before), kinds(&after));
    let uuids: Vec<&str> = after.volumes.data.iter().filter_map(|v| v.dm_uuid.as_deref()).collect();
    for kind in ["mpath-SMADEUP_X_", "mpath-3", "part1-mpath-3", "LVM-", "CRYPT-LUKS2-"] {
        assert!(uuids.iter().any(|u| u.starts_with(kind)), "{kind}: {uuids:?}");
    }
    assert!(uuids.iter().any(|u| u.ends_with("-tpool")), "{uuids:?}");
    let line = after.firmware.data.cmdline.unwrap_or_default();
    assert!(!line.contains("26d43bb7") && line.contains("rd.md.uuid="), "{line}");
}

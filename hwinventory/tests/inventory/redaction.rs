//! A redacted snapshot tells no machine from another, and replays as a machine with the same relations.

use crate::nameful::{many_relations, many_spellings, names_in_passing, numbers};
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

/// Redacts and replays. Returns the replayed machine.
fn replay(context: &str, inventory: &Inventory, mut recording: Recording) -> Inventory {
    redact(&mut recording, inventory, b"a key");
    compare(context, inventory, recording)
}

/// Redacts, searches, replays. Returns the replayed machine.
fn check(context: &str, source: Arc<dyn source::Source>) -> Inventory {
    check_for(context, source, &[])
}

/// Searches for more names than files and fields tell.
fn check_for(context: &str, source: Arc<dyn source::Source>, more: &[&str]) -> Inventory {
    let (inventory, mut recording) = record(source);
    let mut names = identifiers(&inventory, &recording);
    names.extend(more.iter().map(|name| (*name).to_owned()));
    redact(&mut recording, &inventory, b"a key");
    let leaks = leaks(&recording, &names);
    assert!(leaks.is_empty(), "{context}: {} leaks:\n{}", leaks.len(), leaks.join("\n"));
    compare(context, &inventory, recording)
}

fn compare(context: &str, inventory: &Inventory, recording: Recording) -> Inventory {
    let replayed = support::collect(Arc::new(recording));
    let document = |i: &Inventory| ordered(&serde_json::to_value(i).expect("JSON"));
    let mut pairs = BTreeMap::new();
    same_but_for_names(context, &document(inventory), &document(&replayed), &mut pairs);
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

#[test]
fn names_that_stand_in_passing() {
    let replayed = check_for(
        "in passing",
        Arc::new(names_in_passing()),
        &[
            "f5a5c5d3",
            "0A1B2C3D4E5F6071",
            "26d43bb7:2b9bb08e:6912462a:d6572671",
            "52:54:00:ab:cd:ef",
            "5005076300C213e9",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "10000000abcdef01",
            "a1b2c3d4--1122--4344--8566--778899aabbcc",
            "b1b2c3d4-1122-4344-8566-778899aabbcd",
            "node17",
            "525400abcdee",
            "20000090faf1e2d3",
            "21000090faf1e2d4",
            "1000000000c0ffef",
            "c1b2c3d4-1122-4344-8566-778899aabbcc",
        ],
    );
    let line = replayed.firmware.data.cmdline.unwrap_or_default();
    assert!(line.contains("ip=10.0.0.7::10.0.0.1:255.255.255.0 console=ttyS0,115200n8"), "{line}");
    let mount = replayed.volumes.data[0].mounts.iter().flatten().count();
    assert_eq!(mount, 1, "the mount table and the map still have one name");
    let nic = &replayed.nics.data[0];
    assert_eq!(nic.name.strip_prefix("enx"), nic.mac.as_deref().map(|m| m.replace(':', "")).as_deref(), "{nic:?}");
}

#[test]
fn numbers_stay_numbers() {
    // Nobody searches for these: they stand everywhere.
    let (before, recording) = record(Arc::new(numbers()));
    let after = replay("numbers", &before, recording);
    let shape = |i: &Inventory| -> Vec<_> {
        i.disks.data.iter().map(|d| (d.size, d.removable, d.rotational, d.logical_block_size)).collect()
    };
    assert_eq!(shape(&before), shape(&after));
    assert_eq!(before.memory.data.physical, after.memory.data.physical);
    assert_ne!(before.disks.data[0].serial, after.disks.data[0].serial);
    assert_ne!(before.disks.data[1].serial, after.disks.data[1].serial, "short ones, too");
    assert_eq!(before.unclaimed.data, after.unclaimed.data);
}

/// What nobody filled in must not look as if somebody had.
#[test]
fn placeholders_stay_placeholders() {
    let mut machine = Machine::default();
    machine.file("/sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n");
    machine.file("/sys/class/dmi/id/product_serial", "To be filled by O.E.M.\n");
    let (before, recording) = record(Arc::new(machine));
    let replayed = replay("placeholders", &before, recording);
    assert_eq!((replayed.system.data.uuid, replayed.system.data.serial_number), (None, None));
}

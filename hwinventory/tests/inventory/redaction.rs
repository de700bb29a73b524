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

/// Names that are in no field of the inventory, and numbers that are no names.
fn names_in_passing() -> Machine {
    let mut machine = Machine::default();
    let md = "26d43bb7:2b9bb08e:6912462a:d6572671";
    machine.file(
        "/proc/cmdline",
        &format!(
            "root=PARTUUID=f5a5c5d3-01 resume=UUID=0A1B2C3D4E5F6071 rd.md.uuid={md} ifname=eth7:52:54:00:ab:cd:ef \
             rd.zfcp=0.0.4000,0x5005076300C213e9,0x5022000000000000 systemd.machine_id=0f1e2d3c4b5a69788796a5b4c3d2e1f0 \
             ip=10.0.0.7::10.0.0.1:255.255.255.0 console=ttyS0,115200n8\n"
        ),
    );
    let cpu = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nHardware\t: BCM2711\nSerial\t\t: 10000000abcdef01\n";
    machine.file("/proc/cpuinfo", cpu);
    // Ceph calls its volumes by UUIDs, and device mapper doubles their dashes.
    let osd = "ceph--a1b2c3d4--1122--4344--8566--778899aabbcc-osd--block--b1b2c3d4--1122--4344--8566--778899aabbcd";
    let lvm = "LVM-q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6R1t2y3u4i5o6p7a8s9d0f1g2h3j4k5l6";
    builder::disk(&mut machine, "/sys/devices/virtual/block", "dm-0", &[("dm/name", osd), ("dm/uuid", lvm)]);
    machine.file("/proc/self/mountinfo", &format!("1 0 253:0 / /var rw - ext4 /dev/mapper/{osd} rw\n"));
    let hca = format!("{IB}/infiniband/mlx5_0");
    machine.file(&format!("{hca}/node_desc"), "node17 mlx5_0\n").file(&format!("{hca}/node_type"), "1: CA\n");
    machine.file(&format!("{hca}/node_guid"), "0002:c903:0012:3456\n");
    machine.link("/sys/class/infiniband/mlx5_0", &hca);
    let fc = "/sys/devices/pci0000:00/0000:00:06.0/host1/fc_host/host1";
    machine.file(&format!("{fc}/symbolic_name"), "Emulex LPe16002B-M6 FV10.2 DV11.1. HN:node17. OS:Linux\n");
    machine.file(&format!("{fc}/port_name"), "0x10000090faf1e2d3\n").link("/sys/class/fc_host/host1", fc);
    machine.file("/proc/sys/kernel/hostname", "node17\n");
    // A card that is called by its address.
    let nic = "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0/net/enx525400abcdee";
    for (file, text) in [("address", "52:54:00:ab:cd:ee"), ("type", "1"), ("ifindex", "3"), ("addr_assign_type", "0")] {
        machine.file(&format!("{nic}/{file}"), &format!("{text}\n"));
    }
    machine.link("/sys/class/net/enx525400abcdee", nic);
    machine.link(&format!("{nic}/device"), "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-3/1-3:1.0");
    // NVMe over Fibre Channel: the address is made of names.
    let ctl = "/sys/devices/virtual/nvme-fabrics/ctl/nvme3";
    let address =
        "traddr=nn-0x20000090faf1e2d3:pn-0x21000090faf1e2d4,host_traddr=nn-0x2000000000c0ffee:pn-0x1000000000c0ffef\n";
    machine.file(&format!("{ctl}/address"), address).file(&format!("{ctl}/transport"), "fc\n");
    machine.file(&format!("{ctl}/subsysnqn"), "nqn.1992-08.com.example:sn.0a1b2c3d:subsystem.7\n");
    machine.file(&format!("{ctl}/hostid"), "c1b2c3d4-1122-4344-8566-778899aabbcc\n");
    machine.link("/sys/class/nvme/nvme3", ctl);
    machine
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

/// Serial numbers of digits, asset tags of one: the numbers of the machine are not among its names.
fn numbers() -> Machine {
    let mut machine = Machine::default();
    let mut dimms = vec![builder::system(&["Made Up", "Server", "1", "1001000"], *b"made-up-machine!")];
    for (n, serial) in ["1", "512", "00001234", "8192000"].iter().enumerate() {
        let slot = format!("A{n}");
        let dimm = builder::Structure::new(17, 0x54, &[&slot, serial, "1"]);
        dimms.push(dimm.set(0x0c, &[0, 4]).set(0x10, &[1]).set(0x12, &[0x1a]).set(0x18, &[2, 3]));
    }
    builder::smbios(&mut machine, (3, 2), &dimms);
    machine.file("/proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 28192000 kB\n");
    machine.sata("sda", 1, "1001000").sata("sdb", 2, "512").sata("sdc", 3, "200040");
    let nic = "/sys/devices/pci0000:00/0000:00:05.0";
    machine.link("/sys/bus/pci/devices/0000:00:05.0", nic).file(&format!("{nic}/vendor"), "0x8086\n");
    machine.file(&format!("{nic}/device"), "0x1234\n").file(&format!("{nic}/class"), "0x020000\n");
    machine.file(&format!("{nic}/modalias"), "pci:v00008086d00001234sv00001AF4sd00001100bc02sc00i00\n");
    machine
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

//! Every snapshot in tests/machines, compared with what other programs say of the same files: lscpu, lsblk, dmidecode, lspci
//! and udevadm, which can look below another root. ipmitool and nvme-cli need the devices themselves: they were asked in the
//! guest (`rack.rs`).

use crate::support::{self, Machine};
use crate::{oracles, smbios, udev};
use hwinventory::Inventory;
use hwinventory::source::Recording;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The snapshots, by name.
fn snapshots() -> Vec<(String, Recording)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".tar.zst") && !name.ends_with(".oracles.tar.zst") {
            let file = std::fs::File::open(entry.path()).expect("readable");
            found.push((name, Recording::load(file).expect("a snapshot")));
        }
    }
    assert!(found.len() >= 6, "{}", found.len());
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn collect(recording: &Recording) -> Inventory {
    support::collect(Arc::new(recording.clone()))
}

fn file<'a>(recording: &'a Recording, path: &str) -> Option<&'a [u8]> {
    recording.files.get(path)?.as_deref().ok()
}

/// The files and links of a snapshot, as a machine of the tests.
fn machine(recording: &Recording) -> Machine {
    let files = recording.files.iter().filter_map(|(path, bytes)| Some((path.clone(), bytes.clone().ok()?)));
    Machine { files: files.collect(), links: recording.links.clone(), ..Machine::default() }
}

/// The same in a directory, with the kernel's index of block devices, by which lsblk finds them.
fn unpacked(recording: &Recording) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let at = |path: &str| {
        let path = root.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().expect("below the root")).expect("writable");
        path
    };
    for (path, bytes) in machine(recording).files {
        std::fs::write(at(&path), bytes).expect("writable");
    }
    for (path, target) in &recording.links {
        // Some snapshots have the index.
        if at(path).symlink_metadata().is_err() {
            std::os::unix::fs::symlink(target, at(path)).expect("writable");
        }
        // Paths of an NVMe namespace with several have no number.
        let number = std::fs::read_to_string(at(path).join("dev"));
        if let (Some(name), Ok(device)) = (path.strip_prefix("/sys/block/"), number) {
            let (index, target) = (at(&format!("/sys/dev/block/{}", device.trim())), format!("../../block/{name}"));
            if index.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(target, index).expect("writable");
            }
        }
    }
    root
}

#[test]
fn processors_and_disks() {
    if !support::has("lscpu") || !support::has("lsblk") {
        return;
    }
    for (name, recording) in snapshots() {
        let (inventory, root) = (collect(&recording), unpacked(&recording));
        let cpu = oracles::json("lscpu", &["-J", "-B"], root.path()).expect("lscpu speaks JSON");
        oracles::compare_cpu(&name, &cpu, &inventory);
        let blocks = oracles::json("lsblk", &["-J", "-b", "-O"], root.path()).expect("lsblk speaks JSON");
        assert!(oracles::compare_blocks(&name, &blocks, &inventory) > 0, "{name}");
    }
}

/// Beside the entry point dmidecode wants the table at offset 32 of one file, and says so itself.
fn dump(recording: &Recording) -> Vec<u8> {
    let table = |name: &str| file(recording, &format!("/sys/firmware/dmi/tables/{name}")).expect("a table").to_vec();
    let mut dump = table("smbios_entry_point");
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    let length = dump.len();
    if dump.starts_with(b"_SM3_") {
        dump[16..24].copy_from_slice(&32u64.to_le_bytes());
        dump[5] = 0;
        dump[5] = sum(&dump[..length]);
    } else {
        dump[24..28].copy_from_slice(&32u32.to_le_bytes());
        dump[21] = 0;
        dump[21] = sum(&dump[16..length]);
        dump[4] = 0;
        dump[4] = sum(&dump[..length]);
    }
    dump.resize(32, 0);
    dump.extend(table("DMI"));
    dump
}

#[test]
fn firmware_tables() {
    if !support::has("dmidecode") {
        return;
    }
    for (name, recording) in snapshots() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), dump(&recording)).expect("writable");
        let inventory = collect(&recording);
        // Digits that somebody ran a finger along are no UUID for us.
        let uuid = inventory.system.data.uuid.is_some();
        let text = smbios::dmidecode(file.path());
        let text: String = text.split_inclusive('\n').filter(|line| uuid || !line.contains("UUID:")).collect();
        assert!(smbios::compare::compare(&name, &text, &inventory) > 5, "{name}: {text}");
    }
}

/// Configuration space is not in snapshots: lspci is given the header that the kernel's attributes were taken from, and the
/// names that are built into hwinventory.
#[test]
fn functions_and_their_names() {
    if !support::has("lspci") {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let names = folder.path().join("pci.ids");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pci.ids.zst");
    let unpacked = zstd::decode_all(std::fs::File::open(packed).expect("readable")).expect("whole");
    std::fs::write(&names, unpacked).expect("writable");
    for (name, recording) in snapshots() {
        let inventory = collect(&recording);
        let headers = folder.path().join("headers");
        std::fs::write(&headers, inventory.pci.data.iter().map(|d| header(&recording, &d.address)).collect::<String>())
            .expect("writable");
        let mut lspci = Command::new("lspci");
        lspci.arg("-F").arg(&headers).arg("-i").arg(&names).arg("-Dvmm").env("LC_ALL", "C");
        let text = String::from_utf8_lossy(&lspci.output().expect("it runs").stdout).into_owned();
        let blocks = text.split("\n\n").filter(|block| block.starts_with("Slot:"));
        let theirs: Vec<BTreeMap<&str, &str>> =
            blocks.map(|block| block.lines().filter_map(|line| line.split_once(":\t")).collect()).collect();
        assert_eq!(theirs.len(), inventory.pci.data.len(), "{name}: {text}");
        for (ours, theirs) in inventory.pci.data.iter().zip(theirs) {
            let context = format!("{name} {}", ours.address);
            assert_eq!(theirs.get("Slot"), Some(&ours.address.as_str()), "{context}");
            // Where lspci knows no name it says which number it is of, and we say nothing.
            let known =
                |key: &str| theirs.get(key).copied().filter(|n| n.split_once(' ').is_none_or(|(w, _)| w != key));
            assert_eq!(ours.vendor.as_deref(), known("Vendor"), "{context}");
            assert_eq!(ours.device.as_deref(), known("Device"), "{context}");
            assert_eq!(ours.class.as_deref(), known("Class"), "{context}");
            let revision = ours.revision.as_deref().map(|r| r.trim_start_matches("0x")).filter(|r| *r != "00");
            assert_eq!(revision, theirs.get("Rev").copied(), "{context}");
        }
    }
}

/// The first 64 bytes of configuration space, as far as sysfs tells them, in the form of `lspci -x`.
fn header(recording: &Recording, address: &str) -> String {
    let link = format!("/sys/bus/pci/devices/{address}");
    let target = recording.links.get(&link).expect("a link");
    let directory = format!("/sys/{}", target.trim_start_matches("../"));
    let number = |name: &str| {
        let text = String::from_utf8_lossy(file(recording, &format!("{directory}/{name}")).unwrap_or_default());
        u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(0)
    };
    let mut bytes = [0u8; 64];
    let mut put = |at: usize, value: u32, length: usize| {
        bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
    };
    put(0, number("vendor"), 2);
    put(2, number("device"), 2);
    put(8, number("revision"), 1);
    put(9, number("class"), 3);
    put(44, number("subsystem_vendor"), 2);
    put(46, number("subsystem_device"), 2);
    let mut text = format!("{address} device\n");
    for (row, bytes) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:02x}:", row * 16);
        for byte in bytes {
            let _ = write!(text, " {byte:02x}");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

#[test]
fn places_are_as_udev_names_them() {
    for (name, recording) in snapshots() {
        let inventory = collect(&recording);
        let disks: Vec<String> = inventory.disks.data.iter().map(|d| d.name.clone()).collect();
        let Some(theirs) = udev::places(&machine(&recording), &disks) else { return };
        let ours: Vec<Option<String>> = inventory.disks.data.iter().map(|d| d.by_path.clone()).collect();
        assert_eq!(ours, theirs, "{name} {disks:?}");
    }
}

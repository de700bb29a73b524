//! Captured machines of every kind, compared with the files of the dump itself, and what becomes of a machine whose files
//! are missing or may not be read.

use crate::support;
use hwinventory::Inventory;
use hwinventory::model::Status;
use hwinventory::source::{FsSource, Query, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

const KINDS: &[&str] = &["ghw", "hwloc", "lsblk", "lscpu"];

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).collect()
}

fn text(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).trim().to_owned())
}

fn number(path: &Path) -> Option<u64> {
    text(path)?.parse().ok()
}

/// Every block device, every PCI function, every node and the memory of every dump.
#[test]
fn nothing_of_a_dump_is_lost() {
    for archive in KINDS.iter().flat_map(|kind| support::archives(kind)) {
        let Some(root) = support::unpack(&archive) else { continue };
        let inventory = support::collect_directory(&root);
        let context = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        blocks(&context, &root, &inventory);
        functions(&context, &root, &inventory);

        let nodes = names(&root.join("sys/devices/system/node"));
        let nodes: BTreeSet<u64> = nodes.iter().filter_map(|n| n.strip_prefix("node")?.parse().ok()).collect();
        assert_eq!(inventory.numa.data.nodes.iter().map(|n| n.node).collect::<BTreeSet<_>>(), nodes, "{context}");
        let total = text(&root.join("proc/meminfo")).and_then(|t| {
            t.lines().find_map(|l| l.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
        });
        assert_eq!(inventory.memory.data.usable, total.map(|kib| kib << 10), "{context}: memory");
        // What there is could be read, so no section may say otherwise.
        for (section, status) in statuses(&inventory) {
            assert!(matches!(status, Status::Ok | Status::Absent), "{context}: {section} is {status:?}");
        }
    }
}

fn blocks(context: &str, root: &Path, inventory: &Inventory) {
    let all: BTreeMap<&str, u64> =
        inventory.disks.data.iter().chain(&inventory.volumes.data).map(|d| (d.name.as_str(), d.size)).collect();
    for name in names(&root.join("sys/block")) {
        let directory = root.join("sys/block").join(&name);
        let size = number(&directory.join("size")).unwrap_or(0) * 512;
        let unused = size == 0 && ["loop", "nbd", "zram"].iter().any(|p| name.starts_with(p));
        if unused || name.starts_with("ram") || number(&directory.join("hidden")) == Some(1) {
            continue;
        }
        assert_eq!(all.get(name.as_str()), Some(&size), "{context} {name}");
    }
}

fn functions(context: &str, root: &Path, inventory: &Inventory) {
    let base = root.join("sys/bus/pci/devices");
    let ours: BTreeMap<&str, _> = inventory.pci.data.iter().map(|d| (d.address.as_str(), d)).collect();
    for address in names(&base) {
        let directory = base.join(&address);
        let id = |name: &str| text(&directory.join(name)).map(|t| t.trim_start_matches("0x").to_owned());
        let alias = text(&directory.join("modalias"));
        let vendor = id("vendor").or_else(|| alias.as_deref()?.get(9..13).map(str::to_lowercase));
        let Some(vendor) = vendor else { continue };
        let device = ours.get(address.as_str()).unwrap_or_else(|| panic!("{context}: {address} is missing"));
        assert_eq!(device.vendor_id, vendor, "{context} {address}");
        assert!(device.class_id.len() == 6, "{context} {address}: {}", device.class_id);
    }
}

fn statuses(inventory: &Inventory) -> Vec<(String, Status)> {
    let document = serde_json::to_value(inventory).expect("an inventory is JSON");
    let sections = document.as_object().expect("an object").iter();
    sections
        .filter_map(|(name, section)| {
            Some((name.clone(), serde_json::from_value(section.get("status")?.clone()).ok()?))
        })
        .collect()
}

/// Names that a shop would put on the order, of one dump after the other.
#[test]
fn known_machines() {
    let read = |kind: &str, name: &str| {
        let archive = support::archives(kind).into_iter().find(|a| a.display().to_string().contains(name))?;
        Some(support::collect_directory(&support::unpack(&archive)?))
    };
    if let Some(server) = read("ghw", "8581cf3a") {
        let cpu = &server.cpu.data;
        assert_eq!((cpu.sockets, cpu.cores, cpu.threads, cpu.threads_per_core), (Some(2), Some(12), Some(24), Some(2)));
        assert_eq!(cpu.models[0].name.as_deref(), Some("Intel(R) Xeon(R) CPU           L5640  @ 2.27GHz"));
        assert_eq!(server.numa.data.nodes.len(), 2);
        let disk = server.disks.data.iter().find(|d| d.name == "sda").expect("a disk");
        assert_eq!((disk.size, disk.rotational), (499_558_383_616, Some(true)));
        assert!(server.pci.data.iter().any(|d| d.vendor.as_deref() == Some("Intel Corporation")));
    }
    if let Some(guest) = read("ghw", "accel-nvidia") {
        let gpu = guest.pci.data.iter().find(|d| d.gpu && d.vendor_id == "10de").expect("an accelerator");
        assert_eq!(gpu.vendor.as_deref(), Some("NVIDIA Corporation"));
    }
    if let Some(offline) = read("ghw", "offlineCPUs") {
        let cpu = &offline.cpu.data;
        assert_eq!((cpu.threads, cpu.offline.as_deref()), (Some(2), Some("2-3")));
    }
    if let Some(arm) = read("ghw", "arm64") {
        assert_eq!(arm.cpu.data.models[0].name.as_deref(), Some("Neoverse-N1"));
        assert_eq!(arm.cpu.data.architecture.as_deref(), Some("aarch64"));
    }
    if let Some(hybrid) = read("hwloc", "hybrid") {
        let kinds: Vec<_> = hybrid.cpu.data.models.iter().map(|m| (m.threads, m.max_frequency)).collect();
        assert_eq!(kinds, [(Some(12), Some(5_200_000_000)), (Some(8), Some(3_900_000_000))]);
    }
    if let Some(power) = read("hwloc", "nvidiagpunumanodes") {
        assert_eq!(power.cpu.data.models[0].name.as_deref(), Some("POWER9, altivec supported"));
        assert_eq!((power.cpu.data.cores, power.cpu.data.threads_per_core), (Some(8), Some(4)));
    }
}

/// A machine that is damaged: some files are gone, some may not be read, some answer with an error, some with rubbish.
struct Damaged {
    inner: FsSource,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    None,
    Gone,
    Denied,
    Broken,
    Rubbish,
    Empty,
}

impl Damaged {
    /// One path in six, the same ones every time.
    fn damage(&self, path: &str) -> Damage {
        let hash = path
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        match hash >> 17 & 31 {
            0 => Damage::Gone,
            1 => Damage::Denied,
            2 => Damage::Broken,
            3 => Damage::Rubbish,
            4 => Damage::Empty,
            _ => Damage::None,
        }
    }

    fn error(&self, path: &str) -> Option<io::Error> {
        match self.damage(path) {
            Damage::Gone => Some(io::ErrorKind::NotFound.into()),
            Damage::Denied => Some(io::ErrorKind::PermissionDenied.into()),
            Damage::Broken => Some(io::Error::from_raw_os_error(5)),
            _ => None,
        }
    }
}

impl Source for Damaged {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        if let Some(error) = self.error(path) {
            return Err(error);
        }
        let bytes = self.inner.read(path)?;
        Ok(match self.damage(path) {
            Damage::Rubbish => bytes.iter().map(|b| b.rotate_left(3) ^ 0xa5).chain([0xff, 0xfe, b'-', b'1']).collect(),
            Damage::Empty => Vec::new(),
            _ => bytes,
        })
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match self.error(path) {
            Some(error) => Err(error),
            None => self.inner.list(path),
        }
    }

    fn link(&self, path: &str) -> io::Result<String> {
        match self.damage(path) {
            Damage::None | Damage::Empty => self.inner.link(path),
            Damage::Rubbish => Ok("../../../../../../../../../x/\u{fffd}".to_owned()),
            _ => Err(self.error(path).unwrap_or(io::ErrorKind::NotFound.into())),
        }
    }

    fn query(&self, query: &Query) -> io::Result<Vec<u8>> {
        self.inner.query(query)
    }
}

/// Whatever is wrong with its files, a machine has an inventory, no collector stops, and what may not be read is not
/// called absent.
#[test]
fn damaged_machines_are_described_all_the_same() {
    let mut denied = 0;
    for archive in KINDS.iter().flat_map(|kind| support::archives(kind)) {
        let Some(root) = support::unpack(&archive) else { continue };
        for seed in 0..8u64 {
            let inner = FsSource::directory(&root).expect("a directory");
            let inventory = support::collect(Arc::new(Damaged { inner, seed }));
            let text = serde_json::to_string(&inventory).expect("an inventory is JSON");
            assert!(!text.contains("stopped unexpectedly"), "{} with seed {seed}: {text}", archive.display());
            assert!(!text.contains("went away"), "{} with seed {seed}: {text}", archive.display());
            denied += usize::from(text.contains("\"status\":\"denied\""));
        }
    }
    assert!(denied > 0 || support::fixtures().is_none(), "nothing was denied");
}

/// A user who is not root sees less, and the inventory says so.
#[test]
fn what_may_not_be_read_is_denied_and_not_absent() {
    struct Locked(support::Machine);
    impl Source for Locked {
        fn read(&self, path: &str) -> io::Result<Vec<u8>> {
            if path.contains("/dmi/tables/") { Err(io::ErrorKind::PermissionDenied.into()) } else { self.0.read(path) }
        }
        fn list(&self, path: &str) -> io::Result<Vec<String>> {
            self.0.list(path)
        }
        fn link(&self, path: &str) -> io::Result<String> {
            self.0.link(path)
        }
        fn query(&self, _: &Query) -> io::Result<Vec<u8>> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let mut machine = support::Machine::default();
    machine.sata("sda", 1, "FIRST001");
    machine.file("/proc/meminfo", "MemTotal: 1024 kB\n");
    machine.file("/sys/class/ipmi/ipmi0/dev", "240:0\n");
    let inventory = support::collect(Arc::new(Locked(machine)));
    assert_eq!(inventory.system.status, Status::Denied);
    assert_eq!((inventory.memory.status, inventory.memory.data.usable), (Status::Partial, Some(1 << 20)));
    assert_eq!(inventory.disks.data[0].status, Status::Partial);
    assert!(inventory.disks.data[0].problems.iter().any(|p| p.status == Status::Denied));
    assert_eq!(inventory.disks.data[0].signatures, None, "not read is not none");
    assert_eq!(inventory.bmc.status, Status::Partial);
}

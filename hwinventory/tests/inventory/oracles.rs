//! Captured machines, compared value by value with lsblk and lscpu.

use crate::support::{self, archives};
use hwinventory::Inventory;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

pub fn json(program: &str, arguments: &[&str], root: &Path) -> Option<Value> {
    let output = Command::new(program).args(arguments).arg("--sysroot").arg(root).env("LC_ALL", "C").output().ok()?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Everything below `blockdevices`, parents before children.
fn flatten<'a>(devices: &'a Value, found: &mut Vec<&'a Value>) {
    for device in devices.as_array().into_iter().flatten() {
        found.push(device);
        flatten(&device["children"], found);
    }
}

#[test]
fn disks_are_as_lsblk_sees_them() {
    if !support::has("lsblk") {
        return;
    }
    for archive in archives("lsblk") {
        let Some(root) = support::unpack(&archive) else { continue };
        let oracle = json("lsblk", &["-J", "-b", "-O"], &root).expect("lsblk speaks JSON");
        let inventory = support::collect_directory(&root);
        let compared = compare_blocks(&archive.display().to_string(), &oracle, &inventory);
        assert!(compared > 0, "{}: nothing was compared", archive.display());
    }
}

/// Every block device that lsblk lists, value by value; how many disks and volumes were compared.
pub fn compare_blocks(context: &str, oracle: &Value, inventory: &Inventory) -> usize {
    let mut devices = Vec::new();
    flatten(&oracle["blockdevices"], &mut devices);
    let mut compared = 0;
    for theirs in devices {
        let name = theirs["kname"].as_str().unwrap_or_default();
        let context = format!("{context} {name}");
        if theirs["type"] == "part" {
            compare_partition(&context, theirs, inventory);
            continue;
        }
        let mut all = inventory.disks.data.iter().chain(&inventory.volumes.data);
        let ours = all.find(|d| d.name == name).unwrap_or_else(|| panic!("{context} is missing"));
        let number = |key: &str| theirs[key].as_u64();
        assert_eq!(Some(ours.size), number("size"), "{context} size");
        assert_eq!(ours.device_number.as_deref(), theirs["maj:min"].as_str(), "{context} maj:min");
        for (key, value) in [
            ("log-sec", ours.logical_block_size),
            ("phy-sec", ours.physical_block_size),
            ("min-io", ours.minimum_io_size),
            ("opt-io", ours.optimal_io_size),
            ("disc-gran", ours.discard_granularity),
            ("disc-max", ours.discard_max_bytes),
            ("alignment", ours.alignment_offset),
        ] {
            assert_eq!(value, number(key), "{context} {key}");
        }
        assert_eq!(ours.rotational, theirs["rota"].as_bool(), "{context} rota");
        assert_eq!(Some(ours.removable), theirs["rm"].as_bool(), "{context} rm");
        assert_eq!(Some(ours.read_only), theirs["ro"].as_bool(), "{context} ro");
        assert_eq!(ours.zoned.as_deref(), theirs["zoned"].as_str(), "{context} zoned");
        assert_eq!(ours.scheduler.as_deref(), theirs["sched"].as_str(), "{context} sched");
        // lsblk takes serial and WWN from udev's database, which a dump does not have.
        for (key, value) in
            [("model", &ours.model), ("serial", &ours.serial), ("rev", &ours.firmware), ("hctl", &ours.hctl)]
        {
            if let Some(expected) = theirs[key].as_str() {
                assert_eq!(value.as_deref(), Some(expected.trim()), "{context} {key}");
            }
        }
        if let Some("sata" | "nvme" | "usb" | "sas") = theirs["tran"].as_str() {
            let ours = serde_json::to_value(ours.transport).expect("a word");
            assert_eq!(Some(&ours), theirs.get("tran"), "{context} tran");
        }
        compared += 1;
    }
    compared
}

fn compare_partition(context: &str, theirs: &Value, inventory: &Inventory) {
    let name = theirs["kname"].as_str().unwrap_or_default();
    let (disk, part) = (inventory.disks.data.iter().chain(&inventory.volumes.data))
        .find_map(|d| d.partitions.iter().find(|p| p.name == name).map(|p| (d, p)))
        .unwrap_or_else(|| panic!("{context} is missing"));
    assert_eq!(Some(part.size), theirs["size"].as_u64(), "{context} size");
    assert_eq!(part.device_number.as_deref(), theirs["maj:min"].as_str(), "{context}");
    let ours: Vec<&str> =
        disk.mounts.iter().flatten().filter(|m| m.device == name).map(|m| m.mountpoint.as_str()).collect();
    for mountpoint in theirs["mountpoints"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(ours.contains(&mountpoint), "{context}: {mountpoint} not in {ours:?}");
    }
}

#[test]
fn processors_are_as_lscpu_sees_them() {
    if !support::has("lscpu") {
        return;
    }
    for kind in ["lscpu", "hwloc"] {
        for archive in archives(kind) {
            let Some(root) = support::unpack(&archive) else { continue };
            if kind == "hwloc" && !root.join("proc/cpuinfo").is_file() {
                continue;
            }
            let Some(oracle) = json("lscpu", &["-J", "-B"], &root) else { continue };
            compare_cpu(&archive.display().to_string(), &oracle, &support::collect_directory(&root));
        }
    }
}

pub fn compare_cpu(context: &str, oracle: &Value, inventory: &hwinventory::Inventory) {
    let mut fields = std::collections::BTreeMap::new();
    fn walk(entries: &Value, fields: &mut std::collections::BTreeMap<String, String>) {
        for entry in entries.as_array().into_iter().flatten() {
            let name = entry["field"].as_str().unwrap_or_default().trim_end_matches(':');
            let value = entry["data"].as_str().unwrap_or_default();
            // Hybrid machines repeat the block for each kind of core: compare the first.
            fields.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            walk(&entry["children"], fields);
        }
    }
    walk(&oracle["lscpu"], &mut fields);
    let number = |name: &str| fields.get(name).and_then(|v| v.split_whitespace().next()?.parse::<u64>().ok());
    let text = |name: &str| fields.get(name).map(String::as_str).filter(|v| *v != "-" && !v.is_empty());
    let cpu = &inventory.cpu.data;

    if let Some(online) = text("On-line CPU(s) list") {
        assert_eq!(cpu.online.as_deref().map(listed), Some(listed(online)), "{context} online");
    }
    let model = cpu.models.first();
    if let Some(vendor) = text("Vendor ID") {
        assert_eq!(model.and_then(|m| m.vendor.as_deref()), Some(vendor), "{context} vendor");
    }
    if let Some(name) = text("Model name") {
        assert!(
            cpu.models.iter().any(|m| m.name.as_deref() == Some(name)),
            "{context}: {name} not in {:?}",
            cpu.models
        );
    }
    // In this dump one of CPU 39's maps is cut to another width, so that lscpu takes it for a fifth socket; the machine
    // has four, as its package ids and its NUMA nodes say.
    let torn = context.contains("40intel64-4n10c+pci-conflicts");
    if torn {
        assert_eq!((cpu.sockets, cpu.cores), (Some(4), Some(40)), "{context}");
    }
    if cpu.models.len() == 1 && !torn {
        // It says 0 where it does not know: it reads maps of siblings by other names than our snapshots have.
        let number = |name: &str| number(name).filter(|number| *number > 0);
        if let Some(sockets) = number("Socket(s)") {
            assert_eq!(cpu.sockets, Some(sockets), "{context} sockets");
            if let Some(cores) = number("Core(s) per socket") {
                assert_eq!(cpu.cores, Some(cores * sockets), "{context} cores");
            }
        }
        if let Some(threads) = number("Thread(s) per core") {
            assert_eq!(cpu.threads_per_core, Some(threads), "{context} threads per core");
        }
        for (name, ours) in [("CPU family", model.and_then(|m| m.family)), ("Model", model.and_then(|m| m.model))] {
            if cpu.architecture.as_deref() == Some("x86_64") && text(name).is_some() {
                assert_eq!(ours, number(name), "{context} {name}");
            }
        }
    }
    for (name, level, kind) in [
        ("L1d", 1, hwinventory::model::CacheKind::Data),
        ("L1i", 1, hwinventory::model::CacheKind::Instruction),
        ("L2", 2, hwinventory::model::CacheKind::Unified),
        ("L3", 3, hwinventory::model::CacheKind::Unified),
    ] {
        if let Some(total) = number(name).filter(|_| !(torn && level == 3)) {
            let ours: u64 =
                cpu.caches.iter().filter(|c| c.level == level && c.kind == kind).map(|c| c.total_size).sum();
            assert_eq!(ours, total, "{context} {name}");
        }
    }
    if let Some(nodes) = number("NUMA node(s)") {
        assert_eq!(inventory.numa.data.nodes.len() as u64, nodes, "{context} NUMA nodes");
        for node in &inventory.numa.data.nodes {
            if let Some(cpus) = text(&format!("NUMA node{} CPU(s)", node.node)) {
                assert_eq!(listed(&node.cpus), listed(cpus), "{context} node {}", node.node);
            }
        }
    }
    compare_vulnerabilities(context, &fields, cpu);
}

/// `0-1,4` or `0,1,4`: lscpu writes two in a row with a comma.
fn listed(list: &str) -> std::collections::BTreeSet<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().unwrap_or(0)..=last.parse().unwrap_or(0)
    };
    list.split(',').flat_map(range).collect()
}

fn compare_vulnerabilities(
    context: &str,
    fields: &std::collections::BTreeMap<String, String>,
    cpu: &hwinventory::model::Cpu,
) {
    for vulnerability in &cpu.vulnerabilities {
        let name = vulnerability.name.replace('_', " ");
        if let Some((_, state)) = fields.iter().find(|(k, _)| k.to_lowercase() == name) {
            // lscpu shortens some of the kernel's words.
            let ours = vulnerability.state.replace("Mitigation: ", "Mitigation; ");
            assert_eq!(&ours, state, "{context} {name}");
        }
    }
}

/// Frames of a classic pcap file.
fn frames(pcap: &[u8]) -> Vec<Vec<u8>> {
    let little = pcap.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]);
    let word = |at: usize| {
        let bytes: [u8; 4] = pcap.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) } as usize)
    };
    let mut at = 24;
    let mut found = Vec::new();
    while let Some(length) = word(at + 8) {
        let Some(frame) = pcap.get(at + 16..at + 16 + length) else { break };
        found.push(frame.to_vec());
        at += 16 + length;
    }
    found
}

#[test]
fn captured_neighbours_are_read() {
    let mut read = 0;
    for capture in archives("lldp") {
        let bytes = std::fs::read(&capture).expect("readable");
        for frame in frames(&bytes) {
            if let Some(neighbour) = hwinventory::fuzz::neighbour(&frame) {
                assert!(!neighbour.chassis_id.is_empty() && !neighbour.port_id.is_empty(), "{}", capture.display());
                read += 1;
            }
        }
    }
    assert!(read > 0 || support::fixtures().is_none(), "no captured frame was read");
}

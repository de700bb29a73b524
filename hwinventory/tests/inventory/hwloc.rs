//! Captured machines with many sockets and nodes, counted as hwloc counts them.

use crate::support;
use hwinventory::model::CacheKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Name of a kind of object, and how many there are.
fn counts(root: &Path) -> BTreeMap<String, u64> {
    let output = Command::new("hwloc-info")
        .args(["--if", "fsroot", "--disallowed", "-i"])
        .arg(root)
        .env("HWLOC_HIDE_ERRORS", "2")
        .output()
        .expect("hwloc-info runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_once(':')?.1.split_whitespace();
        let count = words.next()?.parse().ok()?;
        Some((words.next()?.to_owned(), count))
    });
    lines.collect()
}

#[test]
fn machines_are_as_hwloc_sees_them() {
    if !support::has("hwloc-info") {
        return;
    }
    for archive in ["hwloc", "ghw", "lscpu"].into_iter().flat_map(support::archives) {
        let Some(root) = support::unpack(&archive) else { continue };
        let theirs = counts(&root);
        let inventory = support::collect_directory(&root);
        let context = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cpu = &inventory.cpu.data;
        let caches = |level: u64, kind: CacheKind| {
            Some(cpu.caches.iter().filter(|c| c.level == level && c.kind == kind).map(|c| c.instances).sum::<u64>())
                .filter(|&n| n > 0)
        };
        // One map of CPU 39 is cut to another width in this dump, and hwloc gives up the package that it is in.
        let torn = context.starts_with("40intel64-4n10c+pci-conflicts");
        let ours = [
            ("Package", cpu.sockets),
            ("Core", cpu.cores),
            ("PU", cpu.threads),
            ("L3Cache", caches(3, CacheKind::Unified)),
            ("L2Cache", caches(2, CacheKind::Unified)),
            ("L1dCache", caches(1, CacheKind::Data)),
            ("L1iCache", caches(1, CacheKind::Instruction)),
        ];
        let mut compared = 0;
        for (name, ours) in ours {
            let Some(theirs) = theirs.get(name) else { continue };
            if torn && matches!(name, "Package" | "L3Cache") {
                assert_eq!(ours, Some(4), "{context} {name}");
                continue;
            }
            // Some boards tell who shares a cache, and not how large it is: that is no cache in the inventory.
            if cpu.caches.is_empty() && name.ends_with("Cache") {
                continue;
            }
            assert_eq!(ours, Some(*theirs), "{context} {name}");
            compared += 1;
        }
        assert!(compared >= 3, "{context}: {theirs:?}");
    }
}

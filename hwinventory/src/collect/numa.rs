//! Collects the NUMA nodes: their CPUs, memory and distances.

use crate::model::{Numa, NumaNode};
use crate::parse::cpulist;
use crate::source::Reader;

const BASE: &str = "/sys/devices/system/node";

pub fn collect(reader: &Reader) -> Option<Numa> {
    let names = reader.try_list(BASE)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|n| n.strip_prefix("node")?.parse().ok()).collect();
    numbers.sort_unstable();
    let nodes = numbers
        .into_iter()
        .map(|node| {
            let directory = format!("{BASE}/node{node}");
            let distances = reader.text(&format!("{directory}/distance")).unwrap_or_default();
            NumaNode {
                node,
                cpus: cpus(reader, &directory),
                memory: reader.text(&format!("{directory}/meminfo")).and_then(|t| total(&t)),
                distances: distances.split_whitespace().filter_map(|d| d.parse().ok()).collect(),
            }
        })
        .collect();
    Some(Numa { nodes })
}

/// The mask, which lscpu and hwloc go by; the list says the same on a running kernel.
fn cpus(reader: &Reader, directory: &str) -> String {
    reader
        .text(&format!("{directory}/cpumap"))
        .map(|mask| cpulist::format(&cpulist::parse_mask(&mask)))
        .or_else(|| reader.text(&format!("{directory}/cpulist")))
        .unwrap_or_default()
}

/// `Node 0 MemTotal:  32768 kB`
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find(|l| l.contains("MemTotal:"))?;
    let kib: u64 = line.split("MemTotal:").nth(1)?.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

//! Which core, die and package each logical CPU belongs to, and how fast it runs.

use crate::model::{Cpu, CpuThread, Inventory};
use crate::parse::cpuinfo::Processor;
use crate::parse::cpulist;
use crate::source::Reader;
use std::collections::BTreeMap;

const BASE: &str = "/sys/devices/system/cpu";

pub fn of<'a>(reader: &Reader, cpus: impl Iterator<Item = &'a u32>) -> Vec<CpuThread> {
    cpus.map(|cpu| {
        // -1 where the kernel does not know, which is no number of anything.
        let id = |name: &str| reader.quiet_number(&format!("{BASE}/cpu{cpu}/topology/{name}"));
        CpuThread {
            cpu: u64::from(*cpu),
            core: id("core_id"),
            cluster: id("cluster_id").filter(|&n| n < u64::from(u16::MAX)),
            die: id("die_id"),
            package: id("physical_package_id"),
            numa_node: None,
        }
    })
    .collect()
}

/// Rates that need no cpufreq driver: of the first CPU of each kind, of its name, of the sockets' firmware tables.
pub fn frequencies(processors: &[Processor], cpu: &mut Cpu) {
    let socket = cpu.packages.iter().filter(|p| p.populated).find_map(|p| p.current_speed).filter(|&hz| hz > 0);
    for model in &mut cpu.models {
        let cpus = model.cpus.as_deref().map(cpulist::parse).unwrap_or_default();
        let Some(first) = processors.iter().find(|p| cpus.contains(&p.number)) else { continue };
        model.current_frequency = first.hertz;
        model.nominal_frequency = first.nominal_hertz().or(socket);
    }
}

/// Nodes are read elsewhere; they list their CPUs.
pub fn nodes(inventory: &mut Inventory) {
    let mut node_of = BTreeMap::new();
    for node in &inventory.numa.data.nodes {
        node_of.extend(cpulist::parse(&node.cpus).into_iter().map(|cpu| (u64::from(cpu), node.node)));
    }
    for thread in &mut inventory.cpu.data.topology {
        thread.numa_node = node_of.get(&thread.cpu).copied();
    }
}

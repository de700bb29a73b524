//! What is mounted from each disk: from itself, from its partitions, and from all that is built on them.

use super::isolate;
use crate::model::{Disk, Inventory, Mount, Problem, Status};
use crate::parse::mounts::{self, MountLine};
use crate::source::{Reader, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Reads the mount table and fills in every disk's mounts. What is not done by the deadline is left out, with a problem.
pub fn all(source: &Arc<dyn Source>, limit: Duration, inventory: &mut Inventory) {
    let deadline = Instant::now() + limit;
    let table = isolate::section("mounts", "procfs", source, limit, read).wait();
    let Some(table) = table.data else {
        if !table.problems.is_empty() {
            inventory.disks.problems.extend(table.problems);
            inventory.disks.status = inventory.disks.status.max(Status::Partial);
        }
        return;
    };
    let graph = Graph::new(inventory, &table);
    let (disks, volumes) = (&mut inventory.disks, &mut inventory.volumes);
    let all = disks.data.iter_mut().chain(volumes.data.iter_mut()).enumerate();
    let mut late = false;
    for (node, disk) in all {
        late |= Instant::now() > deadline;
        if late {
            break;
        }
        disk.mounts = Some(graph.mounts(node, &table));
    }
    if late {
        let message = format!("what is mounted from whom was not found out within {} ms", limit.as_millis());
        disks.problems.push(Problem { what: "mounts".to_owned(), status: Status::Timeout, message });
        disks.status = disks.status.max(Status::Partial);
    }
}

struct Table {
    lines: Vec<MountLine>,
    swaps: Vec<String>,
}

fn read(reader: &Reader) -> Option<Option<Table>> {
    let text = reader.text("/proc/self/mountinfo").or_else(|| reader.text("/proc/1/mountinfo"));
    let lines = match text {
        Some(text) => mounts::mountinfo(&text),
        None => match reader.text("/proc/self/mounts").or_else(|| reader.text("/proc/mounts")) {
            Some(text) => mounts::mounts(&text),
            None => return Some(None),
        },
    };
    let swaps = reader.text("/proc/swaps").map(|t| mounts::swaps(&t)).unwrap_or_default();
    Some(Some(Table { lines, swaps }))
}

/// A use of a device: the line of the table (swaps are counted behind the mounts), whether the line names the device by
/// its number or by its path, and the kernel name of what is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    line: usize,
    by_path: bool,
    name: String,
}

/// Disks and volumes, by their place among all: what is built on each, and what is mounted from each itself.
struct Graph {
    above: Vec<Vec<usize>>,
    uses: Vec<Vec<Use>>,
}

impl Graph {
    fn new(inventory: &Inventory, table: &Table) -> Graph {
        let all: Vec<&Disk> = inventory.disks.data.iter().chain(&inventory.volumes.data).collect();
        let mut by_name: HashMap<&str, usize> = HashMap::new();
        for (node, disk) in all.iter().enumerate() {
            by_name.insert(&disk.name, node);
            by_name.extend(disk.partitions.iter().map(|p| (p.name.as_str(), node)));
        }
        // A holder names what stands on it, a slave what it stands on; copies of sysfs may have only one of them.
        let mut above = vec![BTreeSet::new(); all.len()];
        for (node, disk) in all.iter().enumerate() {
            let holders = disk.holders.iter().filter_map(|name| by_name.get(name.as_str()));
            if let Some(own) = above.get_mut(node) {
                own.extend(holders.copied());
            }
            for slave in disk.slaves.iter().filter_map(|name| by_name.get(name.as_str())) {
                above.get_mut(*slave).into_iter().for_each(|set| set.extend([node]));
            }
        }
        Graph { above: above.into_iter().map(|set| set.into_iter().collect()).collect(), uses: uses(&all, table) }
    }

    fn mounts(&self, node: usize, table: &Table) -> Vec<Mount> {
        let mut seen = vec![false; self.above.len()];
        let mut is_new = |node: usize| seen.get_mut(node).is_some_and(|seen| !std::mem::replace(seen, true));
        is_new(node);
        let mut queue = vec![node];
        let mut found: BTreeMap<usize, &Use> = BTreeMap::new();
        while let Some(node) = queue.pop() {
            for one in self.uses.get(node).into_iter().flatten() {
                // btrfs and overlay mounts have a device number of their own; then the path tells.
                found.entry(one.line).and_modify(|known| *known = (*known).min(one)).or_insert(one);
            }
            queue.extend(self.above.get(node).into_iter().flatten().copied().filter(|above| is_new(*above)));
        }
        found.values().filter_map(|one| mount(one, table)).collect()
    }
}

fn mount(one: &Use, table: &Table) -> Option<Mount> {
    if let Some(line) = table.lines.get(one.line) {
        return Some(Mount {
            device: one.name.clone(),
            mountpoint: line.mountpoint.clone(),
            filesystem: Some(line.filesystem.clone()),
            read_only: line.read_only,
        });
    }
    table.swaps.get(one.line - table.lines.len())?;
    Some(Mount {
        device: one.name.clone(),
        mountpoint: "[SWAP]".to_owned(),
        filesystem: Some("swap".to_owned()),
        read_only: false,
    })
}

/// By device, the lines that name it or one of its partitions.
fn uses(all: &[&Disk], table: &Table) -> Vec<Vec<Use>> {
    let mut known: HashMap<String, Vec<(usize, &str)>> = HashMap::new();
    for (node, disk) in all.iter().enumerate() {
        let mut put = |key: String, name| known.entry(key).or_default().push((node, name));
        put(disk.path.clone(), disk.name.as_str());
        disk.device_number.iter().for_each(|number| put(number.clone(), &disk.name));
        disk.dm_name.iter().for_each(|name| put(format!("/dev/mapper/{name}"), &disk.name));
        for partition in &disk.partitions {
            put(super::disk::node(&partition.name), &partition.name);
            partition.device_number.iter().for_each(|number| put(number.clone(), &partition.name));
        }
    }
    let mut uses = vec![Vec::new(); all.len()];
    let mut put = |line: usize, key: &str, by_path: bool| {
        for (node, name) in known.get(key).into_iter().flatten() {
            let one = Use { line, by_path, name: (*name).to_owned() };
            uses.get_mut(*node).into_iter().for_each(|list: &mut Vec<Use>| list.push(one.clone()));
        }
    };
    for (line, mount) in table.lines.iter().enumerate() {
        put(line, &mount.device_number, false);
        put(line, &mount.source, true);
    }
    for (line, path) in table.swaps.iter().enumerate() {
        put(table.lines.len() + line, path, true);
    }
    uses
}

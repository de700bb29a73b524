//! Caches of the processors: how many there are of each kind, and which CPUs share each of them.

use crate::model::{Cache, CacheInstance, CacheKind};
use crate::parse::cpulist;
use crate::source::Reader;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const BASE: &str = "/sys/devices/system/cpu";

/// One cache as one CPU sees it.
pub struct Seen {
    cpu: u32,
    /// Its directory below the CPU's: `index0`.
    index: String,
    /// The CPUs that share it, as the kernel writes them.
    shared: String,
    cpus: Rc<BTreeSet<u32>>,
    attributes: Rc<Attributes>,
}

struct Attributes {
    level: Option<u64>,
    kind: CacheKind,
    size: Option<u64>,
    id: Option<u64>,
    ways: Option<u64>,
    line_size: Option<u64>,
    sets: Option<u64>,
}

/// By index and by the CPUs that share it, as the kernel writes them.
type Known = BTreeMap<(String, String), (Rc<BTreeSet<u32>>, Rc<Attributes>)>;

/// Every cache of every CPU. What CPUs share is read at the first of them only, beyond who shares it.
pub fn read<'a>(reader: &Reader, cpus: impl Iterator<Item = &'a u32>) -> Vec<Seen> {
    let mut known = Known::new();
    let mut found = Vec::new();
    for &cpu in cpus {
        let directory = format!("{BASE}/cpu{cpu}/cache");
        for index in reader.source().list(&directory).unwrap_or_default() {
            if !index.starts_with("index") {
                continue;
            }
            let text = |name: &str| reader.quiet_text(&format!("{directory}/{index}/{name}"));
            let list = text("shared_cpu_list");
            let mask = if list.is_none() { text("shared_cpu_map") } else { None };
            let (shared, cpus) = match (list, mask) {
                (Some(list), _) => (list, cpulist::parse as fn(&str) -> BTreeSet<u32>),
                (None, Some(mask)) => (mask, cpulist::parse_mask as _),
                (None, None) => (cpu.to_string(), cpulist::parse as _),
            };
            let (cpus, attributes) = known
                .entry((index.clone(), shared.clone()))
                .or_insert_with(|| (Rc::new(cpus(&shared)), Rc::new(attributes(&text))))
                .clone();
            found.push(Seen { cpu, index, shared, cpus, attributes });
        }
    }
    found
}

fn attributes(text: &dyn Fn(&str) -> Option<String>) -> Attributes {
    let number = |name: &str| text(name).and_then(|t| t.parse::<u64>().ok());
    Attributes {
        level: number("level"),
        kind: match text("type").as_deref() {
            Some("Data") => CacheKind::Data,
            Some("Instruction") => CacheKind::Instruction,
            _ => CacheKind::Unified,
        },
        size: text("size").and_then(|t| size(&t)),
        id: number("id"),
        ways: number("ways_of_associativity").filter(|&ways| ways > 0),
        line_size: number("coherency_line_size"),
        sets: number("number_of_sets"),
    }
}

/// Caches that are alike, counted by who shares them.
pub fn kinds(seen: &[Seen]) -> Vec<Cache> {
    type Key = (u64, CacheKind, u64, Option<u64>, Option<u64>, Option<u64>);
    let mut kinds: BTreeMap<Key, BTreeSet<&str>> = BTreeMap::new();
    for one in seen {
        let Attributes { level: Some(level), kind, size: Some(size), ways, line_size, sets, .. } = *one.attributes
        else {
            continue;
        };
        kinds.entry((level, kind, size, ways, line_size, sets)).or_default().insert(&one.shared);
    }
    let of_kind = |((level, kind, size, ways, line_size, sets), shared): (Key, BTreeSet<&str>)| Cache {
        level,
        kind,
        size,
        instances: shared.len() as u64,
        total_size: size.saturating_mul(shared.len() as u64),
        ways,
        line_size,
        sets,
    };
    kinds.into_iter().map(of_kind).collect()
}

/// Every cache once, as the first of the CPUs that share it sees it.
pub fn instances(seen: &[Seen]) -> Vec<CacheInstance> {
    let mut told: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut found = Vec::new();
    for one in seen {
        let told = told.entry(&one.index).or_default();
        let Some(level) = one.attributes.level.filter(|_| !told.contains(&one.cpu)) else { continue };
        let Attributes { kind, size, id, .. } = *one.attributes;
        found.push(CacheInstance { level, kind, size, id, cpus: cpulist::format(&one.cpus) });
        told.extend(one.cpus.iter());
    }
    found.sort_by_key(|cache| (cache.level, cache.kind));
    found
}

/// `32K`, `1024K`, `2M`.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix(['K', 'k']) {
        Some(digits) => (digits, 10),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 20),
            None => (text, 0),
        },
    };
    digits.parse::<u64>().ok()?.checked_shl(unit)
}

//! Collects the memory: sizes, modules by slot, and the error counters of the memory controllers.

use super::dmi;
use crate::model::{EccCounter, Memory};
use crate::parse::smbios;
use crate::source::Reader;

pub fn collect(reader: &Reader) -> Option<Memory> {
    let text = reader.text("/proc/meminfo");
    let tables = dmi::with_table(reader, smbios::memory);
    if text.is_none() && tables.is_none() {
        return None;
    }
    let field = |name: &str| text.as_deref().and_then(|t| meminfo(t, name));
    let (arrays, dimms) = tables.unwrap_or_default();
    let installed: u64 = dimms.iter().filter_map(|d| d.volatile_size.or(d.size)).sum();
    let persistent: u64 = dimms.iter().filter_map(|d| d.non_volatile_size).sum();
    let mut memory = Memory {
        physical: Some(installed).filter(|&n| n > 0).or_else(|| memory_blocks(reader)),
        persistent: Some(persistent).filter(|&n| n > 0),
        usable: field("MemTotal"),
        available: field("MemAvailable"),
        swap: field("SwapTotal"),
        huge_page_size: field("Hugepagesize"),
        arrays,
        dimms,
        ecc: Vec::new(),
    };
    error_counts(reader, &mut memory);
    Some(memory)
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The memory that the kernel has in hot-pluggable blocks: what is installed, less what firmware keeps.
fn memory_blocks(reader: &Reader) -> Option<u64> {
    let base = "/sys/devices/system/memory";
    let block_size = u64::from_str_radix(&reader.text(&format!("{base}/block_size_bytes"))?, 16).ok()?;
    let names = reader.list(base);
    let blocks = names.iter().filter(|n| n.strip_prefix("memory").is_some_and(|d| d.parse::<u64>().is_ok()));
    let online = blocks
        .filter(|name| reader.text(&format!("{base}/{name}/state")).is_none_or(|state| state == "online"))
        .count() as u64;
    block_size.checked_mul(online).filter(|&n| n > 0)
}

fn error_counts(reader: &Reader, memory: &mut Memory) {
    let base = "/sys/devices/system/edac/mc";
    for controller in reader.list(base).into_iter().filter(|n| n.starts_with("mc") && n.len() > 2) {
        let directory = format!("{base}/{controller}");
        let (Some(corrected), Some(uncorrected)) =
            (reader.number(&format!("{directory}/ce_count")), reader.number(&format!("{directory}/ue_count")))
        else {
            continue;
        };
        let name = reader.text(&format!("{directory}/mc_name"));
        for dimm in reader.list(&directory).iter().filter(|n| n.starts_with("dimm")) {
            let text = |name: &str| reader.text(&format!("{directory}/{dimm}/{name}"));
            let label = text("dimm_label").unwrap_or_default();
            // Drivers that know the board put the SMBIOS locator at the end of their label.
            let slot = memory.dimms.iter_mut().find(|d| {
                d.populated && d.locator.as_deref().is_some_and(|l| !l.is_empty() && (label == l || label.ends_with(l)))
            });
            if let Some(slot) = slot {
                slot.corrected_errors = text("dimm_ce_count").and_then(|t| t.parse().ok());
                slot.uncorrected_errors = text("dimm_ue_count").and_then(|t| t.parse().ok());
            }
        }
        memory.ecc.push(EccCounter { controller, name, corrected, uncorrected });
    }
}

//! Findings about memory modules that are missing, slow, mixed or faulty.

use super::{against, finding};
use crate::model::{Dimm, Finding, Inventory, Severity};
use crate::parse::names::is_placeholder;
use std::collections::{BTreeMap, BTreeSet};

pub fn findings(inventory: &Inventory, found: &mut Vec<Finding>) {
    let memory = &inventory.memory.data;
    let modules: Vec<&Dimm> = memory.dimms.iter().filter(|d| d.populated && is_main_memory(d)).collect();
    slow(&modules, found);
    modules.iter().for_each(|dimm| module(dimm, found));
    missing(inventory, found);
    let sizes: BTreeSet<u64> = modules.iter().filter_map(|d| d.size).collect();
    if sizes.len() > 1 {
        let text = "DIMMs of different sizes are mixed".to_owned();
        found.push(finding("memory.dimm-mixed", Severity::Info, "memory", text));
    }
    // Controllers whose driver does not know the slots count all the same.
    let named = memory.dimms.iter().any(|d| d.corrected_errors.is_some() || d.uncorrected_errors.is_some());
    for controller in memory.ecc.iter().filter(|_| !named) {
        errors(&controller.controller, "memory controller", controller.corrected, controller.uncorrected, found);
    }
}

/// Firmware lists its flash chip, and persistent memory, among the modules.
fn is_main_memory(dimm: &Dimm) -> bool {
    dimm.volatile_size != Some(0)
}

fn slot(dimm: &Dimm) -> &str {
    dimm.locator.as_deref().unwrap_or("?")
}

/// Modules that are rated for more than the processor drives them at are in most servers, all of them alike: one finding.
fn slow(modules: &[&Dimm], found: &mut Vec<Finding>) {
    let mut speeds: BTreeMap<(u64, u64), Vec<&str>> = BTreeMap::new();
    for dimm in modules {
        if let (Some(rated), Some(configured)) = (dimm.rated_speed, dimm.configured_speed)
            && configured < rated
        {
            speeds.entry((rated, configured)).or_default().push(slot(dimm));
        }
    }
    for ((rated, configured), slots) in speeds {
        let speed = format!("at {} of {} MT/s", configured / 1_000_000, rated / 1_000_000);
        let (subject, text) = match slots.as_slice() {
            [one] => (*one, format!("DIMM {one} runs {speed}")),
            all => ("memory", format!("{} DIMMs run {speed} ({})", all.len(), shortened(all))),
        };
        found.push(against(finding("memory.dimm-slow", Severity::Info, subject, text), rated, configured));
    }
}

fn module(dimm: &Dimm, found: &mut Vec<Finding>) {
    let slot = slot(dimm);
    errors(slot, "DIMM", dimm.corrected_errors.unwrap_or(0), dimm.uncorrected_errors.unwrap_or(0), found);
}

fn errors(subject: &str, what: &str, corrected: u64, uncorrected: u64, found: &mut Vec<Finding>) {
    if uncorrected > 0 {
        let text = format!("{what} {subject} has {uncorrected} uncorrected errors");
        found.push(finding("memory.uncorrected-errors", Severity::Critical, subject, text));
    }
    if corrected > 0 {
        let text = format!("{what} {subject} has {corrected} corrected errors");
        found.push(finding("memory.corrected-errors", Severity::Warning, subject, text));
    }
}

/// Slots of one bank, channel or processor.
#[derive(Default)]
struct Bank<'a> {
    empty: Vec<&'a Dimm>,
    populated: usize,
    /// The firmware says that these slots are one bank; else their names do.
    named: bool,
}

/// Empty slots of one kind, as one finding: firmware lists dozens.
#[derive(Default)]
struct Missing<'a> {
    slots: Vec<&'a str>,
    banks: Vec<String>,
    /// How many modules the fullest bank holds, and how many the first of these.
    fullest: usize,
    held: usize,
}

/// Empty slots in banks that hold memory, or less than others of their shape. Many machines are meant to be so, with the
/// second slot of each channel free; but where other banks of the same shape hold more, a module is missing or not seen.
fn missing(inventory: &Inventory, found: &mut Vec<Finding>) {
    // A hypervisor lists what a guest could be given. Slots of a socket without a processor are of no use.
    let guest = super::is_guest(inventory);
    let packages = &inventory.cpu.data.packages;
    let socket_empty = packages.iter().any(|p| !p.populated);
    let (mut less, mut free) = (Missing::default(), Missing::default());
    for (name, bank) in banks(&inventory.memory.data.dimms) {
        let slots = bank.0.empty.len() + bank.0.populated;
        if bank.0.empty.is_empty() || slots < 2 {
            continue;
        }
        let fullest = bank.1.max(bank.0.populated);
        let all = if bank.0.populated < fullest && !guest && !(socket_empty && bank.0.populated == 0) {
            &mut less
        } else if bank.0.populated < fullest || (bank.0.named && bank.0.populated > 0) {
            &mut free
        } else {
            continue;
        };
        if all.slots.is_empty() {
            (all.fullest, all.held) = (fullest, bank.0.populated);
        }
        all.slots.extend(bank.0.empty.iter().map(|d| slot(d)));
        all.banks.push(format!("{name} ({})", bank.0.populated));
    }
    for (severity, missing) in [(Severity::Warning, less), (Severity::Info, free)] {
        let (Some(first), count) = (missing.slots.first().copied(), missing.slots.len()) else { continue };
        let banks = missing.banks.join(", ");
        let why = match severity {
            Severity::Warning => format!("others hold {} modules, bank {banks}", missing.fullest),
            _ => format!("of bank {banks} modules are there"),
        };
        let (subject, text) = match count {
            1 => (first, format!("slot {first} is empty: {why}")),
            _ => ("memory", format!("{count} slots are empty ({}): {why}", shortened(&missing.slots))),
        };
        let finding = finding("memory.dimm-missing", severity, subject, text);
        found.push(against(finding, missing.fullest, missing.held));
    }
}

/// The first few, so that a list of 64 stays readable.
fn shortened(slots: &[&str]) -> String {
    const MOST: usize = 8;
    let shown = slots.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if slots.len() > MOST { format!("{shown}, ...") } else { shown }
}

/// Each bank with the most modules that a bank with as many slots holds.
fn banks(dimms: &[Dimm]) -> Vec<(String, (Bank<'_>, usize))> {
    // Firmware that calls each slot a bank of its own, or all of them "Not Specified", says nothing by it.
    let bank = |dimm: &Dimm| dimm.bank.clone().filter(|name| !is_placeholder(name));
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for name in dimms.iter().filter_map(bank) {
        *members.entry(name).or_default() += 1;
    }
    let named = members.len() > 1 && members.values().any(|&count| count > 1);
    let named = named || (members.len() == 1 && dimms.len() < 4 && members.values().any(|&count| count > 1));
    let mut banks: BTreeMap<String, Bank<'_>> = BTreeMap::new();
    for dimm in dimms.iter().filter(|d| is_main_memory(d)) {
        let name = if named { bank(dimm) } else { dimm.locator.as_deref().map(stem) };
        let Some(name) = name.filter(|n| !n.is_empty()) else { continue };
        let bank = banks.entry(name).or_default();
        bank.named = named;
        if dimm.populated {
            bank.populated += 1;
        } else {
            bank.empty.push(dimm);
        }
    }
    let mut fullest: BTreeMap<usize, usize> = BTreeMap::new();
    for bank in banks.values() {
        let most = fullest.entry(bank.empty.len() + bank.populated).or_default();
        *most = (*most).max(bank.populated);
    }
    banks
        .into_iter()
        .map(|(name, bank)| {
            let most = fullest.get(&(bank.empty.len() + bank.populated)).copied().unwrap_or(0);
            (name, (bank, most))
        })
        .collect()
}

/// `A` of `A7`, `P1-DIMMB` of `P1-DIMMB2`, `ChannelA-DIMM` of `ChannelA-DIMM0`.
fn stem(locator: &str) -> String {
    locator.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned()
}

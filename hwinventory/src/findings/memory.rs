//! Memory modules that are missing, slow, mixed or sick.

use super::{against, finding};
use crate::model::{Dimm, Finding, Memory, Severity};
use std::collections::{BTreeMap, BTreeSet};

pub fn findings(memory: &Memory, found: &mut Vec<Finding>) {
    for dimm in memory.dimms.iter().filter(|d| d.populated) {
        module(dimm, found);
    }
    missing(&memory.dimms, found);
    let sizes: BTreeSet<u64> = memory.dimms.iter().filter(|d| d.populated).filter_map(|d| d.size).collect();
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

fn slot(dimm: &Dimm) -> &str {
    dimm.locator.as_deref().unwrap_or("?")
}

fn module(dimm: &Dimm, found: &mut Vec<Finding>) {
    let slot = slot(dimm);
    if let (Some(rated), Some(configured)) = (dimm.rated_speed, dimm.configured_speed)
        && configured < rated
    {
        let text = format!("DIMM {slot} runs at {} of {} MT/s", configured / 1_000_000, rated / 1_000_000);
        found.push(against(finding("memory.dimm-slow", Severity::Info, slot, text), rated, configured));
    }
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

/// An empty slot in a bank that holds memory. Many machines are meant to be so, with the second slot of each channel
/// free; but where other banks of the same shape hold more, a module is missing or not seen.
fn missing(dimms: &[Dimm], found: &mut Vec<Finding>) {
    for (name, bank) in banks(dimms) {
        let slots = bank.0.empty.len() + bank.0.populated;
        if bank.0.empty.is_empty() || slots < 2 {
            continue;
        }
        let fullest = bank.1.max(bank.0.populated);
        let less = bank.0.populated < fullest;
        if !less && !(bank.0.named && bank.0.populated > 0) {
            continue;
        }
        for dimm in &bank.0.empty {
            let slot = slot(dimm);
            let (severity, text) = if less {
                let text = format!(
                    "slot {slot} is empty: bank {name} holds {} modules where others hold {fullest}",
                    bank.0.populated
                );
                (Severity::Warning, text)
            } else {
                (Severity::Info, format!("slot {slot} is empty in bank {name}, which holds memory"))
            };
            found.push(against(finding("memory.dimm-missing", severity, slot, text), fullest, bank.0.populated));
        }
    }
}

/// Each bank with the most modules that a bank with as many slots holds.
fn banks(dimms: &[Dimm]) -> Vec<(String, (Bank<'_>, usize))> {
    let shared = |bank: &str| dimms.iter().filter(|d| d.bank.as_deref() == Some(bank)).count() > 1;
    // Firmware that calls each slot a bank of its own says nothing by it.
    let named = dimms.iter().any(|d| d.bank.as_deref().is_some_and(shared));
    let mut banks: BTreeMap<String, Bank<'_>> = BTreeMap::new();
    for dimm in dimms {
        let name = if named { dimm.bank.clone() } else { dimm.locator.as_deref().map(stem) };
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

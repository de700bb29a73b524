//! Anomalies, derived from the inventory alone: pure.

mod disks;
mod links;
mod memory;
mod platform;
mod sources;

use crate::model::{Disk, Finding, Inventory, Severity, Strength};
use std::time::Instant;

/// All of them, or those of the rules that were reached by the deadline, with a finding that says so.
pub fn findings(inventory: &Inventory, deadline: Instant) -> Vec<Finding> {
    const RULES: &[fn(&Inventory, &mut Vec<Finding>)] =
        &[links::findings, memory::findings, disks::findings, sources::findings, platform::findings];
    let mut found = Vec::new();
    for rule in RULES {
        if Instant::now() > deadline {
            let text = "not everything was looked at: the time for findings was over".to_owned();
            found.push(finding("inventory.findings-cut", Severity::Warning, "findings", text));
            break;
        }
        rule(inventory, &mut found);
    }
    found.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.code.cmp(&b.code)).then_with(|| a.subject.cmp(&b.subject))
    });
    found
}

fn finding(code: &str, severity: Severity, subject: &str, message: String) -> Finding {
    Finding { code: code.to_owned(), severity, subject: subject.to_owned(), message, ..Finding::default() }
}

fn against(mut finding: Finding, expected: impl ToString, actual: impl ToString) -> Finding {
    (finding.expected, finding.actual) = (Some(expected.to_string()), Some(actual.to_string()));
    finding
}

/// Whether this is a hypervisor's guest, by its names or by what its processors say.
fn is_guest(inventory: &Inventory) -> bool {
    inventory.system.data.hypervisor.is_some() || inventory.cpu.data.hypervisor.is_some()
}

/// How a disk is called in findings: by what survives a reboot.
pub fn subject(disk: &Disk) -> String {
    if disk.identity.strength == Strength::Strong {
        return disk.identity.value.clone();
    }
    disk.by_path.clone().unwrap_or_else(|| disk.name.clone())
}

/// In units of 10^9 with one decimal.
pub fn giga(n: u64) -> String {
    format!("{}.{}", n / 1_000_000_000, n / 100_000_000 % 10)
}

#[cfg(test)]
mod tests;

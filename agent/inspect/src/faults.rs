//! Rules about what will break on other machines: tables with one row for each rule. To add a rule, add a row to the
//! table of its kind, and a line to docs/errors.md.

use crate::look::Look;
use crate::report::{Finding, Severity};
use crate::{boot_faults, identity_faults, leftovers, network_faults, ramdisk_faults};

/// A rule.
pub struct FaultRule {
    pub code: &'static str,
    pub severity: Severity,
    /// The consequence.
    pub why: &'static str,
    pub remedy: &'static str,
    /// Describes every place where the fault is.
    pub find: fn(&Look) -> Vec<String>,
}

impl std::fmt::Debug for FaultRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fault").field("code", &self.code).field("severity", &self.severity).finish_non_exhaustive()
    }
}

const TABLES: [&[FaultRule]; 5] =
    [boot_faults::FAULTS, ramdisk_faults::FAULTS, identity_faults::FAULTS, network_faults::FAULTS, leftovers::FAULTS];

/// Every rule.
pub fn all() -> impl Iterator<Item = &'static FaultRule> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// All findings: errors first, then in the order of the tables.
pub fn find(look: &Look) -> Vec<Finding> {
    let finding = |fault: &FaultRule, what: String| Finding {
        code: fault.code.to_owned(),
        severity: fault.severity,
        what,
        why: fault.why.to_owned(),
        remedy: fault.remedy.to_owned(),
        accepted: false,
    };
    let mut found: Vec<Finding> = Vec::new();
    for fault in all() {
        for what in (fault.find)(look) {
            let finding = finding(fault, what);
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

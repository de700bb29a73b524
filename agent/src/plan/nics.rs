//! Which NICs each network role gets.

use super::attributes::Attributes;
use super::disks::{check_words, mark_nearest, nearest_words};
use super::eval;
use super::machine::{self, Machine, NicFacts};
use super::refusal::Reason;
use super::select::{self, Item, Outcome, Rule};
use crate::protocol::order::Role;
use crate::protocol::plan::{Candidate, GateFinding, SetTrace, Truth, Verdict};
use hwinventory::model::Status;
use std::collections::BTreeMap;

/// MAC addresses by role.
pub type Chosen = BTreeMap<String, Vec<String>>;

/// The NICs of every role, or why not.
pub fn choose(
    roles: &BTreeMap<String, Role>,
    machine: &Machine<'_>,
    attributes: &Attributes,
) -> (Result<Chosen, Reason>, Vec<SetTrace>) {
    let mut traces = Vec::new();
    let result = choose_all(roles, machine, attributes, &mut traces);
    (result, traces)
}

fn choose_all(
    roles: &BTreeMap<String, Role>,
    machine: &Machine<'_>,
    attributes: &Attributes,
    traces: &mut Vec<SetTrace>,
) -> Result<Chosen, Reason> {
    let status = machine.inventory.nics.status;
    if !roles.is_empty() && !matches!(status, Status::Ok | Status::Partial | Status::Absent) {
        return Err(Reason::Unread { section: "NICs", status: status.word() });
    }
    let mut chosen: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    while chosen.len() < roles.len() {
        let open = |name: &str| !chosen.contains_key(name);
        let ready = |(name, role): &(&String, &Role)| {
            open(name) && role.except.iter().all(|other| !open(other) || !roles.contains_key(other))
        };
        let next = roles.iter().find(ready).or_else(|| roles.iter().find(|(name, _)| open(name)));
        let Some((name, role)) = next else { break };
        let taken: Vec<usize> =
            role.except.iter().filter_map(|other| chosen.get(other.as_str())).flatten().copied().collect();
        let nics = select_role(name, role, machine, attributes, &taken, traces)?;
        chosen.insert(name, nics);
    }
    for (position, facts) in machine.nics.iter().enumerate() {
        let names: Vec<String> = chosen
            .iter()
            .filter(|(_, nics)| nics.contains(&position))
            .map(|(name, _)| format!("network role `{name}`"))
            .collect();
        if names.len() > 1 {
            return Err(Reason::Overlap { subject: label(facts), names });
        }
    }
    let macs = |nics: Vec<usize>| -> Vec<String> {
        nics.into_iter().filter_map(|nic| machine::mac(machine.nics.get(nic)?.nic).map(str::to_owned)).collect()
    };
    Ok(chosen.into_iter().map(|(name, nics)| (name.to_owned(), macs(nics))).collect())
}

fn label(facts: &NicFacts<'_>) -> String {
    let model = facts.nic.model.as_deref().or(facts.nic.driver.as_deref()).unwrap_or("NIC");
    format!("{} {model}", machine::mac(facts.nic).unwrap_or("no address"))
}

fn select_role(
    name: &str,
    role: &Role,
    machine: &Machine<'_>,
    attributes: &Attributes,
    taken: &[usize],
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let rule = Rule::of_role(role);
    let mut candidates = Vec::new();
    let mut passing = Vec::new();
    for (position, facts) in machine.nics.iter().enumerate() {
        let mut gates = Vec::new();
        let mut gate = |code: &str, observed: &str| {
            gates.push(GateFinding { code: code.to_owned(), observed: observed.to_owned() });
        };
        if !matches!(facts.nic.status, Status::Ok | Status::Partial) {
            gate("unread", facts.nic.status.word());
        }
        match machine::mac(facts.nic) {
            None => gate("no-address", "it has no MAC address to be found by"),
            Some(mac) if machine.nics.iter().filter(|other| machine::mac(other.nic) == Some(mac)).count() > 1 => {
                gate("shared-address", "another NIC has the same MAC address");
            }
            Some(_) => {}
        }
        if let Some(kind) = facts.nic.kind.as_deref().filter(|kind| *kind != "ethernet") {
            gate("not-ethernet", kind);
        }
        if taken.contains(&position) {
            gate("taken", "by another role");
        }
        let (truth, checks) = match &role.matches {
            Some(predicate) => eval::predicate(predicate, facts.view(attributes)),
            None => (Truth::True, Vec::new()),
        };
        if gates.is_empty() && truth == Truth::True {
            passing.push(position);
        }
        let verdict = match truth {
            _ if !gates.is_empty() => Verdict::Gated,
            Truth::True => Verdict::PassedOver,
            Truth::Unknown => Verdict::Unknown,
            Truth::False => Verdict::NoMatch,
        };
        let reason = match verdict {
            Verdict::Gated => {
                gates.iter().map(|g| format!("{}: {}", g.code, g.observed)).collect::<Vec<_>>().join("; ")
            }
            Verdict::PassedOver => "matches".to_owned(),
            _ => checks.iter().filter(|c| c.truth == truth).map(check_words).collect::<Vec<_>>().join("; "),
        };
        let label = label(facts);
        let device = facts.nic.name.clone();
        candidates.push(Candidate {
            device,
            identity: None,
            label,
            verdict,
            reason,
            gates,
            checks,
            nearest_miss: false,
        });
    }

    let items: Vec<Item> = passing
        .iter()
        .filter_map(|position| machine.nics.get(*position))
        .map(|facts| Item {
            view: facts.view(attributes),
            identity: machine::mac(facts.nic).map(str::to_owned),
            by_path: facts.nic.by_path.as_deref().or(facts.nic.pci_address.as_deref()),
        })
        .collect();
    let outcome = select::select(&items, rule);
    let positions =
        |list: &[usize]| -> Vec<usize> { list.iter().filter_map(|item| passing.get(*item).copied()).collect() };
    let (hits, verdict) = match &outcome {
        Outcome::Chosen(list) => (positions(list), Verdict::Chosen),
        Outcome::Tied(list) => (positions(list), Verdict::Tied),
        Outcome::TooFew(_) => (Vec::new(), Verdict::Chosen),
    };
    for hit in &hits {
        if let Some(candidate) = candidates.get_mut(*hit) {
            candidate.verdict = verdict;
        }
    }
    let tied: Vec<String> = hits.iter().filter_map(|hit| machine.nics.get(*hit)).map(label).collect();
    candidates.sort_by_key(|candidate| candidate.verdict);
    mark_nearest(&mut candidates);
    let max = rule.max.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
    let min = u32::try_from(rule.min).unwrap_or(u32::MAX);
    let trace = SetTrace { set: name.to_owned(), min, max, candidates };
    let nearest = nearest_words(&trace);
    traces.push(trace);
    let (what, name, wanted) = ("network role", name.to_owned(), rule.wanted());
    match outcome {
        Outcome::Chosen(_) => Ok(hits),
        Outcome::Tied(_) => Err(Reason::Ambiguous { what, name, wanted, tied }),
        Outcome::TooFew(found) => Err(Reason::NoMatch { what, name, wanted, found, nearest }),
    }
}

//! Chooses the disks of each set in a layout.

use super::attributes::Attributes;
use super::candidates::{self, Asked};
use super::machine::{DiskFacts, Machine};
use super::refusal::Reason;
use super::select::{Item, Outcome, Rule};
use burin_protocol::order::{DiskSet, Layout};
use burin_protocol::plan::{GateFinding, SetTrace, Truth};
use hwinventory_types::Status;
use std::collections::BTreeMap;

/// Positions in `Machine::disks`, by set.
pub type Chosen = BTreeMap<String, Vec<usize>>;

/// The disks of every set, or the reason why not, and the verdicts on all candidates evaluated so far.
pub fn choose(
    layout: &Layout,
    machine: &Machine<'_>,
    attributes: &Attributes,
) -> (Result<Chosen, Reason>, Vec<SetTrace>) {
    let mut traces = Vec::new();
    let result = choose_all(layout, machine, attributes, &mut traces);
    (result, traces)
}

fn choose_all(
    layout: &Layout,
    machine: &Machine<'_>,
    attributes: &Attributes,
    traces: &mut Vec<SetTrace>,
) -> Result<Chosen, Reason> {
    let status = machine.inventory.disks.status;
    if !matches!(status, Status::Ok | Status::Partial | Status::Absent) {
        return Err(Reason::Unread { section: "disks", status: status.word() });
    }

    let mut chosen = Chosen::new();
    // Protected disks come first, in whatever order the other sets are chosen.
    let mut protected: BTreeMap<usize, &str> = BTreeMap::new();
    for (name, set) in layout.disks.iter().filter(|(_, set)| set.protect) {
        let disks = protect(name, set, machine, attributes, traces)?;
        for disk in &disks {
            protected.entry(*disk).or_insert(name);
        }
        chosen.insert(name.clone(), disks);
    }
    for name in in_order(layout) {
        let Some(set) = layout.disks.get(name).filter(|set| !set.protect) else { continue };
        let taken: BTreeMap<usize, &str> = set
            .except
            .iter()
            .flat_map(|other| chosen.get(other).into_iter().flatten().map(move |disk| (*disk, other.as_str())))
            .collect();
        let disks = select_set(name, set, machine, attributes, &protected, &taken, traces)?;
        chosen.insert(name.to_owned(), disks);
    }

    for (position, facts) in machine.disks.iter().enumerate() {
        let names: Vec<String> = layout
            .disks
            .iter()
            .filter(|(name, set)| !set.protect && chosen.get(*name).is_some_and(|disks| disks.contains(&position)))
            .map(|(name, _)| format!("disk set `{name}`"))
            .collect();
        if names.len() > 1 {
            return Err(Reason::Overlap { subject: facts.name(), names });
        }
    }
    Ok(chosen)
}

/// Sets come after those that they name in `except`. A cycle, which `check` refuses, ends in any order.
fn in_order(layout: &Layout) -> Vec<&str> {
    let mut order: Vec<&str> = Vec::new();
    while order.len() < layout.disks.len() {
        let ready = |(name, set): &(&String, &DiskSet)| {
            !order.contains(&name.as_str())
                && set.except.iter().all(|other| order.contains(&other.as_str()) || !layout.disks.contains_key(other))
        };
        let next = layout
            .disks
            .iter()
            .find(ready)
            .or_else(|| layout.disks.iter().find(|(name, _)| !order.contains(&name.as_str())));
        match next {
            Some((name, _)) => order.push(name),
            None => break,
        }
    }
    order
}

/// Protects every disk that matches or might match.
fn protect(
    name: &str,
    set: &DiskSet,
    machine: &Machine<'_>,
    attributes: &Attributes,
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let rule = Rule::of_set(set);
    let asked: Vec<Asked> = machine.disks.iter().map(|facts| ask(facts, set, Vec::new(), attributes)).collect();
    let with = |wanted: fn(Truth) -> bool| -> Vec<usize> {
        (0..asked.len()).filter(|i| asked.get(*i).is_some_and(|asked| wanted(asked.truth))).collect()
    };
    let protected = with(|truth| truth != Truth::False);
    let sure = with(|truth| truth == Truth::True).len();
    let nearest = candidates::trace(name, rule, asked, &Outcome::Chosen(protected.clone()), traces);
    if sure < rule.min || rule.max.is_some_and(|max| sure > max) {
        return Err(candidates::no_match("disk set", name, rule, sure, nearest));
    }
    Ok(protected)
}

fn select_set(
    name: &str,
    set: &DiskSet,
    machine: &Machine<'_>,
    attributes: &Attributes,
    protected: &BTreeMap<usize, &str>,
    taken: &BTreeMap<usize, &str>,
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let mut asked = Vec::new();
    for (position, facts) in machine.disks.iter().enumerate() {
        let mut gates = machine.gates(facts, &set.allow);
        for (code, by) in [("protected", protected.get(&position)), ("taken", taken.get(&position))] {
            let observed = by.map(|by| format!("by disk set `{by}`"));
            gates.extend(observed.map(|observed| GateFinding { code: code.to_owned(), observed }));
        }
        asked.push(ask(facts, set, gates, attributes));
    }
    candidates::choose("disk set", name, Rule::of_set(set), asked, traces)
}

fn ask<'a>(facts: &'a DiskFacts<'_>, set: &DiskSet, gates: Vec<GateFinding>, attributes: &'a Attributes) -> Asked<'a> {
    let item = Item {
        view: facts.view(attributes),
        identity: facts.strong_identity(),
        by_path: facts.disk.by_path.as_deref(),
    };
    let (truth, checks) = candidates::ask(set.matches.as_ref(), &item);
    Asked {
        item,
        device: facts.disk.path.clone(),
        identity: facts.identity.clone(),
        label: facts.label(),
        subject: facts.name(),
        gates,
        truth,
        checks,
    }
}

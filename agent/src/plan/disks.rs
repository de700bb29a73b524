//! Which disks each set of a layout gets.

use super::attributes::Attributes;
use super::eval;
use super::machine::{DiskFacts, Machine};
use super::refusal::Reason;
use super::select::{self, Item, Outcome, Rule};
use crate::protocol::order::{DiskSet, Layout};
use crate::protocol::plan::{Candidate, Check, GateFinding, SetTrace, Truth, Verdict};
use hwinventory::model::Status;
use std::collections::BTreeMap;

/// Positions in `Machine::disks`, by set.
pub type Chosen = BTreeMap<String, Vec<usize>>;

/// What one disk is to one set.
struct Asked {
    gates: Vec<GateFinding>,
    truth: Truth,
    checks: Vec<Check>,
}

/// The disks of every set, or why not; and every candidate's verdict as far as it was asked.
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
    // Who must not be touched comes first, by whatever order the others are chosen.
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

/// Sets after those they name in `except`; a circle (which `check` refuses) ends up in any order.
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

/// Every disk that matches, or might.
fn protect(
    name: &str,
    set: &DiskSet,
    machine: &Machine<'_>,
    attributes: &Attributes,
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let rule = Rule::of_set(set);
    let mut asked: Vec<Asked> = Vec::new();
    let mut protected = Vec::new();
    let mut sure = 0;
    for (position, facts) in machine.disks.iter().enumerate() {
        let (truth, checks) = match &set.matches {
            Some(predicate) => eval::predicate(predicate, facts.view(attributes)),
            None => (Truth::True, Vec::new()),
        };
        sure += usize::from(truth == Truth::True);
        if truth != Truth::False {
            protected.push(position);
        }
        asked.push(Asked { gates: Vec::new(), truth, checks });
    }
    let outcome = Outcome::Chosen(protected.clone());
    let trace = trace(name, rule, machine, asked, &outcome);
    let nearest = nearest_words(&trace);
    traces.push(trace);
    if sure < rule.min || rule.max.is_some_and(|max| sure > max) {
        return Err(no_match(name, rule, sure, nearest));
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
    let rule = Rule::of_set(set);
    let mut asked = Vec::new();
    for (position, facts) in machine.disks.iter().enumerate() {
        let mut gates = facts.gates(&set.allow);
        if let Some(by) = protected.get(&position) {
            gates.push(GateFinding { code: "protected".to_owned(), observed: format!("by disk set `{by}`") });
        }
        if let Some(by) = taken.get(&position) {
            gates.push(GateFinding { code: "taken".to_owned(), observed: format!("by disk set `{by}`") });
        }
        let (truth, checks) = match &set.matches {
            Some(predicate) => eval::predicate(predicate, facts.view(attributes)),
            None => (Truth::True, Vec::new()),
        };
        asked.push(Asked { gates, truth, checks });
    }
    let passing: Vec<usize> = asked
        .iter()
        .enumerate()
        .filter(|(_, asked)| asked.gates.is_empty() && asked.truth == Truth::True)
        .map(|(position, _)| position)
        .collect();
    let candidates: Vec<(usize, &DiskFacts)> =
        passing.iter().filter_map(|position| Some((*position, machine.disks.get(*position)?))).collect();
    let items: Vec<Item> = candidates
        .iter()
        .map(|(_, facts)| Item {
            view: facts.view(attributes),
            identity: facts.strong_identity(),
            by_path: facts.disk.by_path.as_deref(),
        })
        .collect();
    let positions = |list: Vec<usize>| -> Vec<usize> {
        list.into_iter().filter_map(|item| candidates.get(item).map(|(position, _)| *position)).collect()
    };
    let outcome = match select::select(&items, rule) {
        Outcome::Chosen(list) => Outcome::Chosen(positions(list)),
        Outcome::Tied(list) => Outcome::Tied(positions(list)),
        few => few,
    };
    let trace = trace(name, rule, machine, asked, &outcome);
    let nearest = nearest_words(&trace);
    traces.push(trace);
    match outcome {
        Outcome::Chosen(disks) => Ok(disks),
        Outcome::TooFew(found) => Err(no_match(name, rule, found, nearest)),
        Outcome::Tied(tied) => Err(Reason::Ambiguous {
            what: "disk set",
            name: name.to_owned(),
            wanted: rule.wanted(),
            tied: tied.iter().filter_map(|position| machine.disks.get(*position)).map(DiskFacts::name).collect(),
        }),
    }
}

fn no_match(name: &str, rule: Rule<'_>, found: usize, nearest: Option<String>) -> Reason {
    Reason::NoMatch { what: "disk set", name: name.to_owned(), wanted: rule.wanted(), found, nearest }
}

// ---- the trace ----

fn trace(name: &str, rule: Rule<'_>, machine: &Machine<'_>, asked: Vec<Asked>, outcome: &Outcome) -> SetTrace {
    let mut candidates: Vec<(Option<usize>, Candidate)> = asked
        .into_iter()
        .zip(&machine.disks)
        .enumerate()
        .map(|(position, (asked, facts))| {
            let place = match outcome {
                Outcome::Chosen(list) => list.iter().position(|chosen| *chosen == position),
                _ => None,
            };
            let verdict =
                verdict(&asked, place.is_some(), matches!(outcome, Outcome::Tied(tied) if tied.contains(&position)));
            let candidate = Candidate {
                device: facts.disk.path.clone(),
                identity: facts.identity.clone(),
                label: facts.label(),
                verdict,
                reason: reason(&asked, verdict),
                gates: asked.gates,
                checks: asked.checks,
                nearest_miss: false,
            };
            (place, candidate)
        })
        .collect();
    // Stable: within a verdict the machine's own order stays.
    candidates.sort_by_key(|(place, candidate)| (candidate.verdict, place.unwrap_or(usize::MAX)));
    let mut candidates: Vec<Candidate> = candidates.into_iter().map(|(_, candidate)| candidate).collect();
    mark_nearest(&mut candidates);
    let max = rule.max.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
    SetTrace { set: name.to_owned(), min: u32::try_from(rule.min).unwrap_or(u32::MAX), max, candidates }
}

fn verdict(asked: &Asked, chosen: bool, tied: bool) -> Verdict {
    match asked.truth {
        _ if chosen => Verdict::Chosen,
        _ if tied => Verdict::Tied,
        _ if !asked.gates.is_empty() => Verdict::Gated,
        Truth::False => Verdict::NoMatch,
        Truth::Unknown => Verdict::Unknown,
        Truth::True => Verdict::PassedOver,
    }
}

fn reason(asked: &Asked, verdict: Verdict) -> String {
    let failing = |wanted: Truth| asked.checks.iter().filter(move |check| check.truth == wanted).map(check_words);
    match verdict {
        Verdict::Chosen if asked.truth == Truth::Unknown => "might match, so it counts as matching".to_owned(),
        Verdict::Chosen => "matches".to_owned(),
        Verdict::PassedOver => "matches, but others come first".to_owned(),
        Verdict::Tied => "matches, and nothing tells it from the others".to_owned(),
        Verdict::NoMatch => failing(Truth::False).collect::<Vec<_>>().join("; "),
        Verdict::Unknown => failing(Truth::Unknown).collect::<Vec<_>>().join("; "),
        Verdict::Gated => {
            asked.gates.iter().map(|gate| format!("{}: {}", gate.code, gate.observed)).collect::<Vec<_>>().join("; ")
        }
    }
}

pub(super) fn check_words(check: &Check) -> String {
    let observed = if check.observed.is_null() { "not known".to_owned() } else { check.observed.to_string() };
    format!("wants {}, is {observed}", check.wanted)
}

/// The one that failed the fewest conditions.
pub(super) fn mark_nearest(candidates: &mut [Candidate]) {
    let missed = |candidate: &Candidate| match candidate.verdict {
        Verdict::NoMatch | Verdict::Unknown | Verdict::Gated => {
            Some((candidate.gates.len(), candidate.checks.iter().filter(|check| check.truth != Truth::True).count()))
        }
        _ => None,
    };
    let nearest = candidates.iter().enumerate().filter_map(|(i, c)| missed(c).map(|score| (score, i))).min();
    if let Some(candidate) = nearest.and_then(|(_, i)| candidates.get_mut(i)) {
        candidate.nearest_miss = true;
    }
}

pub(super) fn nearest_words(trace: &SetTrace) -> Option<String> {
    let nearest = trace.candidates.iter().find(|candidate| candidate.nearest_miss)?;
    Some(format!("{} {}: {}", nearest.device, nearest.label, nearest.reason))
}

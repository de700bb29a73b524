//! Chooses among evaluated candidates and gives a verdict on each. Used for disks and NICs alike.

use super::eval;
use super::refusal::Reason;
use super::select::{self, Item, Outcome, Rule};
use burin_protocol::order::Predicate;
use burin_protocol::plan::{Candidate, Check, GateFinding, Identity, SetTrace, Truth, Verdict};

/// The evaluation of one device for one set or role.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub item: Item<'a>,
    /// Kernel name.
    pub device: String,
    pub identity: Option<Identity>,
    /// Short, for tables.
    pub label: String,
    /// Long, for refusals.
    pub subject: String,
    pub gates: Vec<GateFinding>,
    pub truth: Truth,
    pub checks: Vec<Check>,
}

/// Evaluates an order's predicate for a device: the overall truth, and each condition.
pub fn ask(predicate: Option<&Predicate>, item: &Item<'_>) -> (Truth, Vec<Check>) {
    predicate.map_or((Truth::True, Vec::new()), |predicate| eval::predicate(predicate, item.view))
}

/// Positions of the chosen devices, or the reason why there are none. Either way one set is added to the trace.
pub fn choose(
    what: &'static str,
    name: &str,
    rule: Rule<'_>,
    asked: Vec<Asked<'_>>,
    traces: &mut Vec<SetTrace>,
) -> Result<Vec<usize>, Reason> {
    let passes = |asked: &Asked| asked.gates.is_empty() && asked.truth == Truth::True;
    let (passing, items): (Vec<usize>, Vec<Item>) = asked
        .iter()
        .enumerate()
        .filter(|(_, asked)| passes(asked))
        .map(|(position, asked)| (position, asked.item.clone()))
        .unzip();
    let positions = |list: Vec<usize>| list.into_iter().filter_map(|item| passing.get(item).copied()).collect();
    let outcome = match select::select(&items, rule) {
        Outcome::Chosen(list) => Outcome::Chosen(positions(list)),
        Outcome::Tied(list) => Outcome::Tied(positions(list)),
        Outcome::TooFew(found) => Outcome::TooFew(found),
    };
    let tied = match &outcome {
        Outcome::Tied(list) => list.iter().filter_map(|i| asked.get(*i)).map(|asked| asked.subject.clone()).collect(),
        _ => Vec::new(),
    };
    let nearest = trace(name, rule, asked, &outcome, traces);
    match outcome {
        Outcome::Chosen(list) => Ok(list),
        Outcome::TooFew(found) => Err(no_match(what, name, rule, found, nearest)),
        Outcome::Tied(_) => Err(Reason::Ambiguous { what, name: name.to_owned(), wanted: rule.wanted(), tied }),
    }
}

pub fn no_match(what: &'static str, name: &str, rule: Rule<'_>, found: usize, nearest: Option<String>) -> Reason {
    Reason::NoMatch { what, name: name.to_owned(), wanted: rule.wanted(), found, nearest }
}

/// Adds the set to the trace and returns a description of the nearest miss.
pub fn trace(
    name: &str,
    rule: Rule<'_>,
    asked: Vec<Asked<'_>>,
    outcome: &Outcome,
    traces: &mut Vec<SetTrace>,
) -> Option<String> {
    let mut candidates: Vec<(usize, Candidate)> = asked
        .into_iter()
        .enumerate()
        .map(|(position, asked)| {
            let (verdict, place) = verdict(&asked, position, outcome);
            let candidate = Candidate {
                reason: reason(&asked, verdict, outcome),
                device: asked.device,
                identity: asked.identity,
                label: asked.label,
                verdict,
                gates: asked.gates,
                checks: asked.checks,
                nearest_miss: false,
            };
            (place, candidate)
        })
        .collect();
    // A stable sort: candidates with the same verdict keep the machine's order.
    candidates.sort_by_key(|(place, candidate)| (candidate.verdict, *place));
    let mut candidates: Vec<Candidate> = candidates.into_iter().map(|(_, candidate)| candidate).collect();
    let nearest = mark_nearest(&mut candidates);
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    traces.push(SetTrace { set: name.to_owned(), min: small(rule.min), max: rule.max.map(small), candidates });
    nearest
}

/// The verdict, and the position among the chosen.
fn verdict(asked: &Asked<'_>, position: usize, outcome: &Outcome) -> (Verdict, usize) {
    match outcome {
        Outcome::Chosen(list) => {
            if let Some(place) = list.iter().position(|chosen| *chosen == position) {
                return (Verdict::Chosen, place);
            }
        }
        Outcome::Tied(list) if list.contains(&position) => return (Verdict::Tied, 0),
        Outcome::Tied(_) | Outcome::TooFew(_) => {}
    }
    let verdict = match asked.truth {
        _ if !asked.gates.is_empty() => Verdict::Gated,
        Truth::False => Verdict::NoMatch,
        Truth::Unknown => Verdict::Unknown,
        Truth::True => Verdict::PassedOver,
    };
    (verdict, 0)
}

fn reason(asked: &Asked<'_>, verdict: Verdict, outcome: &Outcome) -> String {
    let failing = |wanted: Truth| {
        let failing = asked.checks.iter().filter(|check| check.truth == wanted);
        failing.map(check_words).collect::<Vec<_>>().join("; ")
    };
    match verdict {
        Verdict::Chosen if asked.truth == Truth::Unknown => "might match, so it counts as matching".to_owned(),
        Verdict::Chosen => "matches".to_owned(),
        Verdict::PassedOver if matches!(outcome, Outcome::TooFew(_)) => "matches, but too few do".to_owned(),
        Verdict::PassedOver => "matches, but others come first".to_owned(),
        Verdict::Tied => "matches, and nothing tells it from the others".to_owned(),
        Verdict::NoMatch => failing(Truth::False),
        Verdict::Unknown => failing(Truth::Unknown),
        Verdict::Gated => {
            asked.gates.iter().map(|gate| format!("{}: {}", gate.code, gate.observed)).collect::<Vec<_>>().join("; ")
        }
    }
}

/// A readable description of a condition and the observed value.
pub fn check_words(check: &Check) -> String {
    let observed = if check.observed.is_null() { "not known".to_owned() } else { check.observed.to_string() };
    format!("wants {}, is {observed}", check.wanted)
}

/// Marks the candidate that failed the fewest gates and conditions, and describes it.
fn mark_nearest(candidates: &mut [Candidate]) -> Option<String> {
    let missed = |candidate: &Candidate| match candidate.verdict {
        Verdict::NoMatch | Verdict::Unknown | Verdict::Gated => {
            let failed = candidate.checks.iter().filter(|check| check.truth != Truth::True).count();
            Some((candidate.gates.len(), failed))
        }
        Verdict::Chosen | Verdict::PassedOver | Verdict::Tied => None,
    };
    let (_, nearest) = candidates.iter().enumerate().filter_map(|(i, c)| missed(c).map(|score| (score, i))).min()?;
    let candidate = candidates.get_mut(nearest)?;
    candidate.nearest_miss = true;
    Some(format!("{} {}: {}", candidate.device, candidate.label, candidate.reason))
}

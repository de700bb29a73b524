//! Chooses the layout: exactly one that applies must have the highest priority.

use super::eval::{self, View};
use super::refusal::Reason;
use burin_protocol::order::Layout;
use burin_protocol::plan::{LayoutTrace, LayoutVerdict, Truth};

/// The chosen layout's position, and the verdict on every one.
pub fn choose(layouts: &[Layout], view: View<'_>) -> (Result<usize, Reason>, Vec<LayoutTrace>) {
    let mut traces: Vec<LayoutTrace> = layouts
        .iter()
        .map(|layout| {
            let (truth, checks) = match &layout.when {
                Some(when) => eval::predicate(when, view),
                None => (Truth::True, Vec::new()),
            };
            let verdict = if truth == Truth::True { LayoutVerdict::Outranked } else { LayoutVerdict::NotApplicable };
            LayoutTrace {
                layout: layout.name.clone(),
                priority: layout.priority,
                verdict,
                first_false: checks.into_iter().find(|check| check.truth != Truth::True),
            }
        })
        .collect();

    let applies = |trace: &&LayoutTrace| trace.verdict == LayoutVerdict::Outranked;
    let Some(highest) = traces.iter().filter(applies).map(|trace| trace.priority).max() else {
        return (Err(Reason::NoLayout(traces.iter().map(words).collect())), traces);
    };
    let best: Vec<usize> = (0..traces.len())
        .filter(|i| traces.get(*i).is_some_and(|trace| applies(&trace) && trace.priority == highest))
        .collect();
    let verdict = if best.len() == 1 { LayoutVerdict::Chosen } else { LayoutVerdict::Tied };
    let mut names = Vec::new();
    for i in &best {
        if let Some(trace) = traces.get_mut(*i) {
            trace.verdict = verdict;
            names.push(trace.layout.clone());
        }
    }
    match best.as_slice() {
        [one] => (Ok(*one), traces),
        _ => (Err(Reason::TwoLayouts { names, priority: highest }), traces),
    }
}

/// Describes why a layout does not apply.
fn words(trace: &LayoutTrace) -> String {
    match &trace.first_false {
        Some(check) => {
            let observed = if check.observed.is_null() { "not known".to_owned() } else { check.observed.to_string() };
            format!("`{}` wants {}, which is {observed}", trace.layout, check.wanted)
        }
        None => format!("`{}` does not apply", trace.layout),
    }
}

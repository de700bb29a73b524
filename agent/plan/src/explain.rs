//! Explains a plan or a refusal in readable form: every candidate with its verdict, then the steps.

use super::existing;
use super::refusal::Refusal;
use super::tree;
use burin_protocol::Plan;
use burin_protocol::error::Coded;
use burin_protocol::plan::words::{decimal, word};
use burin_protocol::plan::{Fate, LayoutVerdict, PlannedPath, SetTrace, Strength, Trace, Truth, Verdict};
use hwinventory_types::harmless;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt::Write;

/// Models, labels and serial numbers come from disks and may contain anything: they must not start a line here or
/// control the terminal. A value that cannot be converted is shown as it is.
fn harmless<T: Clone + Serialize + DeserializeOwned>(value: &T) -> Cow<'_, T> {
    harmless::copy(value).map_or(Cow::Borrowed(value), Cow::Owned)
}

/// Explains a whole plan.
pub fn explain(plan: &Plan) -> String {
    let plan = &*harmless(plan);
    let mut out = String::new();
    let _ = writeln!(out, "Plan for order {}, layout {}", plan.order, plan.layout);
    let _ = writeln!(out, "{}\n", plan.digest);
    out.push_str(&explain_trace(&plan.trace));
    out.push_str("Disks of the plan\n");
    for (i, disk) in plan.disks.iter().enumerate() {
        let strength = if disk.identity.strength == Strength::Weak { " (weak)" } else { "" };
        let model = disk.model.as_deref().unwrap_or("unnamed model").trim();
        let _ = writeln!(
            out,
            "  [{i}] {}: {} {model}, {} ({} bytes)",
            disk.set,
            disk.device,
            decimal(disk.size),
            disk.size
        );
        let _ = writeln!(out, "      found again by {} {}{strength}", word(&disk.identity.kind), disk.identity.value);
        if !disk.paths.is_empty() {
            let words: Vec<String> = disk.paths.iter().map(PlannedPath::words).collect();
            let _ = writeln!(out, "      by the paths {}", words.join(", "));
        }
        let fate = match disk.fate {
            Fate::Overwritten => "will be LOST",
            Fate::Preserved => "stays",
        };
        let _ = writeln!(out, "      {fate}: {}", existing::words(&disk.existing));
        for kept in &disk.keep {
            let (start, size) = (kept.start, decimal(kept.size));
            let _ = writeln!(out, "      but {} stays: {size} from byte {start}", kept.words());
        }
    }
    out.push_str(&tree::draw(plan));
    out.push_str("\nSteps\n");
    for (i, step) in plan.steps.iter().enumerate() {
        let _ = writeln!(out, "  {:>2}. {}", i + 1, step.words(plan));
    }
    let _ = writeln!(out, "  then {}", word(&plan.finish));
    for warning in &plan.warnings {
        let _ = writeln!(out, "\nWarning ({}): {}", warning.code, warning.message);
    }
    out
}

/// Explains why there is no plan.
pub fn explain_refusal(refusal: &Refusal) -> String {
    let mut out = explain_trace(&refusal.trace);
    let _ = writeln!(out, "No plan ({}): {}", refusal.code(), harmless::line(&refusal.to_string()));
    if let Some(hint) = refusal.hint() {
        let _ = writeln!(out, "  {}", harmless::line(&hint));
    }
    out
}

/// Layouts, then candidates set by set.
pub fn explain_trace(trace: &Trace) -> String {
    let trace = &*harmless(trace);
    let mut out = String::new();
    if !trace.attributes.is_empty() {
        let list: Vec<String> =
            trace.attributes.iter().map(|row| format!("{} ({})", row.name, word(&row.source))).collect();
        let _ = writeln!(out, "Attributes: {}\n", list.join(", "));
    }
    if !trace.layouts.is_empty() {
        out.push_str("Layouts\n");
        for row in &trace.layouts {
            let verdict = match row.verdict {
                LayoutVerdict::Chosen => "chosen".to_owned(),
                LayoutVerdict::Outranked => "applies, outranked".to_owned(),
                LayoutVerdict::Tied => "applies, and so does another".to_owned(),
                LayoutVerdict::NotApplicable => match &row.first_false {
                    Some(check) => format!("no: {}", super::candidates::check_words(check)),
                    None => "no".to_owned(),
                },
            };
            let _ = writeln!(out, "  {} (priority {}): {verdict}", row.layout, row.priority);
        }
        out.push('\n');
    }
    for set in &trace.sets {
        candidates("Disk set", set, &mut out);
    }
    for role in &trace.roles {
        candidates("Network role", role, &mut out);
    }
    out
}

fn candidates(what: &str, set: &SetTrace, out: &mut String) {
    let wanted = match set.max {
        Some(max) if max == set.min => format!("{max}"),
        Some(max) => format!("{} to {max}", set.min),
        None => format!("{} or more", set.min),
    };
    let _ = writeln!(out, "{what} {} (wants {wanted})", set.set);
    if set.candidates.is_empty() {
        out.push_str("  the machine has none\n");
    }
    let width = |text: &dyn Fn(usize) -> usize| (0..set.candidates.len()).map(text).max().unwrap_or(0);
    let get = |i: usize| set.candidates.get(i);
    let device = width(&|i| get(i).map_or(0, |c| c.device.chars().count()));
    let label = width(&|i| get(i).map_or(0, |c| c.label.chars().count()));
    // If everything that was wanted was found, near misses are not interesting.
    let found = set.candidates.iter().any(|candidate| candidate.verdict == Verdict::Chosen);
    for candidate in &set.candidates {
        let close = candidate.nearest_miss && !found;
        let mark = match candidate.verdict {
            Verdict::Chosen => "+",
            Verdict::Tied => "?",
            _ if close => "~",
            _ => " ",
        };
        let verdict = word(&candidate.verdict);
        let nearest = if close { " (nearest miss)" } else { "" };
        let _ = writeln!(
            out,
            "{mark} {:device$}  {:label$}  {verdict:<11} {}{nearest}",
            candidate.device, candidate.label, candidate.reason
        );
        // A failed gate hides the conditions, but they are worth knowing too.
        if candidate.verdict == Verdict::Gated {
            for check in candidate.checks.iter().filter(|check| check.truth != Truth::True) {
                let _ = writeln!(
                    out,
                    "  {:device$}  {:label$}  {:<11} {}",
                    "",
                    "",
                    "",
                    super::candidates::check_words(check)
                );
            }
        }
    }
    out.push('\n');
}

//! The comparison as a page.

use super::{Fleet, Group};
use crate::model::harmless;

/// How many machines of a kind are named one by one.
const MOST_NAMES: usize = 8;

pub fn render(fleet: &Fleet, colour: bool) -> String {
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let mut text = String::new();
    for group in &fleet.groups {
        let machines =
            if group.machines == 1 { "1 machine".to_owned() } else { format!("{} machines", group.machines) };
        let is = match (group.machines, group.odd.is_empty() && group.split.is_empty()) {
            (1, _) => "nothing to compare it with".to_owned(),
            (_, true) => format!("all alike in {} facts", group.facts),
            (_, false) => format!("{} alike, {} odd, of {} facts", group.alike.len(), group.odd.len(), group.facts),
        };
        text.push_str(&format!("{}  {machines}: {is}\n", paint("1;36", &clean(&group.model))));
        odd(group, &paint, &mut text);
        for split in &group.split {
            text.push_str(&format!("  {} {}\n", paint("33", "split"), clean(&split.fact)));
            for share in &split.values {
                let value = clean(share.value.as_deref().unwrap_or("none"));
                text.push_str(&format!("    {value}: {}\n", names(&share.machines)));
            }
        }
        text.push('\n');
    }
    for file in &fleet.unreadable {
        text.push_str(&format!("{} {}: {}\n", paint("31", "not read"), clean(&file.file), clean(&file.error)));
    }
    let text = text.trim_end();
    if text.is_empty() { "no machines\n".to_owned() } else { format!("{text}\n") }
}

fn odd(group: &Group, paint: &dyn Fn(&str, &str) -> String, text: &mut String) {
    for odd in &group.odd {
        let serial = odd.serial_number.as_deref().map(|s| format!(" ({})", clean(s))).unwrap_or_default();
        text.push_str(&format!("  {}{serial}\n", paint("1;33", &clean(&odd.machine))));
        for d in &odd.differences {
            let this = clean(d.this.as_deref().unwrap_or("not there"));
            let most = clean(d.most.as_deref().unwrap_or("none"));
            let note = paint("2", &format!("({} have {most})", d.count));
            text.push_str(&format!("    {}: {this} {note}\n", clean(&d.fact)));
        }
    }
}

fn names(machines: &[String]) -> String {
    let shown: Vec<String> = machines.iter().take(MOST_NAMES).map(|m| clean(m)).collect();
    let more = machines.len().saturating_sub(MOST_NAMES);
    let end = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{end}", shown.join(", "))
}

/// Device strings may hold anything.
fn clean(text: &str) -> String {
    harmless::line(text).into_owned()
}
